from typing import Final, TypedDict, final

from pushcast.destination import Destination

EVENT_STARTED: Final = 1
EVENT_OVERLOADED: Final = 2
EVENT_RELIEVED: Final = 4
EVENT_LOST: Final = 8
EVENT_RELEASED: Final = 16
SLOT_MS: Final = 4
PACED_MS: Final = 1
PACED_MOST_MS: Final = 20

class _Statistics(TypedDict):
    busy_permille: int
    late_us_max: int
    udp: tuple[int, int]
    srt: tuple[int, int]
    tcp: tuple[int, int]
    paced: tuple[int, int]

@final
class Sender:
    def __init__(
        self,
        udp_ms: int = 20,
        srt_ms: int = 20,
        tcp_ms: int = 40,
        udp_most_ms: int = 0,
        srt_most_ms: int = 0,
        tcp_most_ms: int = 0,
    ) -> None: ...
    @property
    def event_fd(self) -> int: ...
    @property
    def population_count(self) -> int: ...
    def run(self) -> None: ...
    def stop(self) -> None: ...
    def attach(self, destination: Destination) -> None: ...
    def detach(
        self, destination: Destination, final: bytes | bytearray | memoryview = b"", drain_ms: int = 1000
    ) -> None: ...
    def statistics(self) -> _Statistics: ...
    def events(self) -> list[tuple[Destination, int, int]]: ...
