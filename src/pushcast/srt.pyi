"""SRT callers over libsrt."""

import asyncio
from collections.abc import Iterable
from typing import final

from pushcast.transport import Transport

@final
class SrtCaller:
    """A caller socket until its peer has accepted: options first, then bind, then connect through an SrtConnector.

    ``options``: pairs of libsrt's option name and value in libsrt's unit.  Raises SrtError when libsrt refuses one.
    """

    def __init__(self, options: Iterable[tuple[str, int | str | bytes]] = ()) -> None: ...
    def set(self, name: str, value: int | str | bytes) -> None:
        """Set one option; KeyError for an unknown name, SrtError (name, never the value) when libsrt refuses it."""

    def bind(self, family: int, address: str, port: int) -> int:
        """Bind to a local UDP port, 0 for any; returns the port.  An empty address means every interface."""

    def connect(self, family: int, address: tuple[str, int] | tuple[str, int, int, int]) -> None:
        """Begin to connect."""

    def close(self) -> None:
        """Close the socket unless an SrtTransport has it.  May block: not on the event loop."""

    @property
    def closed(self) -> bool: ...

@final
class SrtConnector:
    """Waits for the connects of one event loop, without a thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None: ...
    def connect(
        self, caller: SrtCaller, family: int, address: tuple[str, int] | tuple[str, int, int, int]
    ) -> asyncio.Future[int | None]:
        """A future: None when the peer has accepted, else libsrt's reject reason.  Cancelling it stops the waiting."""

@final
class SrtTransport(Transport):
    """The sending side of a connected caller, whose socket it takes.  ``close()`` may block: not on the event loop."""

    def __init__(self, caller: SrtCaller, datagram_bytes: int = 1316) -> None: ...
    @property
    def connected(self) -> bool:
        """False once the connection is broken or closed."""

    def stats(self) -> dict[str, int | float]:
        """libsrt's sender-side figures, units in the names; empty once the connection is gone."""
