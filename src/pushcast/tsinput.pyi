"""A transport stream to frames of one Source."""

from typing import final

from pushcast.media import Track
from pushcast.source import Source
from pushcast.timebase import TimeBase
from pushcast.tspids import PidInput

@final
class TsInput(PidInput):
    """``program``: the program_number to take, 0 for the first.  MediaError: no stream of 188-byte packets."""

    def __init__(self, source: Source, program: int = 0) -> None: ...
    def freeze(self) -> None:
        """The stream is announced: its tracks are fixed."""

    @property
    def source(self) -> Source: ...
    @property
    def time(self) -> TimeBase: ...
    @property
    def tracks(self) -> tuple[Track, ...]: ...
    @property
    def ready(self) -> bool:
        """Every track of the PMT is known, or has had time to be."""

    @property
    def changed(self) -> bool:
        """A PMT has come with other tracks than those that were announced; nothing goes out any more."""

    @property
    def late_tracks(self) -> int: ...
    @property
    def left_out(self) -> list[str]:
        """What is not carried, and why."""

    @property
    def program(self) -> int: ...
    @property
    def damaged(self) -> int:
        """Access units and sections that were left out, for any reason."""
