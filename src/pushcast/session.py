"""Session: one stretch in which the peer of a push takes its stream, from the accepted link to its close.

A sender thread has the link's transport meanwhile (egress/fanout.py).  When the stream ends, a push that asks for it
(``holdMs``) keeps the connection: the session then goes on with the next stream of the same name, on the same
connection and the same time line, so that the peer sees a pause and no end.

The push owns it: it says whether to leave, and what became of it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, Protocol

from pushcast.connect import close_in_time, connect_in_time, connect_unless, selection, take_feed
from pushcast.egress import Link, Target
from pushcast.egress.fanout import Attachment, FanOut
from pushcast.errors import ConnectionLost, EngineError, Stalled
from pushcast.health import WELL, Condition, Health, condition, new_pulse
from pushcast.log import Prefixed
from pushcast.settings import PushSettings
from pushcast.stream import OutputStream

if TYPE_CHECKING:
    from pushcast.counters import Tally
    from pushcast.feed import Feed

DRAIN_MS = 1000  # a wanted stop waits no longer for the peer to take the span in hand and the final bytes
TURNS_MS = 100  # after which a sender has surely come to what is due
BEGIN_DEADLINE_S = 30.0  # from an accepted second link to its first keyframe
MOVE_PAUSE_NS = 10_000_000_000  # a peer that asks us to go elsewhere more often is not heard
YOUNG_MS = 500  # a stream that began so lately is joined at its beginning

_HELD = Condition(Health.DEGRADED, "the stream is gone, and the connection is held for it")

Start = Literal["gop", "next"]
Following = Callable[[OutputStream], OutputStream | None]
"""Finds the live stream of the same name."""


class Owner(Protocol):
    """What a session asks of its push."""

    settings: PushSettings
    tally: Tally | None

    @property
    def log(self) -> Prefixed: ...
    @property
    def target(self) -> Target: ...
    def leaves(self) -> str:
        """Why it must end; empty while it may go on."""

    def interrupt(self) -> None:
        """Let whatever waits for :meth:`interruption` look again."""

    def interruption(self, done: bool) -> asyncio.Future[None]:
        """What the next :meth:`interrupt` resolves; ``done``: it is at once."""


class Session:
    """Begins with the sender's taking over; takes ``feed``, which it gives back to its stream at the end."""

    __slots__ = (
        "_asked_to",
        "_attachment",
        "_carried_bytes",
        "_carried_send_ns",
        "_fanout",
        "_feed",
        "_leaving",
        "_link",
        "_loss",
        "_moved_to",
        "_next_move_ns",
        "_owner",
        "_pulse",
        "_start_ns",
        "condition",
        "holding",
        "stream",
        "stream_lost",
    )

    def __init__(self, owner: Owner, stream: OutputStream, feed: Feed, link: Link, fanout: FanOut) -> None:
        self.stream = stream
        self.condition = WELL
        self.holding = False  # the stream is gone, and the connection waits for the next one
        self.stream_lost = False  # the same, or what was delayed is still sent
        self._owner = owner
        self._feed = feed
        self._link = link
        self._fanout = fanout
        self._attachment = self._attach(feed, link)
        self._start_ns = time.monotonic_ns()
        self._pulse = new_pulse(self._attachment.destination)
        self._carried_bytes = 0  # of the streams before this one
        self._carried_send_ns = 0
        self._loss: EngineError | None = None  # what the link said when it lost its peer
        self._asked_to: Target | None = None  # where the peer wants us to go on
        self._moved_to = ""
        self._next_move_ns = 0
        self._leaving: asyncio.Task[None] | None = None  # the way out of the link before this one

    async def run(self, following: Following) -> EngineError | None:
        """Until it is over: why it failed, None when it ended as wanted.  Then comes :meth:`release`."""
        try:
            self._watch()
            self._link.watch()
            while True:
                # For hours, in hundreds of pushes: these frames and one future are all that waits.
                await self._owner.interruption(self._has_to_act() or self._asked_to is not None)
                if self._asked_to is not None and not self._has_to_act():
                    await self._move(self._asked_to)
                    continue
                following_one = await self._held(following)
                if following_one is None:
                    break
                await self._go_on(*following_one)
        except EngineError as error:
            return error  # the stream that is back has not what is asked for
        except BaseException:
            self._attachment.abandon()
            raise
        finally:
            self._link.unwatch()
            self._unwatch()
        return self._failure()

    async def release(self, *, wanted: bool) -> None:
        """Take the link back from the sender; ``wanted``: with the protocol's goodbye."""
        await self._attachment.release(self._link.final() if wanted else b"", DRAIN_MS)

    async def close(self, *, wanted: bool) -> None:
        """Close the link, after the release; ``wanted``: when that loses nothing that was sent."""
        if self._leaving is not None:
            await self._leaving
        if wanted:
            await self._link.farewell()
        await close_in_time(self._link, self._owner.log)

    def give_back(self) -> None:
        """The feed, to its stream."""
        self.stream.release(self._feed)

    def totals(self) -> tuple[int, int]:
        """(bytes, milliseconds) that were sent; right after the end too."""
        counters = self._attachment.counters()
        last_send_ns = counters.last_send_ns or self._carried_send_ns
        return self._carried_bytes + counters.sent_bytes, max(0, (last_send_ns - self._start_ns) // 1_000_000)

    @property
    def lasted_s(self) -> float:
        return (time.monotonic_ns() - self._start_ns) / 1e9

    @property
    def attachment(self) -> Attachment:
        return self._attachment

    @property
    def overload(self) -> str:
        """Why the link cannot carry what it should; empty while it can."""
        return self._attachment.overload

    def described(self) -> dict[str, Any]:
        """What is to be known of the connection."""
        return self._link.described() | ({"movedTo": self._moved_to} if self._moved_to else {})

    def look(self) -> Condition:
        """Hold it against what its peer has confirmed; the condition before."""
        before = self.condition
        attachment = self._attachment
        if (selfcheck := self._feed.selfcheck) is not None:
            selfcheck.look()
        if self.holding:
            self.condition = _HELD
        elif found := self._pulse.look(attachment.overloaded):
            self.condition = condition(found, self._pulse.figure, attachment.overload)
        else:
            self.condition = WELL
        return before

    def figures(self) -> dict[str, Any]:
        """What is known of it, units in the names."""
        counters = self._attachment.counters()
        return {
            "bits_per_s": round(self._pulse.bits_per_s),
            "lag_ms": counters.lag_ms,
            "max_gap_ms": counters.max_gap_ms,
            "blocked_ms": counters.blocked_ms,
            "jumps": counters.jumps,
            "skipped_frames": counters.skipped_spans,
            "refused_datagrams": counters.refused,
            "confirmed_time": self._pulse.confirmed_time,
            **({"transport_stream": selfcheck.counts()} if (selfcheck := self._feed.selfcheck) is not None else {}),
            **self._link.stats(),
        }

    def _attach(self, feed: Feed, link: Link, *, start: Start = "gop", before: Attachment | None = None) -> Attachment:
        settings = self._owner.settings
        pace = settings.target.pace
        if pace and feed.ring.due_in_ms(YOUNG_MS) == 0:
            start = "next"  # at a constant rate nobody catches up: whoever began in the past would stay there
        return self._fanout.attach(
            feed,
            link,
            start=start,
            stall_ms=round(settings.stall_timeout_s * 1000),
            delay_ms=settings.delay_ms,
            pace=pace,
            tally=self._owner.tally,
            before=before,
        )

    def _watch(self) -> None:
        """Have whatever ends the session interrupt the push."""
        self._attachment.lost.add_done_callback(self._on_detached)
        self._feed.on_failure(self._attachment.on_feed_failed)
        self._link.on_control = self._attachment.control
        self._link.on_lost = self._on_lost
        self._link.on_moved = self._on_moved

    def _unwatch(self) -> None:
        """Leave nothing that leads back here: a session that is over is freed at once."""
        self._attachment.lost.remove_done_callback(self._on_detached)
        self._feed.forget(self._attachment.on_feed_failed)

    def _on_lost(self, error: EngineError) -> None:
        self._loss = error
        self._owner.interrupt()

    def _on_moved(self, target: Target) -> None:
        """A peer that asks again and again is not followed again and again."""
        now_ns = time.monotonic_ns()
        if now_ns >= self._next_move_ns:
            self._next_move_ns = now_ns + MOVE_PAUSE_NS
            self._asked_to = target
            self._owner.interrupt()

    def _on_detached(self, _: asyncio.Future[EngineError]) -> None:
        self._owner.interrupt()

    def _failure(self) -> EngineError | None:
        """Why the session ended; None when that was wanted."""
        # What the peer says is better to know than what the socket then says.  Raised, it would keep its frames here.
        loss, self._loss = self._loss, None
        if loss is not None:
            return loss
        if self._owner.leaves() or self.stream.ended.is_set():
            return None
        error = self._attachment.lost.result()
        if isinstance(error, ConnectionLost | Stalled):
            return type(error)(f"{self._owner.target.endpoint}: {error}")  # what a sender tells has no name of a peer
        return error

    async def _held(self, following: Following) -> tuple[OutputStream, Feed] | None:
        """Keep the connection of a stream that ended until the next one of its name is there, and all that was delayed
        has been sent.

        None: it is not held, or no longer.
        """
        settings = self._owner.settings
        loop = asyncio.get_running_loop()
        end = loop.time() + settings.hold_s
        found: OutputStream | None = None
        feed: Feed | None = None
        self.stream_lost = True
        try:
            while (settings.hold_s or settings.delay_ms) and self.stream.ended.is_set() and not self._is_over():
                if found is None and (found := following(self.stream)) is not None:
                    # Now, for its ring begins with this.
                    feed = take_feed(settings, found, selection(settings, found))
                rest_s = self._rest_s()
                if found is not None and feed is not None and rest_s <= 0:
                    taken, feed = feed, None
                    return found, taken
                left_s = rest_s if found is not None else max(end - loop.time(), rest_s)
                if left_s <= 0:
                    return None
                self._begin_holding(rest_s)
                await asyncio.wait({self._owner.interruption(False)}, timeout=left_s)
            return None
        finally:
            self.holding = self.stream_lost = False
            if found is not None and feed is not None:
                found.release(feed)

    def _rest_s(self) -> float:
        """How long what the stream has left behind still takes to be sent."""
        delay_ms = self._owner.settings.delay_ms
        return (delay_ms - self._feed.ring.idle_ms + TURNS_MS) / 1000 if delay_ms else 0.0

    def _begin_holding(self, rest_s: float) -> None:
        """Say so, once: what is delayed is sent, and then the connection waits."""
        if not self.holding and rest_s <= 0:
            self.holding = True
            self._owner.log.info("the stream ended: the connection is held for %g s", self._owner.settings.hold_s)

    async def _move(self, target: Target) -> None:
        """Go on at another place from a keyframe on; this one is left when the other one has it.  What fails changes
        nothing.
        """
        self._asked_to = None
        owner, rate = self._owner, self._feed.ring.bytes_per_s
        try:
            connecting = connect_in_time(owner.settings.protocol, target, rate)
            link = await connect_unless(self._has_to_act, owner.interruption, connecting, owner.log)
        except EngineError as error:
            owner.log.warning("asked to go on at %s, and stays: %s", target.endpoint, error)
            return
        if link is None:
            return
        attachment = self._attach(self._feed, link, start="gop" if owner.settings.delay_ms else "next")
        try:
            begun = await self._until_begun(link, attachment)
        except BaseException:
            attachment.abandon()
            raise
        if begun:
            self._change_over(link, attachment, target)
            return
        link.unwatch()
        await attachment.release(link.final(), DRAIN_MS)
        await close_in_time(link, owner.log)
        owner.log.warning("asked to go on at %s, and stays: nothing could be sent there", target.endpoint)

    async def _until_begun(self, link: Link, attachment: Attachment) -> bool:
        """The first keyframe has left; False when it could not, or the session has to act first."""
        begun: asyncio.Future[bool] = asyncio.get_running_loop().create_future()

        def settle(has_begun: bool) -> None:
            if not begun.done():
                begun.set_result(has_begun)

        attachment.on_start = lambda: settle(True)
        attachment.lost.add_done_callback(lambda _: settle(False))
        link.on_control, link.on_lost = attachment.control, lambda _: settle(False)
        link.watch()
        end_s = asyncio.get_running_loop().time() + BEGIN_DEADLINE_S
        while not begun.done() and not self._has_to_act():
            left_s = end_s - asyncio.get_running_loop().time()
            waited: set[asyncio.Future[Any]] = {begun, self._owner.interruption(self._has_to_act())}
            done, _ = await asyncio.wait(waited, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                break
        attachment.on_start = None
        return begun.done() and begun.result()

    def _change_over(self, link: Link, attachment: Attachment, target: Target) -> None:
        before, left = self._link, self._attachment
        before.unwatch()
        self._unwatch()
        self._carry(left)
        self._link, self._attachment, self._moved_to = link, attachment, target.endpoint
        self._pulse = new_pulse(attachment.destination)
        self._watch()
        self._leaving = asyncio.create_task(self._leave(before, left, self._leaving))
        self._owner.log.info("goes on at %s, as the server asked", target.endpoint)

    async def _leave(self, link: Link, attachment: Attachment, earlier: asyncio.Task[None] | None) -> None:
        if earlier is not None:
            await earlier
        sent_bytes = attachment.sent_bytes
        await attachment.release(link.final(), DRAIN_MS)
        self._carried_bytes += attachment.sent_bytes - sent_bytes
        await link.farewell()
        await close_in_time(link, self._owner.log)

    def _carry(self, attachment: Attachment) -> None:
        """Count what was sent before in this session."""
        counters = attachment.counters()
        self._carried_bytes += counters.sent_bytes
        self._carried_send_ns = counters.last_send_ns or self._carried_send_ns

    def _has_to_act(self) -> bool:
        return self._is_over() or self.stream.ended.is_set()

    def _is_over(self) -> bool:
        return bool(self._owner.leaves()) or self._loss is not None or self._attachment.lost.done()

    async def _go_on(self, stream: OutputStream, feed: Feed) -> None:
        """With another stream, on the same connection."""
        before = self._attachment
        self._unwatch()
        try:
            await before.release(drain_ms=DRAIN_MS)
        except BaseException:
            stream.release(feed)
            raise
        self._carry(before)
        self.give_back()
        self.stream, self._feed = stream, feed
        self._attachment = self._attach(feed, self._link, before=before)
        self._pulse = new_pulse(self._attachment.destination)
        self._watch()
        self._owner.log.info("goes on with the stream that is back")
