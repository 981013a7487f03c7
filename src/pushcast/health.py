"""Health: whether a push that is ``pushing`` does its destination any good.

A socket that takes bytes proves little: the kernel, or libsrt, takes them for a peer that is long gone.  So once a
second each session is held against what its peer has confirmed (TCP's and SRT's acknowledgements), against the stream
(how far behind it is, what was left out) and against what was lost on the way:

- ``stalled``: the peer takes or confirms nothing, for at least STALLED_S; after ``stallTimeout`` the session ends.
- ``degraded``: it takes less than the stream, something was lost in the last TROUBLE_S, or the stream brings nothing.
- ``ok``: nothing of that.

A look costs some 5 us; all pushes are looked at once a second, a slice of them in each turn of the event loop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from pushcast.egress.fanout import Counters
    from pushcast.egress.link import Seen

STALLED_S = 2.0
TROUBLE_S = 30.0  # how long what was lost shows, so that somebody can see it
SILENT_S = 5.0
LAG_MS = 1000
LOOK_S = 1.0
# Sessions that are looked at in one turn of the event loop: some 0.3 ms.
A_TURN = 64
RESENT_PART = 0.05  # of what is sent: a path that loses more than that is on its edge


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


class Pulse:
    """What one session is held against: the figures of the look before.  Made when the session begins."""

    __slots__ = (
        "_at_ns",
        "_before",
        "_confirmed",
        "_confirmed_ns",
        "_sent_bytes",
        "_trouble",
        "_trouble_ns",
        "bits_per_s",
        "confirmed_time",
    )

    def __init__(self, now_ns: int) -> None:
        self.bits_per_s = 0.0
        self.confirmed_time = 0.0  # seconds since the epoch: the latest confirmation that was seen
        self._at_ns = now_ns
        self._sent_bytes = 0
        self._confirmed = -1
        self._confirmed_ns = now_ns
        self._before = (0, 0, 0, 0, 0)  # jumps, refusals; sent, sent again, dropped
        self._trouble = ""
        self._trouble_ns = 0

    def look(self, counters: Counters, seen: Seen | None, overload: str, now_ns: int) -> Condition:
        """Compare with the look before; ``seen`` is what the link knows of its peer, None for nothing."""
        self._measure(counters, now_ns)
        waits_s = self._waits_s(seen, now_ns)
        self._note_trouble(counters, seen, now_ns)
        if counters.blocked_ms >= STALLED_S * 1000:
            return Condition(Health.STALLED, f"the peer has taken nothing for {counters.blocked_ms / 1000:.0f} s")
        if waits_s >= STALLED_S:
            return Condition(Health.STALLED, f"the peer has confirmed nothing for {waits_s:.0f} s")
        if overload:
            return Condition(Health.DEGRADED, overload)
        if counters.lag_ms > LAG_MS:
            return Condition(Health.DEGRADED, f"it is {counters.lag_ms / 1000:.1f} s behind the stream")
        if self._trouble:
            return Condition(Health.DEGRADED, self._trouble)
        silent_s = (now_ns - counters.last_send_ns) / 1e9
        if counters.last_send_ns and silent_s >= SILENT_S:
            return Condition(Health.DEGRADED, f"the stream has brought nothing for {silent_s:.0f} s")
        return WELL

    def _measure(self, counters: Counters, now_ns: int) -> None:
        if now_ns > self._at_ns:
            self.bits_per_s = (counters.sent_bytes - self._sent_bytes) * 8e9 / (now_ns - self._at_ns)
        self._at_ns, self._sent_bytes = now_ns, counters.sent_bytes

    def _waits_s(self, seen: Seen | None, now_ns: int) -> float:
        """For how long the peer owes a confirmation."""
        if seen is None:
            return 0.0
        if seen.confirmed != self._confirmed:
            self.confirmed_time = time.time()
        if seen.confirmed != self._confirmed or not seen.waits:
            self._confirmed, self._confirmed_ns = seen.confirmed, now_ns
        return (now_ns - self._confirmed_ns) / 1e9

    def _note_trouble(self, counters: Counters, seen: Seen | None, now_ns: int) -> None:
        jumps, refused, sent, resent, dropped = self._before
        if seen is not None:
            sent, resent, dropped = seen.sent - sent, seen.resent - resent, seen.dropped - dropped
        self._before = (
            *(counters.jumps, counters.refused),
            *((seen.sent, seen.resent, seen.dropped) if seen is not None else (0, 0, 0)),
        )
        if counters.jumps > jumps:
            trouble = "it fell behind, and left out media up to the next keyframe"
        elif dropped > 0:
            trouble = f"{dropped} packets were dropped as too late"
        elif counters.refused > refused:
            trouble = "datagrams are refused: nobody listens there"
        elif sent > 0 and resent > RESENT_PART * sent:
            trouble = f"{min(100 * resent / sent, 100):.0f} % of what was sent had to be sent again"
        else:
            if self._trouble and now_ns - self._trouble_ns > TROUBLE_S * 1e9:
                self._trouble = ""
            return
        self._trouble, self._trouble_ns = trouble, now_ns


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
