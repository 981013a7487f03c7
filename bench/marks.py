"""What receivers got between two of their marks, for the benches of whole servers."""

from __future__ import annotations

import time

import numpy as np

from bench.peers.sinks import Mark, Sink

LOOK_S = 0.1
_ALL = slice(None)


def between(before: Mark, after: Mark, whose: slice = _ALL) -> dict[str, float]:
    """Rates and the longest silence of the destinations ``whose``, in the order of their coming."""
    seconds = (after.at_ns - before.at_ns) / 1e9
    mbps = (after.bytes[whose] - before.bytes[whose]) * 8e-6 / seconds
    return {
        "destinations": len(mbps),
        "median_mbps": round(float(np.median(mbps)), 4),
        "least_mbps": round(float(mbps.min()), 4),
        "longest_gap_ms": round(float(after.gap_ns[whose].max()) / 1e6, 2),
        "lost_packets": after.lost_packets - before.lost_packets,
        "sink_drops": after.sink_drops - before.sink_drops,
    }


def until_media(sink: Sink, count: int, deadline_s: float) -> int:
    """Wait until something came to so many destinations; when it came to the last of them (CLOCK_MONOTONIC, ns)."""
    end_s = time.monotonic() + deadline_s
    while (mark := sink.mark()).started < count:
        if time.monotonic() > end_s:
            raise TimeoutError(f"{mark.started} of {count} destinations have media after {deadline_s:g} s")
        time.sleep(LOOK_S)
    return int(mark.first_ns.max())
