from collections.abc import Iterable
from typing import final

from pushcast.media import Track
from pushcast.source import FrameTap, Source

@final
class Relay(FrameTap):
    def __init__(
        self,
        origin: Source,
        target: Source,
        tracks: Iterable[tuple[Track, int]],
        group: list[Relay] | None = None,
        base: int = 0,
    ) -> None: ...
    @property
    def origin(self) -> Source: ...
    @property
    def shift(self) -> int: ...
    @property
    def aligned(self) -> bool: ...
