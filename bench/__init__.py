"""Benches: what the engine costs beside the bare minimum that sends the same bytes, in the same run.

`raw_*.c` are floors, `discard_*.c` and `fast_srt.c` receivers, `mux_loop.pyx` the muxers beside their floor, `av_mux.c`
ffmpeg's muxers; `fanout_engine.py` drives the engine's own source, muxer, ring and sender, `fanout_server.py` the whole
product.  `python bench/run.py` runs all and keeps the figures in `results/`.

`peers/` sets the whole product beside its rivals.  `latency.py`, `control.py` and `ingest.py` hold lines for the whole
product: how late frames come, how the API answers in storms and under load, what hundreds of streams cost.
"""
