"""PES packets of one PID to frames of one track: the base of nalparser and audioparser, and data."""

from collections.abc import Callable, Mapping

from pushcast.media import Codec
from pushcast.source import Source

ReadableBuffer = bytes | bytearray | memoryview

class EsParser:
    """``track``: the id that frames go out with.  ``known``: a decoder could be made, and frames go out."""

    track: int
    def __init__(self, source: Source, track: int, codec: Codec) -> None: ...
    @property
    def codec(self) -> Codec:
        """Of MPEG audio and AC-3 a guess until ``known``."""

    @property
    def config(self) -> bytes:
        """As ``Track.config``."""

    @property
    def facts(self) -> Mapping[str, int | float]:
        """Members of ``Track`` that the stream itself says."""

    @property
    def known(self) -> bool: ...
    @property
    def reason(self) -> str | None:
        """Why its frames cannot be passed on, None while they can."""

    @property
    def damaged(self) -> int:
        """Access units that were left out."""

    def on_known(self, listener: Callable[[], None]) -> None:
        """Call the listener when the first configuration has come, before the frame that it came with."""

    def feed(
        self, data: ReadableBuffer, pts: int | None = None, dts: int | None = None, random_access: bool = False
    ) -> None:
        """The payload of one PES packet, times at 90 kHz."""

class SpliceParser(EsParser):
    def __init__(self, source: Source, track: int, codec: Codec, config: bytes) -> None: ...

class DataParser(EsParser):
    def __init__(self, source: Source, track: int, codec: Codec, config: bytes) -> None: ...
