from pushcast.ring import Ring

class Muxer:
    @property
    def ring(self) -> Ring: ...
    def write_frame(
        self, track: int, dts: int, pts: int, flags: int, data: bytes | bytearray | memoryview
    ) -> None: ...
