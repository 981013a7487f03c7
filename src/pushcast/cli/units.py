"""Times, sizes and durations as people read them.  What the server did not send, or sent in another shape, is ``-``."""

from __future__ import annotations

from datetime import datetime

NOTHING = "-"
_SIZES = ("B", "kB", "MB", "GB", "TB", "PB", "EB")


def short_time(value: object, now: datetime) -> str:
    """An ISO 8601 time in the local zone, without what it shares with ``now``; the epoch is no time."""
    try:
        moment = datetime.fromisoformat(value).astimezone() if isinstance(value, str) else None
    except (ValueError, OverflowError, OSError):
        moment = None
    if moment is None or moment.timestamp() == 0:
        return NOTHING
    if moment.date() == now.date():
        return moment.strftime("%H:%M:%S")
    return moment.strftime("%m-%d %H:%M" if moment.year == now.year else "%Y-%m-%d")


def size(value: object) -> str:
    """Bytes in powers of 1000, three digits at the least: ``12.3 MB``."""
    if not isinstance(value, int) or value < 0:
        return NOTHING
    scaled = float(value)
    for unit in _SIZES[:-1]:
        if scaled < 999.95:
            return f"{scaled:.1f} {unit}" if unit != "B" else f"{value} B"
        scaled /= 1000
    return f"{scaled:.1f} {_SIZES[-1]}"


def bit_rate(value: object) -> str:
    """Bits per second: ``2.5 Mbit/s``; 0 is not known."""
    if not isinstance(value, int) or value <= 0:
        return NOTHING
    return f"{value / 1_000_000:.1f} Mbit/s" if value >= 999_500 else f"{value / 1000:.0f} kbit/s"


def duration(value: object) -> str:
    """Milliseconds as hours, minutes and seconds: ``1:02:03``."""
    if not isinstance(value, int) or value < 0:
        return NOTHING
    minutes, seconds = divmod(value // 1000, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}"
