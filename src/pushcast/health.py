"""Health: whether a push that is ``pushing`` does its destination any good.

A socket that takes bytes proves little: the kernel, or libsrt, takes them for a peer that is long gone.  So once a
second each session is held against what its peer has confirmed (TCP's and SRT's acknowledgements), against the stream
(how far behind it is, what was left out) and against what was lost on the way:

- ``stalled``: the peer takes or confirms nothing, for at least STALLED_S; after ``stallTimeout`` the session ends.
- ``degraded``: it takes less than the stream, something was lost in the last half minute, or the stream brings nothing.
- ``ok``: nothing of that.

What is found is the work of a pulse (pulse.pyx); this is when it is looked at, and how it is said: all pushes once a
second, a slice of them in each turn of the event loop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from pushcast.destination import Destination
from pushcast.pulse import (
    FOUND_BEHIND,
    FOUND_CONFIRMS_NOTHING,
    FOUND_DROPPED,
    FOUND_JUMPED,
    FOUND_OVERLOADED,
    FOUND_REFUSED,
    FOUND_RESENT,
    FOUND_SILENT,
    FOUND_TAKES_NOTHING,
    FOUND_WELL,
    Pulse,
)

STALLED_S = 2.0
LOOK_S = 1.0
# Sessions that are looked at in one turn of the event loop: some 0.2 ms.
A_TURN = 64


class Health(StrEnum):
    OK = "ok"
    DEGRADED = "degraded"
    STALLED = "stalled"


@dataclass(frozen=True, slots=True)
class Condition:
    """``reason`` is a sentence, empty when all is well."""

    health: Health = Health.OK
    reason: str = ""


WELL = Condition()


_SENTENCES: dict[int, tuple[Health, str]] = {
    FOUND_TAKES_NOTHING: (Health.STALLED, "the peer has taken nothing for {:.0f} s"),
    FOUND_CONFIRMS_NOTHING: (Health.STALLED, "the peer has confirmed nothing for {:.0f} s"),
    FOUND_BEHIND: (Health.DEGRADED, "it is {:.1f} s behind the stream"),
    FOUND_JUMPED: (Health.DEGRADED, "it fell behind, and left out media up to the next keyframe"),
    FOUND_DROPPED: (Health.DEGRADED, "{:.0f} packets were dropped as too late"),
    FOUND_REFUSED: (Health.DEGRADED, "datagrams are refused: nobody listens there"),
    FOUND_RESENT: (Health.DEGRADED, "{:.0f} % of what was sent had to be sent again"),
    FOUND_SILENT: (Health.DEGRADED, "the stream has brought nothing for {:.0f} s"),
}


def new_pulse(destination: Destination) -> Pulse:
    """Of a session that begins."""
    return Pulse(destination, time.monotonic_ns(), round(STALLED_S * 1000))


def condition(found: int, figure: float, overload: str) -> Condition:
    """What a pulse found, as a sentence; ``overload`` is that of the sender."""
    if found == FOUND_WELL:
        return WELL
    if found == FOUND_OVERLOADED:
        return Condition(Health.DEGRADED, overload)
    health, sentence = _SENTENCES[found]
    return Condition(health, sentence.format(figure))


class Session(Protocol):
    """What is looked after."""

    def look(self) -> None: ...


async def look_after(sessions: Callable[[], Sequence[Session]]) -> None:
    """Look at all of them every second, until cancelled."""
    loop = asyncio.get_running_loop()
    due_s = loop.time()
    while True:
        due_s = max(due_s + LOOK_S, loop.time())
        await asyncio.sleep(due_s - loop.time())
        for number, session in enumerate(sessions(), 1):
            session.look()
            if number % A_TURN == 0:
                await asyncio.sleep(0)
