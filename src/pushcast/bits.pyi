"""The bit reader of the parsers, for C functions: see ext/pushcast/bits.pyx."""

from typing import final

@final
class Bits:
    """Reads big-endian bit fields of ``data``; running over the end is a MediaError that says ``name``."""

    def __init__(self, data: bytes, name: str) -> None: ...
