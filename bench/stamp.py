"""Time stamps inside a stream: written into access units, read from what the stamp receivers kept (stamps.h).

A stamp is an SEI message user_data_unregistered (H.264 D.1.7) at the beginning of an access unit: a UUID of our own and
CLOCK_MONOTONIC in ns as 16 hexadecimal digits.  Muxers put a delimiter and on keyframes the parameter sets before it,
and it still lies within the first TS packet of its PES packet.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

# The same bytes as in stamps.c.
NAME = bytes.fromhex("9b1f6ce257d84a3eb641c5728e2d93f7")
DIGITS = 16
# NAL unit header, payload type 5, payload size; behind the digits the trailing bit.
_SEI_HEAD = bytes((0x06, 5, len(NAME) + DIGITS)) + NAME
_UNIT = _SEI_HEAD + b"0" * DIGITS + b"\x80"
DIGITS_AT = 4 + len(_SEI_HEAD)
"""Where the digits lie in a stamped access unit."""

_KEPT = np.dtype([("sent_ns", "<u8"), ("arrived_ns", "<u8"), ("destination", "<u4"), ("", "<u4")])
Window = tuple[int, int, int]
"""Frames that left from the first to the second time count, until the third they may arrive; CLOCK_MONOTONIC, ns."""

PERCENTILES = [*range(1, 100), 99.9, 100]


def with_stamp(access_unit: bytes) -> bytes:
    """An access unit of 4-byte length-prefixed NAL units with an SEI of zero digits before them."""
    return len(_UNIT).to_bytes(4) + _UNIT + access_unit


def digits(now_ns: int) -> bytes:
    return b"%016x" % now_ns


def read_kept(path: Path) -> np.ndarray[Any, Any]:
    """What a stamp receiver wrote, the earliest arrival of each stamp at each destination."""
    kept = np.fromfile(path, _KEPT)
    kept = kept[np.lexsort((kept["arrived_ns"], kept["sent_ns"], kept["destination"]))]
    again = np.zeros(len(kept), bool)
    again[1:] = (kept["sent_ns"][1:] == kept["sent_ns"][:-1]) & (kept["destination"][1:] == kept["destination"][:-1])
    return kept[~again]


def latencies(
    kept: np.ndarray[Any, Any], sent_ns: np.ndarray[Any, Any], window: Window, destinations: int
) -> dict[str, Any]:
    """Figures of the frames that left within the window: percentiles 1 to 99, 99.9 and 100 in ms, how many, and how
    many of ``sent_ns`` did not come to one of so many destinations before its end.
    """
    first, last, end = window
    inside = kept[(kept["sent_ns"] >= first) & (kept["sent_ns"] < last) & (kept["arrived_ns"] < end)]
    due = int(((sent_ns >= first) & (sent_ns < last)).sum()) * destinations
    ms = (inside["arrived_ns"].astype(np.int64) - inside["sent_ns"].astype(np.int64)) / 1e6
    values = np.percentile(ms, PERCENTILES) if len(ms) else np.full(len(PERCENTILES), np.nan)
    return {
        "count": len(ms),
        "missing": due - len(ms),
        "destinations_seen": len(np.unique(inside["destination"])),
        "percentiles_ms": [round(float(value), 3) for value in values],
    }
