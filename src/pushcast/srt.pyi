"""SRT callers over libsrt."""

from collections.abc import Iterable
from typing import final

def library_version() -> str: ...
def has_bonding() -> bool: ...

class SrtSocket:
    """A socket of libsrt's: options first, then bind.

    ``options``: pairs of libsrt's option name and value in libsrt's unit.  Raises SrtError when libsrt refuses one.
    """

    def __init__(self, options: Iterable[tuple[str, int | str | bytes]] = ()) -> None: ...
    def set(self, name: str, value: int | str | bytes) -> None:
        """Set one option; KeyError for an unknown name, SrtError (name, never the value) when libsrt refuses it."""

    def bind(self, family: int, address: str, port: int) -> int:
        """Bind to a local UDP port, 0 for any; returns the port.  An empty address means every interface."""

    def bind_to(self, udp: int) -> None:
        """Instead of bind: use the UDP socket of this descriptor, which is bound, by a descriptor of its own."""

    def close(self) -> None:
        """Close the socket unless an SrtTransport has it.  May block: not on the event loop."""

    @property
    def closed(self) -> bool: ...

@final
class SrtCaller(SrtSocket):
    """A caller socket until its peer has accepted: bound first, then connected through an SrtConnector."""

    def connect(self, family: int, address: tuple[str, int] | tuple[str, int, int, int]) -> None:
        """Begin to connect."""
