from typing import Final, final

from pushcast.destination import Destination

FOUND_WELL: Final[int]
FOUND_TAKES_NOTHING: Final[int]
FOUND_CONFIRMS_NOTHING: Final[int]
FOUND_OVERLOADED: Final[int]
FOUND_BEHIND: Final[int]
FOUND_JUMPED: Final[int]
FOUND_DROPPED: Final[int]
FOUND_REFUSED: Final[int]
FOUND_RESENT: Final[int]
FOUND_SILENT: Final[int]
TROUBLE_S: Final[float]

@final
class Pulse:
    bits_per_s: float
    confirmed_time: float
    figure: float
    def __init__(self, destination: Destination | None, now_ns: int, stalled_ms: int) -> None: ...
    def look(self, overloaded: bool = False) -> int: ...
    def weigh_figures(
        self,
        now_ns: int,
        *,
        sent_bytes: int = 0,
        jumps: int = 0,
        refused: int = 0,
        lag_ms: int = 0,
        last_send_ns: int = 0,
        blocked_ms: int = 0,
        seen: tuple[int, int, int, int, bool] | None = None,
        overloaded: bool = False,
    ) -> int: ...
