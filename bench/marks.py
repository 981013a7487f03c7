"""What receivers got between two of their marks (see rtmp_sink.c)."""

from __future__ import annotations

from typing import Any

import numpy as np

_ALL = slice(None)


def between(before: dict[str, Any], after: dict[str, Any], whose: slice = _ALL) -> dict[str, float]:
    """Rates and the longest silence of the receivers ``whose``, in the order of their coming; all were there before."""
    seconds = (after["at_ns"] - before["at_ns"]) / 1e9
    mbps = (np.array(after["bytes"])[whose] - np.array(before["bytes"])[whose]) * 8e-6 / seconds
    return {
        "receivers": len(mbps),
        "median_mbps": round(float(np.median(mbps)), 4),
        "least_mbps": round(float(mbps.min()), 4),
        "longest_gap_ms": round(max(after["gap_ns"][whose]) / 1e6, 2),
    }
