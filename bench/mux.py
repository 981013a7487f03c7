"""Cost of muxing: ns per TS packet and per RTMP message, beside a bare header-and-copy loop and ffmpeg's muxers.

All have the same frames.  The engine (Muxer.write called from C) and the floor take turns lap by lap in one process
(mux_loop.pyx), then ffmpeg's libavformat has its turn in a process of its own (av_mux.c; its flv muxer writes tags, and
RTMP's chunking would come on top).  That is a round; a ratio is of one round's medians, and what is reported is the
median over rounds, with the lowest and the highest.  What a call through Python's `write_frame` adds is measured with
frames of a track that the muxer passes over.
"""

from __future__ import annotations

import argparse
import importlib
import json
import statistics
import subprocess
import sys
import time
from typing import Any

from bench import build
from bench.clip import Clip, clip_path, read_clip

LAPS = 60
ROUNDS = 7
NO_TRACK = 9999
# container: the figure's name, and ffmpeg's for the same
FIGURES = {"mpegts": ("ts_packet", "ns_per_packet"), "rtmp": ("rtmp_message", "ns_per_message")}


def measure(clip: Clip, laps: int = LAPS, rounds: int = ROUNDS) -> dict[str, Any]:
    """Figures for both containers: medians, ratios, every round."""
    build.module(build.SOURCES / "mux_loop.pyx", build.OUTPUT)
    if str(build.OUTPUT) not in sys.path:
        sys.path.append(str(build.OUTPUT))
    units = {container: _units(clip, container) for container in FIGURES}
    runs = []
    for _ in range(rounds):
        run: dict[str, Any] = {}
        for container, (figure, _) in FIGURES.items():
            engine_ns, floor_ns, floor_units = _lap_ns(clip, container, laps)
            run[f"ns_per_{figure}"] = round(engine_ns / units[container], 2)
            run[f"floor_ns_per_{figure}"] = round(floor_ns / floor_units, 2)
        ffmpeg = subprocess.check_output([str(build.program("av_mux")), str(clip_path()), str(laps)])
        runs.append({**run, "ffmpeg": json.loads(ffmpeg)})
    return {
        "ts_packets_per_s": round(units["mpegts"] * 90000 / clip.lap_ticks),
        **summary(runs),
        "write_frame_call_ns": round(_call_ns(clip), 1),
        "rounds": runs,
    }


def summary(runs: list[dict[str, Any]]) -> dict[str, Any]:
    figures: dict[str, Any] = {
        "ffmpeg_ns_per_ts_packet_filtered": statistics.median(run["ffmpeg"]["ns_per_packet_filtered"] for run in runs)
    }
    for figure, ffmpeg_key in FIGURES.values():
        engine = [run[f"ns_per_{figure}"] for run in runs]
        floor = [run[f"floor_ns_per_{figure}"] for run in runs]
        ffmpeg = [run["ffmpeg"][ffmpeg_key] for run in runs]
        figures[f"ns_per_{figure}"] = statistics.median(engine)
        for name, others in (("floor", floor), ("ffmpeg", ffmpeg)):
            ratios = [round(ours / theirs, 3) for ours, theirs in zip(engine, others, strict=True)]
            figures[f"{name}_ns_per_{figure}"] = statistics.median(others)
            figures[f"{figure}_{name}_ratio"] = statistics.median(ratios)
            figures[f"{figure}_{name}_ratio_low"] = min(ratios)
            figures[f"{figure}_{name}_ratio_high"] = max(ratios)
    return figures


def _muxer(clip: Clip, container: str) -> Any:
    from pushcast.flv import RtmpMuxer
    from pushcast.mpegts import TsMuxer
    from pushcast.ring import Ring

    return {"mpegts": TsMuxer, "rtmp": RtmpMuxer}[container](Ring(), clip.tracks)


def _lap_ns(clip: Clip, container: str, laps: int) -> tuple[float, float, int]:
    """Nanoseconds of one lap of the engine and of the floor, medians, and the floor's units in it."""
    first = clip.frames[0].dts
    frames = [(f.track, f.dts - first, f.pts - first, f.flags, f.data) for f in clip.frames]
    time_laps = importlib.import_module("mux_loop").time_laps
    engine, floor, units = time_laps(_muxer(clip, container), container, frames, clip.lap_ticks, laps)
    return statistics.median(engine), statistics.median(floor), units


def _units(clip: Clip, container: str) -> int:
    """TS packets (lead-in material included: it is written too) or messages of one lap."""
    muxer, first, units = _muxer(clip, container), clip.frames[0].dts, 0
    for f in clip.frames:
        seq = muxer.ring.head
        muxer.write_frame(f.track, f.dts - first, f.pts - first, f.flags, f.data)
        for number in range(seq, muxer.ring.head):
            _, size, lead, *_ = muxer.ring.span(number)
            units += (size + lead) // 188 if container == "mpegts" else 1
    return units


def _call_ns(clip: Clip) -> float:
    """One write_frame call that writes nothing."""
    muxer, data, calls = _muxer(clip, "mpegts"), clip.frames[0].data, 20000
    rounds = []
    for _ in range(5):
        start = time.perf_counter_ns()
        for _ in range(calls):
            muxer.write_frame(NO_TRACK, 1, 1, 0, data)
        rounds.append((time.perf_counter_ns() - start) / calls)
    return statistics.median(rounds)


def report(f: dict[str, Any]) -> str:
    lines = [f"{'mux':14}{'engine ns':>10}{'floor ns':>10}{'ffmpeg ns':>10} | {'engine : floor':^20} | engine : ffmpeg"]
    for figure, _ in FIGURES.values():
        ratios = [
            "{:6.3f} {:6.3f} {:6.3f}".format(*(f[f"{figure}_{name}_ratio{end}"] for end in ("", "_low", "_high")))
            for name in ("floor", "ffmpeg")
        ]
        times = "".join(f"{f[f'{who}ns_per_{figure}']:10.2f}" for who in ("", "floor_", "ffmpeg_"))
        lines.append(f"{figure.replace('_', ' '):14}{times} | {ratios[0]} | {ratios[1]}")
    lines.append(
        f"with the filter of ffmpeg -c copy {f['ffmpeg_ns_per_ts_packet_filtered']} ns per TS packet;"
        f"  a write_frame call adds {f['write_frame_call_ns']} ns"
    )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.mux", description="the muxing part of the benches alone")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    print(report(measure(read_clip(clip_path()), rounds=parser.parse_args().rounds)))


if __name__ == "__main__":
    main()
