from collections.abc import Callable
from typing import final

from pushcast.chunk import ChunkReader
from pushcast.message import Message

class ReadySocket:
    """What an Intake reads.  ``fd`` is owned from here on; ``end(error)``: nothing more comes."""

    def __init__(self, fd: int, end: Callable[[Exception | None], None]) -> None: ...
    @property
    def fd(self) -> int: ...
    def __call__(self) -> bool: ...
    def close(self) -> None: ...

@final
class MediaSocket(ReadySocket):
    attend_at: int
    def __init__(
        self,
        fd: int,
        reader: ChunkReader,
        attend: Callable[[list[Message]], None],
        end: Callable[[Exception | None], None],
    ) -> None: ...
