"""Cost of muxing: ns per TS packet and per RTMP message, beside a bare header-and-copy loop over the same frames.

The engine's figure is Muxer.write called from C; what a call through Python's `write_frame` adds is measured with
frames of a track that the muxer passes over.
"""

from __future__ import annotations

import importlib
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from bench import build
from bench.clip import Clip, write_trace

LAPS = 60
NO_TRACK = 9999


def measure(clip: Clip, folder: Path, laps: int = LAPS) -> dict[str, Any]:
    """Figures for both containers."""
    frames_file = folder / "frames.trace"
    write_trace(frames_file, [(0, frame.data) for frame in clip.frames])
    floor_program, loop_folder = build.program("floor_mux"), build.mux_loop()
    if str(loop_folder) not in sys.path:
        sys.path.append(str(loop_folder))
    floors, results = [], []
    for _ in range(3):
        floors.append(json.loads(subprocess.check_output([str(floor_program), str(frames_file), str(laps)])))
        results.append({name: _muxer_ns(clip, name, laps) for name in ("mpegts", "rtmp")})
    floor_packet = statistics.median(floor["ns_per_packet"] for floor in floors)
    floor_message = statistics.median(floor["ns_per_message"] for floor in floors)
    units = {name: _units(clip, name) for name in ("mpegts", "rtmp")}
    packet = statistics.median(result["mpegts"] for result in results) / units["mpegts"]
    message = statistics.median(result["rtmp"] for result in results) / units["rtmp"]
    return {
        "ts_packets_per_s": round(units["mpegts"] * 90000 / clip.lap_ticks),
        "ns_per_ts_packet": round(packet, 2),
        "floor_ns_per_ts_packet": floor_packet,
        "ts_ratio": round(packet / floor_packet, 2),
        "ns_per_rtmp_message": round(message, 1),
        "floor_ns_per_rtmp_message": floor_message,
        "rtmp_ratio": round(message / floor_message, 2),
        "write_frame_call_ns": round(_call_ns(clip), 1),
    }


def _muxer(clip: Clip, container: str) -> Any:
    from pushcast.flv import RtmpMuxer
    from pushcast.mpegts import TsMuxer
    from pushcast.ring import Ring

    return {"mpegts": TsMuxer, "rtmp": RtmpMuxer}[container](Ring(), clip.tracks)


def _muxer_ns(clip: Clip, container: str, laps: int) -> float:
    """Nanoseconds of one lap, median; the first lap touches the ring's pages and is left out."""
    first = clip.frames[0].dts
    frames = [(f.track, f.dts - first, f.pts - first, f.flags, f.data) for f in clip.frames]
    times = importlib.import_module("mux_loop").time_laps(_muxer(clip, container), frames, clip.lap_ticks, laps + 1)
    return float(statistics.median(times[1:]))


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
