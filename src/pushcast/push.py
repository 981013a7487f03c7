"""Push: one destination of one stream, its state and its totals.

The six words of the REST API are the states.  ``TRANSITIONS`` is the whole truth about them and ``Push.move`` the
only function that changes one: it stamps the time, logs one line and refuses a move that the table does not hold.

A *session* is one stretch of ``pushing``.  What the API's numbers mean:

- ``sequence`` counts sessions that ended, for whatever reason; a connect that failed is not a session.
- ``startTime`` is when the current or last connection attempt began (what OvenMediaEngine reports too),
  ``finishTime`` when the last session ended; both stay at the epoch until then.
- ``sentBytes`` and ``sentTime`` belong to the current session and are 0 outside one; ``sentTime`` runs from
  ``pushing`` to the last send that the peer took.  ``totalsentBytes`` and ``totalsentTime`` are the finished
  sessions plus the current one.

When a push runs, and what happens after an error, is decided in scheduler.py.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from pushcast.egress import PROTOCOLS, Link, Target
from pushcast.egress.fanout import Attachment, FanOut
from pushcast.errors import (
    ConnectionLost,
    ConnectTimeout,
    EngineError,
    LocalProtocolError,
    MediaError,
    Stalled,
    TransportError,
)
from pushcast.health import WELL, Condition, Health, Pulse
from pushcast.log import Prefixed, logger, printable
from pushcast.media import FeedKey, select_tracks
from pushcast.settings import PushSettings
from pushcast.store import NO_TOTALS, Totals
from pushcast.stream import Stream

if TYPE_CHECKING:
    from pushcast.source import Feed

_log = logger("push")

CONNECT_DEADLINE_S = 10.0  # name resolution, connect and handshake together
DRAIN_MS = 1000  # a wanted stop waits no longer for the peer to take the span in hand and the final bytes
MOVES_KEPT = 20
CLOSE_DEADLINE_S = 5.0  # closing a link waits for its peer no longer than this


class PushState(StrEnum):
    """The words of the REST API."""

    READY = "ready"
    CONNECTING = "connecting"
    PUSHING = "pushing"
    STOPPING = "stopping"
    STOPPED = "stopped"
    ERROR = "error"


TRANSITIONS = MappingProxyType(
    {
        PushState.READY: frozenset({PushState.CONNECTING, PushState.STOPPING}),
        PushState.CONNECTING: frozenset({PushState.PUSHING, PushState.ERROR, PushState.READY, PushState.STOPPING}),
        PushState.PUSHING: frozenset({PushState.ERROR, PushState.STOPPING}),
        PushState.ERROR: frozenset({PushState.CONNECTING, PushState.READY, PushState.STOPPING}),
        # A stream that ends is disconnected from in the same way as a stop; only what follows differs.
        PushState.STOPPING: frozenset({PushState.STOPPED, PushState.READY}),
        PushState.STOPPED: frozenset({PushState.READY}),  # one that was halted goes on; a wanted stop is forgotten
    }
)


class Halt(StrEnum):
    """Why a push that is kept does not run."""

    PAUSED = "paused"
    STOP_AT = "stopAt"
    MAX_DURATION = "maxDuration"


MoveListener = Callable[["Push", PushState, str], None]
"""Told of each move: the push in its new state, the state before, why; called on the event loop, must not raise."""


ConditionListener = Callable[["Push", Condition], None]
"""Told when the health of a session changes: the push, its condition before; on the event loop, must not raise."""


class Move(NamedTuple):
    """A change of state; ``time`` in seconds since the epoch."""

    time: float
    before: PushState
    state: PushState
    why: str


@dataclass(frozen=True, slots=True)
class LastError:
    """Why a session or a connect failed last; ``time`` in seconds since the epoch."""

    code: str
    reason: str
    time: float


@dataclass(frozen=True, slots=True)
class Progress:
    """What was sent in the current session and in all of them."""

    sent_bytes: int
    sent_time_ms: int
    total_sent_bytes: int
    total_sent_time_ms: int


@dataclass(frozen=True, slots=True)
class Before:
    """What a push brings from an earlier life of the process."""

    created_time: float = 0.0  # seconds since the epoch, 0: it is made now
    totals: Totals = NO_TOTALS
    halt: Halt | None = None


class Push:
    """The task that the API knows.  Times are in seconds since the epoch, 0 while unset."""

    __slots__ = (
        "_attachment",
        "_finished_bytes",
        "_finished_time_ms",
        "_interruption",
        "_loss",
        "_pulse",
        "_session_start_ns",
        "condition",
        "created_time",
        "finish_time",
        "gave_up",
        "halt",
        "history",
        "last_error",
        "next_retry_time",
        "on_backup",
        "on_condition",
        "on_move",
        "restart_wanted",
        "retry_count",
        "sequence",
        "session_s",
        "settings",
        "start_time",
        "state",
        "stop_wanted",
    )

    def __init__(self, settings: PushSettings, before: Before | None = None) -> None:
        before = before or Before()
        self.settings = settings
        self.halt = before.halt
        self.state = PushState.READY if before.halt is None else PushState.STOPPED
        self.created_time = before.created_time or time.time()
        self.start_time = 0.0
        self.finish_time = 0.0
        self.sequence = before.totals.sequence
        self.on_move: MoveListener | None = None
        self.on_condition: ConditionListener | None = None
        self.condition = WELL
        self.on_backup = 0  # which of the backups it goes to, from 1; 0: to the first destination
        self.session_s = 0.0  # how long the last attempt was pushing
        self.retry_count = 0
        self.next_retry_time = 0.0
        self.gave_up = ""  # why it tries no more, although it failed
        self.history: tuple[Move, ...] = ()  # thousands of pushes wait, and an empty deque has 600 bytes
        self.last_error: LastError | None = None
        self.stop_wanted = False
        self.restart_wanted = False
        self._finished_bytes = before.totals.sent_bytes
        self._finished_time_ms = before.totals.sent_time_ms
        self._session_start_ns = 0
        self._attachment: Attachment | None = None
        self._pulse: Pulse | None = None
        self._interruption: asyncio.Future[None] | None = None
        self._loss: EngineError | None = None  # what the link said when it lost its peer

    @property
    def _log(self) -> Prefixed:
        """Made for each line: lines are few, and pushes many."""
        settings = self.settings
        return Prefixed(_log, printable(f"push {settings.vhost}/{settings.app}/{settings.id}"))

    def move(self, state: PushState, why: str = "") -> None:
        """Go to ``state``.  :raises LocalProtocolError: the table has no such move."""
        if state not in TRANSITIONS[self.state]:
            raise LocalProtocolError(f"push {self.settings.id!r}: no move from {self.state.value} to {state.value}")
        before, self.state = self.state, state
        self.history = (*self.history[1 - MOVES_KEPT :], Move(time.time(), before, state, why))
        match state:
            case PushState.CONNECTING:
                self.start_time = time.time()
                self.next_retry_time = 0.0
                self.gave_up = ""
            case PushState.STOPPING | PushState.READY:
                self.next_retry_time = 0.0
        level = logging.WARNING if state is PushState.ERROR else logging.INFO
        self._log.log(level, "%s%s", state.value, f": {why}" if why else "")
        if self.on_move is not None:
            self.on_move(self, before, why)

    def fail(self, error: EngineError) -> None:
        """Go to ``error`` and remember why."""
        self.last_error = LastError(error.code, printable(str(error)), time.time())
        self.move(PushState.ERROR, self.last_error.reason)

    def wait_to_retry(self, retry_count: int, delay_s: float | None, gave_up: str) -> None:
        """Note how often it failed in a row and when the next attempt is due; None: not before something changes."""
        self.retry_count = retry_count
        self.gave_up = gave_up
        if gave_up:
            self._log.warning("gave up: %s; restart it to try again", gave_up)
        self.next_retry_time = time.time() + delay_s if delay_s is not None else 0.0

    @property
    def target(self) -> Target:
        """Where it goes now."""
        return self.settings.targets[self.on_backup]

    def move_on(self) -> bool:
        """To the next destination; False when all were tried, and it begins with the first again."""
        self.on_backup = (self.on_backup + 1) % len(self.settings.targets)
        return self.on_backup != 0

    def stop(self) -> None:
        """Ask whatever runs to end; returns at once."""
        self.stop_wanted = True
        self.interrupt()

    def leaves(self) -> str:
        """Why it must not run, or not go on with this session; empty when it may."""
        if self.stop_wanted:
            return "stop wanted"
        if self.halt is not None:
            return self.halt.value
        return "restart wanted" if self.restart_wanted else ""

    def interrupt(self) -> None:
        """Let whatever waits look again at :meth:`leaves` and at its stream."""
        if self._interruption is not None and not self._interruption.done():
            self._interruption.set_result(None)

    def interruption(self, stream: Stream) -> asyncio.Future[None]:
        """Done as soon as the push must leave this stream: it leaves, the stream ended, or the peer is lost."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.leaves() or stream.ended.is_set():
            future.set_result(None)
        self._interruption = future
        return future

    def progress(self) -> Progress:
        """A snapshot; costs no wait and no lock."""
        sent_bytes, sent_time_ms = self._session_totals()
        return Progress(
            sent_bytes, sent_time_ms, self._finished_bytes + sent_bytes, self._finished_time_ms + sent_time_ms
        )

    @property
    def total_sent_bytes(self) -> int:
        """Of the progress this one number."""
        return self._finished_bytes + (self._attachment.sent_bytes if self._attachment is not None else 0)

    @property
    def overload(self) -> str:
        """Why the link cannot carry what it should; empty while it can."""
        return self._attachment.overload if self._attachment is not None else ""

    @property
    def connection(self) -> dict[str, Any]:
        """What is to be known of the connection of this session; empty without one."""
        return self._attachment.described() if self._attachment is not None else {}

    def look(self) -> None:
        """Hold the session against what its peer has confirmed; nothing happens outside one."""
        attachment, pulse = self._attachment, self._pulse
        if attachment is None or pulse is None or self.state is not PushState.PUSHING:
            return
        before = self.condition
        self.condition = pulse.look(attachment.counters(), attachment.seen(), attachment.overload, time.monotonic_ns())
        if self.condition.health is not before.health:
            level = logging.INFO if self.condition.health is Health.OK else logging.WARNING
            self._log.log(level, "%s", f"{self.condition.health}: {self.condition.reason}".removesuffix(": "))
            if self.on_condition is not None:
                self.on_condition(self, before)

    def figures(self) -> dict[str, Any]:
        """What is known of the session in hand, units in the names; empty outside one."""
        attachment, pulse = self._attachment, self._pulse
        if attachment is None or pulse is None:
            return {}
        counters = attachment.counters()
        return {
            "bits_per_s": round(pulse.bits_per_s),
            "lag_ms": counters.lag_ms,
            "max_gap_ms": counters.max_gap_ms,
            "blocked_ms": counters.blocked_ms,
            "jumps": counters.jumps,
            "skipped_frames": counters.skipped_spans,
            "refused_datagrams": counters.refused,
            "confirmed_time": pulse.confirmed_time,
            **attachment.stats(),
        }

    @property
    def in_session(self) -> bool:
        """It is connected, or disconnecting: its totals still grow."""
        return self._attachment is not None

    def pushing_s(self) -> float:
        """How long it has been pushing, in all sessions."""
        session_ns = time.monotonic_ns() - self._session_start_ns if self.in_session else 0
        return self._finished_time_ms / 1e3 + session_ns / 1e9

    def totals(self) -> Totals:
        """What the store keeps of it."""
        progress = self.progress()
        return Totals(self.sequence, progress.total_sent_bytes, progress.total_sent_time_ms)

    def _session_totals(self) -> tuple[int, int]:
        if self._attachment is None:
            return 0, 0
        counters = self._attachment.counters()
        return counters.sent_bytes, max(0, (counters.last_send_ns - self._session_start_ns) // 1_000_000)

    async def run(self, stream: Stream, fanout: FanOut, connects: asyncio.Semaphore) -> None:
        """Connect and push until stop is wanted or the stream ends, then disconnect; the caller moves on from there.

        ``connects`` bounds how many connects are under way at once.
        :raises EngineError: the connect or the session failed, and the state is ``error``.
        """
        self.session_s = 0.0
        self.move(PushState.CONNECTING, f"backup {self.on_backup}" if self.on_backup else "")
        feed: Feed | None = None
        try:
            feed = stream.feed(feed_key(self.settings, stream))
            link = await self._connect(stream, feed.ring.bytes_per_s, connects)
            if link is None:
                return
            interruption = self.interruption(stream)
            attachment = self._begin_session(feed, link, fanout)
            fail_back = self._fail_back_soon(feed.ring.bytes_per_s)
            try:
                self._watch(feed, link, attachment)
                await interruption  # for hours, in hundreds of pushes: this frame and one future are all that waits
            except BaseException:
                attachment.abandon()
                raise
            finally:
                if fail_back is not None:
                    fail_back.cancel()
                link.unwatch()
                feed.forget(attachment.on_feed_failed)
            await self._end_session(stream, link, attachment)
        except EngineError as error:
            self._fail_once(error)
            raise
        except Exception as error:
            self._log.exception("unexpected error")
            unexpected = EngineError(f"internal error: {type(error).__name__}")
            self._fail_once(unexpected)
            raise unexpected from error
        finally:
            if feed is not None:
                stream.release(feed)

    def _fail_once(self, error: EngineError) -> None:
        """A session that broke has said so already, and one that failed to disconnect is stopping all the same."""
        if PushState.ERROR in TRANSITIONS[self.state]:
            self.fail(error)

    async def _connect(self, stream: Stream, bytes_per_s: int, connects: asyncio.Semaphore) -> Link | None:
        """The accepted link, or None when the push was interrupted first."""
        connect = asyncio.create_task(self._connect_in_turn(bytes_per_s, connects))
        waited: set[asyncio.Future[Any]] = {connect, self.interruption(stream)}
        try:
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not connect.done():
                connect.cancel()
        if connect.done():
            return connect.result()
        await asyncio.wait({connect})
        if not connect.cancelled() and connect.exception() is None:
            await self._close(connect.result())  # it was accepted in the very moment of the interruption
        return None

    async def _connect_in_turn(self, bytes_per_s: int, connects: asyncio.Semaphore) -> Link:
        async with connects:
            return await connect_in_time(self.settings.protocol, self.target, bytes_per_s)

    def _fail_back_soon(self, bytes_per_s: int) -> asyncio.Task[None] | None:
        """The task that looks for a way back from a backup; None when there is nothing to look for."""
        if not self.on_backup or not self.settings.fail_back_s:
            return None
        return asyncio.create_task(self._fail_back(bytes_per_s))

    async def _fail_back(self, bytes_per_s: int) -> None:
        """Try the first destination until it accepts us, then go there."""
        while True:
            await asyncio.sleep(self.settings.fail_back_s)
            try:
                link = await connect_in_time(self.settings.protocol, self.settings.target, bytes_per_s)
            except EngineError:
                continue  # it goes on where it is
            await self._close(link)
            self.on_backup = 0
            self.restart_wanted = True
            self.interrupt()
            return

    def _begin_session(self, feed: Feed, link: Link, fanout: FanOut) -> Attachment:
        """Hand the link to a sender."""
        attachment = fanout.attach(feed, link, stall_ms=round(self.settings.stall_timeout_s * 1000))
        self._attachment = attachment
        self._session_start_ns = time.monotonic_ns()
        self._pulse = Pulse(self._session_start_ns)
        self.condition = WELL
        self.move(PushState.PUSHING)
        return attachment

    def _watch(self, feed: Feed, link: Link, attachment: Attachment) -> None:
        """Have whatever ends the session interrupt the push."""
        attachment.lost.add_done_callback(self._on_detached)
        feed.on_failure(attachment.on_feed_failed)
        link.on_control = attachment.control
        link.on_lost = self._on_lost
        link.watch()

    def _on_lost(self, error: EngineError) -> None:
        self._loss = error
        self.interrupt()

    def _on_detached(self, _: asyncio.Future[EngineError]) -> None:
        self.interrupt()

    def _failure(self, stream: Stream, attachment: Attachment) -> EngineError | None:
        """Why the session ended; None when that was wanted."""
        # What the peer says is better to know than what the socket then says.  Raised, it would keep its frames here.
        loss, self._loss = self._loss, None
        if loss is not None:
            return loss
        if self.leaves() or stream.ended.is_set():
            return None
        return _at(self.target, attachment.lost.result())

    async def _end_session(self, stream: Stream, link: Link, attachment: Attachment) -> None:
        """Disconnect.  :raises EngineError: why the session failed, if it did."""
        error = self._failure(stream, attachment)
        if error is None:
            self.move(PushState.STOPPING, self.leaves() or "the stream ended")
        else:
            self.fail(error)
        try:
            await attachment.release(b"" if error else link.final(), DRAIN_MS)
        finally:
            self._finish()
        if error is None:
            await link.farewell()
        await self._close(link)
        if error is not None:
            raise error

    def _finish(self) -> None:
        """The session is over: its totals join those of the finished ones."""
        sent_bytes, sent_time_ms = self._session_totals()
        self._attachment = self._pulse = None
        self._finished_bytes += sent_bytes
        self._finished_time_ms += sent_time_ms
        self.session_s = (time.monotonic_ns() - self._session_start_ns) / 1e9
        self.finish_time = time.time()
        self.sequence += 1

    async def _close(self, link: Link) -> None:
        try:
            async with asyncio.timeout(CLOSE_DEADLINE_S):
                await link.close()
        except TimeoutError:
            self._log.warning("the link was not closed within %g s", CLOSE_DEADLINE_S)


def feed_key(settings: PushSettings, stream: Stream) -> FeedKey:
    """What of the stream these settings ask for.  :raises MediaError: nothing."""
    container = PROTOCOLS[settings.protocol].container
    tracks = select_tracks(stream.tracks, settings.variant_names, settings.track_ids, container)
    if not tracks:
        asked = ", ".join([*settings.variant_names, *(f"id {each}" for each in settings.track_ids)])
        there = ", ".join(f"{track.variant_name} (id {track.id})" for track in stream.tracks)
        raise MediaError(
            f"no track of stream {stream.name} is selected: asked for {asked or 'any'}, there are {there or 'none'}"
        )
    return FeedKey(container, tuple(track.id for track in tracks))


async def connect_in_time(protocol: str, target: Target, bytes_per_s: int) -> Link:
    """The accepted link.  :raises EngineError: there is none within CONNECT_DEADLINE_S."""
    try:
        async with asyncio.timeout(CONNECT_DEADLINE_S) as deadline:
            return await PROTOCOLS[protocol].connect(target, bytes_per_s)
    except EngineError:
        raise
    except OSError as error:
        if isinstance(error, TimeoutError) and deadline.expired():
            late = f"{target.endpoint} has not accepted us within {CONNECT_DEADLINE_S:g} s"
            raise ConnectTimeout(late) from None
        raise TransportError(f"{target.endpoint}: {error.strerror or type(error).__name__}") from error


def _at(target: Target, error: EngineError) -> EngineError:
    """What a sender tells of a socket, with the name of the peer."""
    return type(error)(f"{target.endpoint}: {error}") if isinstance(error, ConnectionLost | Stalled) else error
