"""Sending over SRT."""

from typing import final

from pushcast.srt import SrtCaller
from pushcast.transport import Transport

@final
class SrtTransport(Transport):
    """The sending side of a connected caller, whose socket it takes.  ``close()`` may block: not on the event loop."""

    def __init__(self, caller: SrtCaller, datagram_bytes: int = 1316) -> None: ...
    @property
    def connected(self) -> bool:
        """False once the connection is broken or closed."""

    def stats(self) -> dict[str, int | float]:
        """libsrt's sender-side figures, units in the names; empty once the connection is gone."""
