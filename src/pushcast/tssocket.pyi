"""Sockets that bring a transport stream, read by an Intake."""

from collections.abc import Callable
from typing import final

from pushcast.mediasocket import ReadySocket
from pushcast.tstap import TsTap

class TsSocket(ReadySocket):
    def __init__(self, fd: int, tap: TsTap, end: Callable[[Exception | None], None]) -> None: ...
    @property
    def tap(self) -> TsTap: ...
    def figures(self) -> dict[str, int]:
        """What it counts, by the names of the API."""

@final
class TsStreamSocket(TsSocket):
    """Over a connected TCP socket."""

@final
class TsDatagramSocket(TsSocket):
    """Over a bound UDP socket.

    ``rtp``: behind RTP headers.  ``silent_s``: so long after its last datagram another sender is taken.
    """

    def __init__(
        self, fd: int, tap: TsTap, end: Callable[[Exception | None], None], rtp: bool, silent_s: float
    ) -> None: ...
    @property
    def strangers(self) -> int:
        """Datagrams of others than the sender."""

    @property
    def malformed(self) -> int:
        """Datagrams that are no RTP."""

    @property
    def lost(self) -> int:
        """RTP packets that did not come, by their numbers."""

    @property
    def sender_address(self) -> tuple[str, int] | None: ...
