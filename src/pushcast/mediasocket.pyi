from collections.abc import Callable
from typing import final

from pushcast.chunk import ChunkReader, Message

@final
class MediaSocket:
    attend_at: int
    def __init__(
        self,
        fd: int,
        reader: ChunkReader,
        attend: Callable[[list[Message]], None],
        end: Callable[[Exception | None], None],
    ) -> None: ...
    @property
    def fd(self) -> int: ...
    def __call__(self) -> bool: ...
    def close(self) -> None: ...
