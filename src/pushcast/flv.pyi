from collections.abc import Iterable, Sequence
from typing import final

from pushcast.media import Enhanced, Track
from pushcast.muxer import Muxer
from pushcast.ring import Ring

@final
class RtmpMuxer(Muxer):
    """``cues``: ids of tracks of splice information, whose sections go out as onCuePoint."""

    def __init__(
        self,
        ring: Ring,
        tracks: Sequence[Track],
        chunk_size: int = 65536,
        enhanced: Enhanced = ...,
        cues: Iterable[int] = (),
    ) -> None: ...
