"""What the C library does with memory that was freed.

libsrt takes some 200 KiB for each connection, in blocks of 48 KiB, and lets go of them seconds after it was closed.
From glibc's heaps such blocks come back to the system only when all that was allocated behind them is free: a thousand
pushes that came and went would leave 200 MB in use.  As mappings of their own they are gone when they are freed.
"""

from __future__ import annotations

import ctypes

_M_MMAP_THRESHOLD = -3  # malloc.h
LARGE_BYTES = 32 * 1024


def return_large_blocks() -> bool:
    """From now on blocks of LARGE_BYTES are mappings of their own.  False where the C library knows no such setting."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES))
