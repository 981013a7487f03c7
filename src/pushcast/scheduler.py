"""Scheduler: which push runs when.

A push whose stream is live has one task, which connects, pushes, and after an error waits and tries again; a push
whose stream is absent has none and costs nothing but its entry.  The registry tells when streams appear and end.
Pushes never wait for each other: every connect is a task of its own with its own deadline.

Stopping frees the id at once: the push leaves the lists before anything is awaited, and its connection drains in
the background.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Iterable, Iterator
from functools import partial

from pushcast.egress.fanout import FanOut
from pushcast.errors import Conflict, EngineError, NotFound, Retry
from pushcast.health import Condition
from pushcast.log import logger
from pushcast.places import AT_ONCE, Places
from pushcast.push import ConditionListener, MoveListener, Push
from pushcast.push_state import Before, Halt, PushState
from pushcast.retry import Backoff
from pushcast.settings import PushSettings
from pushcast.stream import Name, OutputStream, Registry, Stream
from pushcast.timetable import Timetable
from pushcast.turnstile import Turnstile

_log = logger("scheduler")

# Attempts that begin in one turn of the event loop.  A connect costs some 700 us, spread over the turns in which its
# peer answers: so a crowd that connects makes a turn some 1.5 ms long, and API and ingest have theirs in between.
STARTS_A_TURN = 2

HEALTHY_S = 60.0  # a session of this length shows that the destination works: the backoff starts over
CLOSE_DEADLINE_S = 5.0


class Scheduler:
    """All pushes by (vhost, app) and id, and the tasks of those that run.  Subscribes to the registry."""

    def __init__(self, registry: Registry, fanout: FanOut, connects_at_once: int = AT_ONCE) -> None:
        self._registry = registry
        self._fanout = fanout
        self._pushes: dict[tuple[str, str], dict[str, Push]] = {}
        self._by_stream: dict[Name, set[Push]] = {}
        self._tasks: dict[Push, asyncio.Task[None]] = {}
        self._connects = Places(connects_at_once)
        self._starts = Turnstile(STARTS_A_TURN)
        self._timetable = Timetable(self._wake, self.halt)
        self._listeners: list[MoveListener] = []
        self._condition_listeners: list[ConditionListener] = []
        self._closed = False
        # A task keeps the context that it was made in, and that of a request holds the request with its connection.
        self._context = contextvars.copy_context()
        registry.subscribe(self)

    def subscribe(self, listener: MoveListener) -> None:
        """Tell of every move of every push."""
        self._listeners.append(listener)

    def subscribe_conditions(self, listener: ConditionListener) -> None:
        """Tell whenever the health of a session changes."""
        self._condition_listeners.append(listener)

    def running(self) -> list[Push]:
        """Those with a task: they connect, push, or wait for their next attempt."""
        return list(self._tasks)

    def start(self, settings: PushSettings, before: Before | None = None) -> Push:
        """Accept a push; it connects as soon as its stream is live.

        :raises Conflict: the app has a push of that id already.
        """
        if self._closed:
            raise Conflict("The server is shutting down")
        pushes = self._pushes.setdefault((settings.vhost, settings.app), {})
        if settings.id in pushes:
            raise Conflict("Duplicate ID")
        push = pushes[settings.id] = Push(settings, before)
        push.on_move = self._on_move
        push.on_condition = self._on_condition
        self._note_preset(push)
        self._by_stream.setdefault(settings.stream, set()).add(push)
        self._timetable.enter(push)
        self._wake(push)
        return push

    def stop(self, vhost: str, app: str, push_id: str) -> None:
        """Forget a push and let it disconnect in the background.  :raises NotFound: the app has no such push."""
        push = self._pushes.get((vhost, app), {}).pop(push_id, None)
        if push is None:
            raise NotFound(f"Could not find id '{push_id}': [{vhost}/{app}]")
        waiting = self._by_stream[push.settings.stream]
        waiting.discard(push)
        if not waiting:
            del self._by_stream[push.settings.stream]
        self._timetable.leave(push)
        push.stop()
        if push not in self._tasks:
            _end(push)

    def halt(self, push: Push, why: Halt) -> None:
        """Disconnect a push and keep it until it is resumed."""
        if push.halt is not None or push.stop_wanted:
            return
        push.halt = why
        push.interrupt()
        if push not in self._tasks:
            _end(push)

    def resume(self, push: Push) -> None:
        """Let a push that was halted run again."""
        if push.halt is None or push.stop_wanted:
            return
        push.halt = None
        if push.state is PushState.STOPPED:
            push.move(PushState.READY, "resumed")
        self._wake(push)

    def restart(self, push: Push) -> None:
        """Connect anew at once: ends a session, and does not wait for the next retry."""
        if push in self._tasks and push.halt is None:
            push.restart_wanted = True
            push.interrupt()

    def replace(self, push: Push, settings: PushSettings) -> None:
        """Go on with other settings of the same push; a session that runs is begun anew with them."""
        push.settings = settings
        push.on_backup = 0
        self._note_preset(push)
        self._timetable.enter(push)
        self.restart(push)
        self._wake(push)

    def get(self, vhost: str, app: str, push_id: str) -> Push | None:
        return self._pushes.get((vhost, app), {}).get(push_id)

    def wants(self, streams: Iterable[Name]) -> bool:
        """Whether some push has one of these output streams, or waits for it."""
        return any(
            self._timetable.begun(push) and push.halt is None
            for each in streams
            for push in self._by_stream.get(each, ())
        )

    def pushes(self, vhost: str, app: str) -> list[Push]:
        """The pushes of an app, by id."""
        pushes = self._pushes.get((vhost, app), {})
        return [pushes[push_id] for push_id in sorted(pushes)]

    def stream_started(self, stream: Stream) -> None:
        for push in self._pushes_of(stream):
            if push.stream_lost:
                push.interrupt()
            else:
                self._wake(push)

    def stream_ended(self, stream: Stream) -> None:
        for push in self._pushes_of(stream):
            push.interrupt()

    async def close(self) -> None:
        """Stop every push, with its final bytes, within CLOSE_DEADLINE_S."""
        self._closed = True
        for (vhost, app), pushes in list(self._pushes.items()):
            for push_id in list(pushes):
                self.stop(vhost, app, push_id)
        tasks = set(self._tasks.values())
        if not tasks:
            return
        _, late = await asyncio.wait(tasks, timeout=CLOSE_DEADLINE_S)
        for task in late:
            task.cancel()
        if late:
            _log.warning("%d pushes were cut off: they did not end within %g s", len(late), CLOSE_DEADLINE_S)
            await asyncio.wait(late)

    def _pushes_of(self, stream: Stream) -> Iterator[Push]:
        """Those of all its output streams."""
        for output in stream.outputs:
            yield from self._by_stream.get(output.key, ())

    def _note_preset(self, push: Push) -> None:
        """Those with a service are told of their stream; the thousands without one hold nothing for it."""
        push.find_stream = partial(self._registry.output, *push.settings.stream) if push.settings.preset else None

    def _wake(self, push: Push) -> None:
        """Give a push whose stream is live its task; a task that still runs looks for the stream itself."""
        if push in self._tasks or push.halt is not None or not self._timetable.begun(push):
            return
        if self._registry.output(*push.settings.stream) is not None:
            self._tasks[push] = asyncio.create_task(self._drive(push), context=self._context)

    def _on_move(self, push: Push, before: PushState, why: str) -> None:
        self._timetable.moved(push, before)
        for listener in self._listeners:
            listener(push, before, why)

    def _following(self, stream: OutputStream) -> OutputStream | None:
        """The live stream of the same name."""
        return self._registry.output(*stream.key)

    def _on_condition(self, push: Push, before: Condition, found: Condition) -> None:
        for listener in self._condition_listeners:
            listener(push, before, found)

    async def _drive(self, push: Push) -> None:
        backoff = Backoff()
        try:
            while True:
                await self._starts.enter()
                if push.stop_wanted or push.halt is not None:
                    break
                stream = self._registry.output(*push.settings.stream)
                if stream is None:
                    if push.state is PushState.ERROR:  # it ended while this attempt stood in line
                        push.move(PushState.READY, "waiting for the stream")
                    return
                failure: Retry | None = None
                push.restart_wanted = False
                try:
                    stream = await push.run(stream, self._fanout, self._connects, self._following)
                except EngineError as error:
                    failure = error.retry  # the error itself would keep the frames of its session while we wait
                    if push.settings.hold_s or push.settings.delay_ms:
                        stream = self._following(stream) or stream  # it may have gone on with another one
                if failure is not None:
                    await _wait_to_retry(push, stream, backoff, failure)
                if push.stop_wanted or push.halt is not None:
                    break
                if stream.ended.is_set():
                    push.move(PushState.READY, "waiting for the stream")
                    push.on_backup = 0
                    backoff.reset()
                elif push.restart_wanted or push.state is not PushState.ERROR:  # the latter: halted, and resumed since
                    push.move(PushState.READY, "connecting anew")
                    backoff.reset()
            _end(push)
        finally:
            del self._tasks[push]


async def _wait_to_retry(push: Push, stream: OutputStream, backoff: Backoff, failure: Retry) -> None:
    if push.session_s >= HEALTHY_S:
        backoff.reset()
    if push.move_on():
        backoff.note(failure)
        return
    policy = push.settings.retry
    delay_s = backoff.delay_s(policy, failure)
    push.wait_to_retry(backoff.failures, delay_s, backoff.gave_up(policy))
    await asyncio.wait({push.must_leave(stream)}, timeout=delay_s)


def _end(push: Push) -> None:
    if push.state is PushState.STOPPED:
        return  # it was halted before
    if push.state is not PushState.STOPPING:
        push.move(PushState.STOPPING)
    push.move(PushState.STOPPED)
