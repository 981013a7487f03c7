"""What every egress protocol is made of: a Target (where to), a Link (a peer that accepted us), a Protocol (how to
get there).

A Protocol parses and connects on the event loop.  Once the peer has accepted, the Link's transport is handed to a
sender thread, which alone writes to it; the Link keeps the reading half (`watch`) and closes the socket after the
sender released it.

Links stay for hours, and there are hundreds of them: they call back instead of keeping a task waiting.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from pushcast.errors import EngineError
from pushcast.log import endpoint
from pushcast.media import Container, Enhanced
from pushcast.tsoptions import TsOptions

if TYPE_CHECKING:
    from pushcast.transport import Transport

NO_OPTIONS: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Target:
    """A parsed destination.  Subclasses keep what is secret out of their repr with ``field(repr=False)``.

    ``ts_options``: what a transport stream for it has otherwise than usual; ``spreads_frames``: each frame leaves
    within the time until the next one, and not at once; ``enhanced``: how much of enhanced RTMP its server gets.
    """

    host: str
    port: int
    ts_options: TsOptions | None = field(default=None, kw_only=True)
    spreads_frames: bool = field(default=False, kw_only=True)
    enhanced: Enhanced = field(default=Enhanced.AUTO, kw_only=True)

    @property
    def pace(self) -> int | None:
        """As a sender's Destination has it."""
        if self.ts_options is not None and self.ts_options.mux_bits_per_s:
            return self.ts_options.mux_bits_per_s
        return 0 if self.spreads_frames else None

    @property
    def endpoint(self) -> str:
        return endpoint(self.host, self.port)

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is allowed and should be known of, a sentence each."""
        return ()


class Link:
    """A connected peer that accepted us."""

    __slots__ = ("message_stream_id", "on_control", "on_lost", "on_moved", "transport")

    transport: Transport
    message_stream_id: int
    on_control: Callable[[bytes], None] | None
    """Set by the owner: takes bytes that the sender must write between two spans (acknowledgements, ping responses)."""
    on_lost: Callable[[EngineError], None] | None
    """Set by the owner before it watches: told, once, that the peer closed, refused or is lost."""
    on_moved: Callable[[Target], None] | None
    """Set by the owner: told that the peer wants us to go on at another place, or here on a new connection."""

    def __init__(self, transport: Transport, message_stream_id: int = 0) -> None:
        self.transport = transport
        self.message_stream_id = message_stream_id
        self.on_control = None
        self.on_lost = None
        self.on_moved = None

    def final(self) -> bytes:
        """Bytes that say goodbye at a wanted stop; empty where the protocol has no such words."""
        return b""

    def watch(self) -> None:
        """Begin to look after the peer; ``on_lost`` may be called before this returns."""
        raise NotImplementedError(f"{type(self).__name__} does not watch its peer")

    def unwatch(self) -> None:
        """Look after the peer no more and call nobody back."""
        self.on_control = None
        self.on_lost = None
        self.on_moved = None

    def lose(self, error: EngineError) -> None:
        """For the link itself: tell the owner, unless it was told already."""
        on_lost, self.on_lost = self.on_lost, None
        if on_lost is not None:
            on_lost(error)

    async def farewell(self) -> None:
        """After the release at a wanted stop: wait, for a bounded time, until closing loses nothing that was sent."""

    async def close(self) -> None:
        """Close the connection.  Only after the sender has released the transport; a second call does nothing."""
        self.transport.close()

    def on_overload(self, reason: str) -> None:
        """This link's transport has more to carry than it can, for this reason; empty: no longer."""

    def described(self) -> dict[str, Any]:
        """What the API shows of the connection and does not change while it lasts; empty when there is nothing."""
        return {}

    def stats(self) -> dict[str, int | float]:
        """Figures of this protocol alone, units in the names; empty when there are none."""
        return {}


class Protocol(ABC):
    """One way to push.  Holds no state of a single push."""

    name: ClassVar[str]
    container: ClassVar[Container]
    members: ClassVar[tuple[str, ...]] = ()
    """Members of a request that belong to this protocol alone."""

    @abstractmethod
    def parse(self, url: str, stream_key: str, options: Mapping[str, Any] = NO_OPTIONS) -> Target:
        """The destination of a request; ``options`` are its ``members``.  Raises InvalidRequest with the API's text."""

    @abstractmethod
    async def connect(self, target: Target, bytes_per_s: int) -> Link:
        """Connect and hand-shake.  Raises EngineError; the caller bounds it in time by cancelling it.

        ``bytes_per_s`` is the media rate as far as known, 0 when unknown: it sizes buffers.
        """
