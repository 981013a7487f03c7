from typing import final

from pushcast.ring import Ring

@final
class Pace:
    def __init__(self, ring: Ring, bits_per_s: int = 0) -> None: ...
    def take(self, now_ns: int) -> int: ...
