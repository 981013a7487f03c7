"""Times as the API writes them: ISO 8601 in the local zone, three digits of milliseconds, numeric offset."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache


@lru_cache(maxsize=4096)
def iso_time(seconds: float) -> str:
    """``2023-03-15T23:02:34.371+09:00``; 0, a time that is not set, is the epoch in the local zone."""
    return datetime.fromtimestamp(seconds).astimezone().isoformat(timespec="milliseconds")
