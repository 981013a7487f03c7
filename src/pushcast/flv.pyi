from collections.abc import Sequence
from typing import final

from pushcast.media import Track
from pushcast.muxer import Muxer
from pushcast.ring import Ring

@final
class RtmpMuxer(Muxer):
    def __init__(self, ring: Ring, tracks: Sequence[Track], chunk_size: int = 65536) -> None: ...
