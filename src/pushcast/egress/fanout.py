"""FanOut: the sender threads as the event loop sees them.

``attach`` hands an accepted link to the sender thread that has the fewest bytes to send; from then on that thread
alone writes to the link's socket.  A sender reports over its event descriptor, which the event loop reads: a
destination that was lost resolves ``Attachment.lost``, one that was let go resolves what ``Attachment.release`` waits
for.  A link may be closed only after the release: before it the thread may be inside a send on that socket.
"""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, NamedTuple

from pushcast.destination import Destination
from pushcast.egress.link import Link
from pushcast.errors import ConnectionLost, EngineError, LocalProtocolError, Stalled
from pushcast.log import logger
from pushcast.sender import (
    EVENT_LOST,
    EVENT_OVERLOADED,
    EVENT_RELEASED,
    EVENT_RELIEVED,
    EVENT_STARTED,
    PACED_MOST_MS,
    PACED_MS,
    Sender,
)

if TYPE_CHECKING:
    from pushcast.counters import Tally
    from pushcast.feed import Feed
    from pushcast.ring import Ring

_log = logger("fanout")

# A sender answers a detach within its drain time and a tick; the rest is slack for a machine that stands still for
# seconds.
RELEASE_SLACK_S = 5.0
JOIN_TIMEOUT_S = 2.0
# A stream whose rate is not known yet counts as this much: 4.8 Mbit/s.
ASSUMED_BYTES_PER_S = 600_000


@dataclass(frozen=True, slots=True)
class Pace:
    """How often a kind of destination is served: every ``ms``, and under load less often, down to every ``most_ms``."""

    ms: int
    most_ms: int


PACED = Pace(PACED_MS, PACED_MOST_MS)


@dataclass(frozen=True, slots=True)
class Turns:
    """The pace of one kind of destination on one thread, now."""

    interval_ms: int
    destinations: int


@dataclass(frozen=True, slots=True)
class ThreadStatistics:
    """One sender thread: ``busy`` is the part of its last second, ``late_ms_max`` its worst wake-up so far."""

    name: str
    bytes_per_s: int
    busy: float
    late_ms_max: float
    udp: Turns
    srt: Turns
    tcp: Turns
    paced: Turns


class Counters(NamedTuple):
    """What a sender did for one destination: bytes are all that the socket took, ``last_send_ns`` is monotonic."""

    sent_bytes: int
    sends: int
    jumps: int
    skipped_spans: int
    lag_ms: int
    max_gap_ms: int
    refused: int
    last_send_ns: int
    blocked_ms: int


class Attachment:
    """One link in the hands of a sender."""

    def __init__(self, worker: _Worker, destination: Destination, ring: Ring, link: Link, stall_ms: int) -> None:
        loop = asyncio.get_running_loop()
        self.lost: asyncio.Future[EngineError] = loop.create_future()
        self.ring = ring
        self.overloaded = False
        self.on_start: Callable[[], None] | None = None
        """Told that the first media have left."""
        self._worker = worker
        self._link = link
        self.destination = destination
        self._stall_ms = stall_ms
        self._released: asyncio.Future[None] = loop.create_future()

    @property
    def zero_ms(self) -> int:
        """The time that the peer was told to be 0."""
        return self.destination.zero_ms

    @property
    def sent_bytes(self) -> int:
        """Of the counters this one, for who asks often."""
        return self.destination.sent_bytes

    def counters(self) -> Counters:
        """A snapshot, read without a lock; it stays right after the release."""
        return Counters._make(self.destination.progress())

    @property
    def overload(self) -> str:
        """Why this link cannot carry what it should; empty while it can."""
        if not self.overloaded:
            return ""
        row = self.destination.counters()
        return (
            f"{row['send_buffer_ms']} ms of media wait in the send buffer, where {row['send_buffer_allowed_ms']} ms are"
            f" still in time; {row['dropped_packets']} packets were dropped as too late since the connect"
        )

    def control(self, data: bytes) -> None:
        """Have the sender write these bytes between two spans; a peer that asks for more than it reads is lost."""
        if self._released.done() or self.lost.done():
            return
        try:
            self.destination.control(data)
        except BufferError as error:
            self.give_up(ConnectionLost(f"the peer asks for replies and does not read them: {error}"))

    async def release(self, final: bytes = b"", drain_ms: int = 1000) -> None:
        """Take the link back: the sender finishes the span in hand, writes ``final`` and lets go, within ``drain_ms``.

        :raises LocalProtocolError: the sender thread does not answer; the link must not be closed.
        """
        self._worker.detach(self.destination, final, drain_ms)
        try:
            async with asyncio.timeout(drain_ms / 1000 + RELEASE_SLACK_S):
                await asyncio.shield(self._released)
        except TimeoutError:
            raise LocalProtocolError("a sender thread did not release a destination") from None

    def abandon(self) -> None:
        """Have the sender let go at once, and wait for nothing: the end of a task that was cancelled."""
        self._worker.detach(self.destination, b"", 0)

    def on_feed_failed(self, error: EngineError) -> None:
        """Give up, told on any thread."""
        self.lost.get_loop().call_soon_threadsafe(self.give_up, error)

    def give_up(self, error: EngineError) -> None:
        """Resolve ``lost`` with this error, unless it is lost already."""
        if not self.lost.done():
            self.lost.set_result(error)

    def on_lost(self, code: int) -> None:
        self.give_up(_lost(code, self._stall_ms))

    def on_overload(self, overloaded: bool) -> None:
        self.overloaded = overloaded
        self._link.on_overload(self.overload)

    def on_released(self) -> None:
        if not self._released.done():
            self._released.set_result(None)


