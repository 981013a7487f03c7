"""Events: the latest moves of all pushes, numbered, for whoever follows them.

One list for everybody: whoever follows is a place in it, so a slow reader costs nothing and misses what has left the
list, which it is told.  Numbers only grow, over a restart of the process too: they begin at its start's time.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

import orjson

from pushcast.health import Condition, Health
from pushcast.push import Push
from pushcast.push_state import PushState
from pushcast.scheduler import Scheduler

# A thousand pushes that all lose their peer and come back make 3,000 moves; one takes some 500 bytes.
KEPT = 20_000


@dataclass(frozen=True)
class Event:
    """A move (``kind`` push) or a change of health.  ``time``: seconds since the epoch; ``reason`` may be empty."""

    number: int
    kind: str
    time: float
    vhost: str
    app: str
    push_id: str
    stream: str
    before: PushState | Health
    after: PushState | Health
    reason: str

    @cached_property
    def server_sent(self) -> bytes:
        """As it is sent (WHATWG HTML, server-sent events): made once for all readers."""
        data = {
            "time": datetime.fromtimestamp(self.time).astimezone().isoformat(timespec="milliseconds"),
            "vhost": self.vhost,
            "app": self.app,
            "id": self.push_id,
            "stream": self.stream,
            "from": self.before,
            "to": self.after,
            "reason": self.reason,
        }
        return b"id: %d\nevent: %b\ndata: %b\n\n" % (self.number, self.kind.encode(), orjson.dumps(data))


class Events:
    """Subscribes to the scheduler."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._kept: deque[Event] = deque(maxlen=KEPT)
        self._last = time.time_ns() // 1000
        self._waiting: list[asyncio.Future[None]] = []
        scheduler.subscribe(self._on_move)
        scheduler.subscribe_conditions(self._on_condition)

    @property
    def last(self) -> int:
        """The number of the latest event; the next ones are above it."""
        return self._last

    def after(self, number: int, most: int) -> tuple[list[Event], bool]:
        """Up to ``most`` events above ``number``, and whether some between are not kept any more."""
        first = self._last - len(self._kept) + 1
        begin = max(number + 1, first)
        found = [self._kept[index] for index in range(begin - first, min(len(self._kept), begin - first + most))]
        return found, number + 1 < first

    async def wait(self, number: int) -> None:
        """Until there is an event above ``number``."""
        while self._last <= number:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.append(waiter)
            await waiter

    def _on_move(self, push: Push, before: PushState, why: str) -> None:
        self._keep("push", push, before, push.state, why)

    def _on_condition(self, push: Push, before: Condition, found: Condition) -> None:
        self._keep("health", push, before.health, found.health, found.reason)

    def _keep(self, kind: str, push: Push, before: PushState | Health, after: PushState | Health, reason: str) -> None:
        settings = push.settings
        self._last += 1
        self._kept.append(
            Event(
                self._last,
                kind,
                time.time(),
                settings.vhost,
                settings.app,
                settings.id,
                settings.stream_name,
                before,
                after,
                reason,
            )
        )
        waiting, self._waiting = self._waiting, []
        for waiter in waiting:
            if not waiter.done():
                waiter.set_result(None)
