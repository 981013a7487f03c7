"""Times as the API writes them: ISO 8601 in the local zone, three digits of milliseconds, numeric offset."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache


def iso_time(seconds: float) -> str:
    """``2023-03-15T23:02:34.371+09:00``; 0, a time that is not set, is the epoch in the local zone."""
    second, microseconds = divmod(round(seconds * 1_000_000), 1_000_000)
    moment, offset = local_second(second)
    return f"{moment}.{microseconds // 1000:03d}{offset}"


# Hundreds of pushes that were started together share a few seconds; whole times would be remembered for each.
@lru_cache(maxsize=512)
def local_second(second: int) -> tuple[str, str]:
    """The text of a whole second since the epoch: what stands before its fraction and what behind it."""
    text = datetime.fromtimestamp(second).astimezone().isoformat(timespec="seconds")
    return text[:19], text[19:]
