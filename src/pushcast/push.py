"""Push: one destination of one stream, its state and its totals.

The six words of the REST API are the states (push_state.py).  ``Push.move`` is the only function that changes one: it
stamps the time, logs one line and refuses a move that ``TRANSITIONS`` does not hold.

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
from typing import TYPE_CHECKING

from pushcast.connect import accepted, connect_in_time, connect_unless, feed_key, selection, take_feed, until_due
from pushcast.egress import Link, Target
from pushcast.egress.fanout import FanOut
from pushcast.errors import (
    EngineError,
    LocalProtocolError,
    MediaError,
)
from pushcast.health import Condition, Health
from pushcast.log import Prefixed, logger, printable
from pushcast.media import Track
from pushcast.places import Places
from pushcast.presets import advice
from pushcast.push_state import TRANSITIONS, Before, LastError, Move, Progress, PushState
from pushcast.session import Following, Session
from pushcast.settings import PushSettings
from pushcast.store import Totals
from pushcast.stream import OutputStream

if TYPE_CHECKING:
    from pushcast.counters import Tally
    from pushcast.feed import Feed

_log = logger("push")

MOVES_KEPT = 20

MoveListener = Callable[["Push", PushState, str], None]
"""Told of each move: the push in its new state, the state before, why; called on the event loop, must not raise."""


ConditionListener = Callable[["Push", Condition, Condition], None]
"""Told when the health of a session changes: the push, the condition before and now; must not raise."""


class Push:
    """The task that the API knows.  Times are in seconds since the epoch, 0 while unset."""

    __slots__ = (
        "_finished_bytes",
        "_finished_time_ms",
        "_interruption",
        "created_time",
        "find_stream",
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
        "session",
        "session_s",
        "settings",
        "skipped",
        "start_time",
        "state",
        "stop_wanted",
        "tally",
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
        # The live one; None unless its advice depends on it.
        self.find_stream: Callable[[], OutputStream | None] | None = None
        self.on_move: MoveListener | None = None
        self.on_condition: ConditionListener | None = None
        self.tally: Tally | None = None  # what counts the bytes of its destinations; whoever counts sets it
        self.on_backup = 0  # which of the backups it goes to, from 1; 0: to the first destination
        self.session: Session | None = None  # from the accepted link until it is closed
        self.session_s = 0.0  # how long the last attempt was pushing
        self.retry_count = 0
        self.next_retry_time = 0.0
        self.skipped: tuple[tuple[Track, str], ...] = ()  # of the stream that it pushed last
        self.gave_up = ""  # why it tries no more, although it failed
        self.history: tuple[Move, ...] = ()  # thousands of pushes wait, and an empty deque has 600 bytes
        self.last_error: LastError | None = None
        self.stop_wanted = False
        self.restart_wanted = False
        self._finished_bytes = before.totals.sent_bytes
        self._finished_time_ms = before.totals.sent_time_ms
        self._interruption: asyncio.Future[None] | None = None

    @property
    def log(self) -> Prefixed:
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
        self.log.log(level, "%s%s", state.value, f": {why}" if why else "")
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
            self.log.warning("gave up: %s; restart it to try again", gave_up)
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

    def interruption(self, done: bool) -> asyncio.Future[None]:
        """What the next :meth:`interrupt` resolves; ``done``: it is at once."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if done:
            future.set_result(None)
        self._interruption = future
        return future

    def must_leave(self, stream: OutputStream) -> asyncio.Future[None]:
        """Done as soon as there is nothing to connect for: it leaves, or the stream ended."""
        return self.interruption(self._is_pointless(stream))

    def _is_pointless(self, stream: OutputStream) -> bool:
        """A stream that ended leaves nothing to a destination that was not delayed."""
        return bool(self.leaves()) or (stream.ended.is_set() and not self.settings.delay_ms)

    def progress(self) -> Progress:
        """A snapshot; costs no wait and no lock."""
        sent_bytes, sent_time_ms = self.session.totals() if self.session is not None else (0, 0)
        return Progress(
            sent_bytes, sent_time_ms, self._finished_bytes + sent_bytes, self._finished_time_ms + sent_time_ms
        )

    @property
    def stream_lost(self) -> bool:
        """Its session goes on without its stream, and wants to hear of the next one."""
        return self.session is not None and self.session.stream_lost

    def look(self) -> None:
        """Hold the session against what its peer has confirmed; nothing happens outside one."""
        session = self.session
        if session is None or self.state is not PushState.PUSHING:
            return
        before = session.look()
        found = session.condition
        if found.health is not before.health:
            level = logging.INFO if found.health is Health.OK else logging.WARNING
            self.log.log(level, "%s", f"{found.health}: {found.reason}".removesuffix(": "))
            if self.on_condition is not None:
                self.on_condition(self, before, found)

    def advice(self) -> tuple[str, ...]:
        """What its service would have otherwise of the stream that is live, a sentence each."""
        stream = self.find_stream() if self.find_stream is not None else None
        if stream is None or not self.settings.preset:
            return ()
        try:
            tracks = feed_key(self.settings, stream, selection(self.settings, stream)).track_ids
        except MediaError:
            return ()  # its own error says so
        return tuple(advice(self.settings.preset, stream, tracks))

    def pushing_s(self) -> float:
        """How long it has been pushing, in all sessions."""
        return self._finished_time_ms / 1e3 + (self.session.lasted_s if self.session is not None else 0)

    def totals(self) -> Totals:
        """What the store keeps of it."""
        progress = self.progress()
        return Totals(self.sequence, progress.total_sent_bytes, progress.total_sent_time_ms)

    async def run(self, stream: OutputStream, fanout: FanOut, connects: Places, following: Following) -> OutputStream:
        """Connect and push until stop is wanted or the stream ends, then disconnect; the caller moves on from there.

        ``connects`` bounds how many connects are under way at once.  Returns the stream that it pushed last: a session
        that holds its connection goes on with the next one.
        :raises EngineError: the connect or the session failed, and the state is ``error``.
        """
        self.session_s = 0.0
        self.move(PushState.CONNECTING, f"backup {self.on_backup}" if self.on_backup else "")
        feed: Feed | None = None
        try:
            found = selection(self.settings, stream)
            self.skipped = found.skipped
            feed = take_feed(self.settings, stream, found)
            if not await until_due(feed, stream, self.settings.delay_ms, self.leaves, self.interruption):
                return stream
            link = await self._connect(stream, feed.ring.bytes_per_s, connects)
            if link is None:
                return stream
            self.session = session = Session(self, stream, feed, link, fanout)
            feed = None
            try:
                await self._push(session, following)
            finally:
                session.give_back()
            return session.stream
        except EngineError as error:
            self._fail_once(error)
            raise
        except Exception as error:
            self.log.exception("unexpected error")
            unexpected = EngineError(f"internal error: {type(error).__name__}")
            self._fail_once(unexpected)
            raise unexpected from error
        finally:
            if feed is not None:
                stream.release(feed)

    async def _push(self, session: Session, following: Following) -> None:
        """From the first frame to the closed link.  :raises EngineError: why the session failed, if it did."""
        self.move(PushState.PUSHING)
        fail_back = self._fail_back_soon(session.stream.bytes_per_s)
        try:
            error = await session.run(following)
        finally:
            if fail_back is not None:
                fail_back.cancel()
        if error is None:
            self.move(PushState.STOPPING, self.leaves() or "the stream ended")
        else:
            self.fail(error)
        try:
            await session.release(wanted=error is None)
        finally:
            self._finish(session)
        await session.close(wanted=error is None)
        if error is not None:
            raise error

    def _fail_once(self, error: EngineError) -> None:
        """A session that broke has said so already, and one that failed to disconnect is stopping all the same."""
        if PushState.ERROR in TRANSITIONS[self.state]:
            self.fail(error)

    async def _connect(self, stream: OutputStream, bytes_per_s: int, connects: Places) -> Link | None:
        """The accepted link, or None when the push was interrupted first."""
        return await connect_unless(
            lambda: self._is_pointless(stream),
            self.interruption,
            self._connect_in_turn(bytes_per_s, connects),
            self.log,
        )

    async def _connect_in_turn(self, bytes_per_s: int, connects: Places) -> Link:
        async with connects.place(self.target.endpoint, failed=self.retry_count > 0):
            return await connect_in_time(self.settings.protocol, self.target, bytes_per_s)

    def _fail_back_soon(self, bytes_per_s: int) -> asyncio.Task[None] | None:
        """The task that looks for a way back from a backup; None when there is nothing to look for."""
        if not self.on_backup or not self.settings.fail_back_s:
            return None
        return asyncio.create_task(self._fail_back(bytes_per_s))

    async def _fail_back(self, bytes_per_s: int) -> None:
        """Go to the first destination as soon as it accepts us."""
        settings = self.settings
        await accepted(settings.protocol, settings.target, bytes_per_s, settings.fail_back_s, self.log)
        self.on_backup = 0
        self.restart_wanted = True
        self.interrupt()

    def _finish(self, session: Session) -> None:
        """The session is over: its totals join those of the finished ones."""
        sent_bytes, sent_time_ms = session.totals()
        self.session = None
        self._finished_bytes += sent_bytes
        self._finished_time_ms += sent_time_ms
        self.session_s = session.lasted_s
        self.finish_time = time.time()
        self.sequence += 1