class _Worker:
    """One sender, its thread and what is attached to it."""

    def __init__(self, sender: Sender, index: int) -> None:
        self.sender = sender
        self.attachments: dict[Destination, Attachment] = {}
        self._rings: Counter[Ring] = Counter()
        self.thread = threading.Thread(target=sender.run, name=f"sender-{index}", daemon=True)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(sender.event_fd, self._on_events)
        self.thread.start()

    @property
    def bytes_per_s(self) -> int:
        """What it has to send by the rates that its streams have now."""
        return sum((ring.bytes_per_s or ASSUMED_BYTES_PER_S) * count for ring, count in self._rings.items())

    def attach(self, destination: Destination, attachment: Attachment) -> None:
        self.attachments[destination] = attachment
        self._rings[attachment.ring] += 1
        self.sender.attach(destination)

    def detach(self, destination: Destination, final: bytes, drain_ms: int) -> None:
        if destination in self.attachments:
            self.sender.detach(destination, final, drain_ms)

    def statistics(self) -> ThreadStatistics:
        said = self.sender.statistics()
        return ThreadStatistics(
            name=self.thread.name,
            bytes_per_s=self.bytes_per_s,
            busy=said["busy_permille"] / 1000,
            late_ms_max=said["late_us_max"] / 1000,
            udp=Turns(*said["udp"]),
            srt=Turns(*said["srt"]),
            tcp=Turns(*said["tcp"]),
            paced=Turns(*said["paced"]),
        )

    async def stop(self) -> None:
        """End the thread; what was still attached is released as it is."""
        self.sender.stop()
        await asyncio.to_thread(self.thread.join, JOIN_TIMEOUT_S)
        if self.thread.is_alive():
            _log.error("%s did not stop within %g s", self.thread.name, JOIN_TIMEOUT_S)
        self._on_events()
        self._loop.remove_reader(self.sender.event_fd)

    def _on_events(self) -> None:
        for destination, kind, code in self.sender.events():
            attachment = self.attachments.get(destination)
            if attachment is None:
                continue
            if kind == EVENT_STARTED and attachment.on_start is not None:
                attachment.on_start()
            elif kind == EVENT_LOST:
                attachment.on_lost(code)
            elif kind in (EVENT_OVERLOADED, EVENT_RELIEVED):
                attachment.on_overload(kind == EVENT_OVERLOADED)
            elif kind == EVENT_RELEASED:
                self._forget(destination)
                attachment.on_released()

    def _forget(self, destination: Destination) -> None:
        ring = self.attachments.pop(destination).ring
        self._rings[ring] -= 1
        if not self._rings[ring]:
            del self._rings[ring]


class FanOut:
    """The sender threads; they start with the object, which is made on the running event loop."""

    def __init__(
        self, udp: Pace = Pace(20, 40), srt: Pace = Pace(20, 40), tcp: Pace = Pace(40, 200), threads: int = 1
    ) -> None:
        self.paces = MappingProxyType({"udp": udp, "srt": srt, "tcp": tcp, "paced": PACED})
        each_ms = (udp.ms, srt.ms, tcp.ms, udp.most_ms, srt.most_ms, tcp.most_ms)
        self._workers = [_Worker(Sender(*each_ms), index) for index in range(threads)]

    def attach(
        self,
        feed: Feed,
        link: Link,
        *,
        start: Literal["gop", "next"] = "gop",
        max_lag_ms: int = 5000,
        stall_ms: int = 10000,
        delay_ms: int = 0,
        pace: int | None = None,
        tally: Tally | None = None,
        before: Attachment | None = None,
    ) -> Attachment:
        """Start sending a feed to a link.

        ``start``: begin at the newest keyframe there is, or wait for the next; ``max_lag_ms``: further behind than
        this the destination jumps to a keyframe; ``stall_ms``: a peer that takes nothing for so long is lost;
        ``delay_ms``: how far it stays behind the stream; ``pace``: None sends what is there, a number so many bits a
        second, 0 each frame within the time until the next; ``tally``: what else counts the bytes that are sent;
        ``before``: the attachment of the same link that was released, whose time goes on.
        """
        worker = min(self._workers, key=lambda each: (each.bytes_per_s, len(each.attachments)))
        zero_ms = before.zero_ms if before is not None else -1
        destination = Destination(
            feed.ring,
            feed.muxer,
            link.transport,
            link.message_stream_id,
            start=start,
            max_lag_ms=max_lag_ms,
            stall_ms=stall_ms,
            zero_ms=zero_ms,
            delay_ms=delay_ms,
            pace=pace,
            tally=tally,
        )
        attachment = Attachment(worker, destination, feed.ring, link, stall_ms)
        worker.attach(destination, attachment)
        return attachment

    def statistics(self) -> list[ThreadStatistics]:
        """How each thread is doing."""
        return [worker.statistics() for worker in self._workers]

    async def close(self) -> None:
        """Stop the threads; whatever is still attached gets nothing more.  A second call does nothing."""
        workers, self._workers = self._workers, []
        await asyncio.gather(*(worker.stop() for worker in workers))


def _lost(code: int, stall_ms: int) -> EngineError:
    if code == errno.ETIMEDOUT:
        return Stalled(f"the peer took nothing for {stall_ms} ms")
    if code == errno.EOVERFLOW:
        return Stalled("the peer fell behind further than the ring holds, in the middle of a message")
    if code == errno.ENOBUFS:
        return ConnectionLost("the peer asks for replies and does not read them")
    return ConnectionLost(f"the connection was lost: {os.strerror(code)}")
