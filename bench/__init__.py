"""Benches: what the engine costs beside the bare minimum that sends the same bytes, in the same run.

`raw_*.c` are floors, `discard_*.c` and `fast_srt.c` receivers, `floor_mux.c` the floor of muxing; `fanout_engine.py`
drives the engine's own source, muxer, ring and sender, `fanout_server.py` the whole product.  `python bench/run.py`
runs all and keeps the figures in `results/`.

`latency.py`, `control.py` and `ingest.py` hold lines for the whole product: how late frames come, how the API answers
in storms and under load, what hundreds of streams cost.
"""
