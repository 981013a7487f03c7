"""Timetable: pushes that begin or end by the clock.

``startAt`` keeps a push waiting, as if its stream were absent; ``stopAt`` and ``maxDuration`` halt it.  A duration
counts the time in which the push was pushing, in all its sessions, those before a restart of the process too.

Times are the wall clock's, which may be set: a timer that rings looks at the clock again, and sleeps for MOST_SLEEP_S
at a time, so that it also notices a clock that was set forward.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from pushcast.push import Push
from pushcast.push_state import Halt, PushState

MOST_SLEEP_S = 60.0


class Timetable:
    """The timers of those pushes that have any.

    ``wake``: the push may begin.  ``halt``: it must end, and why.
    """

    def __init__(self, wake: Callable[[Push], None], halt: Callable[[Push, Halt], None]) -> None:
        self._wake = wake
        self._halt = halt
        self._timers: dict[Push, asyncio.TimerHandle] = {}

    def enter(self, push: Push) -> None:
        """Look after a push, if its settings have times; again, when they are others."""
        self._look(push)

    def leave(self, push: Push) -> None:
        """Forget it; one that has no times is no error."""
        timer = self._timers.pop(push, None)
        if timer is not None:
            timer.cancel()

    def begun(self, push: Push) -> bool:
        """True when nothing speaks against its running now."""
        return push.settings.start_at <= time.time()

    def moved(self, push: Push, before: PushState) -> None:
        """A session began or ended: the time that is left counts from now on, or no more."""
        if push.settings.max_duration_s and PushState.PUSHING in (push.state, before):
            self._look(push)

    def _look(self, push: Push) -> None:
        self.leave(push)
        due_s = _due_s(push, time.time())
        if due_s is None or push.stop_wanted:
            return
        loop = asyncio.get_running_loop()
        self._timers[push] = loop.call_later(min(max(due_s, 0.0), MOST_SLEEP_S), self._ring, push)

    def _ring(self, push: Push) -> None:
        del self._timers[push]
        why = _over(push, time.time())
        if why is not None:
            self._halt(push, why)
            return
        self._look(push)
        if self.begun(push):
            self._wake(push)


def _over(push: Push, now: float) -> Halt | None:
    settings = push.settings
    if settings.stop_at and now >= settings.stop_at:
        return Halt.STOP_AT
    if settings.max_duration_s and _left_s(push) <= 0:
        return Halt.MAX_DURATION
    return None


def _due_s(push: Push, now: float) -> float | None:
    """Seconds until something changes by the clock; None: nothing will."""
    settings = push.settings
    if push.halt is not None:
        return None
    due = [at - now for at in (settings.start_at, settings.stop_at) if at > now]
    if settings.stop_at and settings.stop_at <= now:
        due.append(0.0)
    if settings.max_duration_s and (push.state is PushState.PUSHING or _left_s(push) <= 0):
        due.append(_left_s(push))
    return min(due, default=None)


def _left_s(push: Push) -> float:
    return push.settings.max_duration_s - push.pushing_s()
