"""The clock of a program, and its stamps on one line."""

from typing import final

from pushcast.source import Source

@final
class TimeBase:
    """Driven in C by TsInput."""

    def __init__(self, source: Source) -> None: ...
    @property
    def shift(self) -> int:
        """What stamps are moved by since the first time base, 90 kHz."""
