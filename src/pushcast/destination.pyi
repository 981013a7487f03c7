from typing import Literal, final

from pushcast.counters import CounterTable, Tally
from pushcast.muxer import Muxer
from pushcast.ring import Ring
from pushcast.transport import Transport

TABLE: CounterTable

@final
class Destination:
    def __init__(
        self,
        ring: Ring,
        muxer: Muxer,
        transport: Transport,
        message_stream_id: int = 0,
        start: Literal["gop", "next"] = "gop",
        max_lag_ms: int = 5000,
        stall_ms: int = 10000,
        zero_ms: int = -1,
        delay_ms: int = 0,
        pace: int | None = None,
        tally: Tally | None = None,
    ) -> None: ...
    @property
    def zero_ms(self) -> int:
        """What another destination on the same connection goes on from; right once this one was released."""

    @property
    def transport(self) -> Transport: ...
    @property
    def row(self) -> int: ...
    @property
    def sent_bytes(self) -> int: ...
    def control(self, data: bytes | bytearray | memoryview) -> None: ...
    def counters(self) -> dict[str, int]: ...
    def progress(self) -> tuple[int, int, int, int, int, int, int, int, int]: ...
    def reset_gap(self) -> None: ...
