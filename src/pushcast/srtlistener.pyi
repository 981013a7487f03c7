"""Callers that publish over SRT: one listening port, one thread that reads them all."""

from collections.abc import Callable, Iterable
from typing import final

from pushcast.srt import SrtSocket
from pushcast.tstap import TsTap

class SrtRefusal(Exception):
    """``code``: what the caller is told, libsrt's (1000 and above)."""

    code: int
    def __init__(self, code: int, reason: str) -> None: ...

@final
class SrtListener(SrtSocket):
    """``decide(stream_id, (host, port))``, on libsrt's thread: the passphrase that the caller must have, "" for none,
    or SrtRefusal.  ``accepted(publisher)`` on the intake's thread.  Options are inherited.
    """

    def __init__(
        self,
        options: Iterable[tuple[str, int | str | bytes]],
        decide: Callable[[str, tuple[str, int]], str],
        accepted: Callable[[SrtPublisher], None],
    ) -> None: ...
    def listen(self) -> None:
        """Take callers from now on; bound before."""

@final
class SrtPublisher:
    """A caller that was accepted."""

    @property
    def stream_id(self) -> str: ...
    @property
    def address(self) -> tuple[str, int]: ...
    def start(self, tap: TsTap, end: Callable[[Exception | None], None]) -> None:
        """Where its bytes go, and who is told, on the intake's thread, that no more will come."""

    def statistics(self) -> dict[str, float] | None:
        """libsrt's figures since the beginning, by the names of the API; None once closed."""

    def close(self) -> None:
        """The intake must have forgotten it.  May block: not on the event loop."""

@final
class SrtIntake:
    """``run`` in a thread of its own; the other methods from anywhere."""

    def __init__(self) -> None: ...
    def listen(self, listener: SrtListener) -> None: ...
    def add(self, publisher: SrtPublisher) -> None: ...
    def remove(self, publisher: SrtPublisher) -> None:
        """To be called before it is closed."""

    def run(self) -> None: ...
    def stop(self) -> None: ...
