"""The states of a push, which of them follow which, and what is remembered of its moves.

``TRANSITIONS`` is the whole truth about the states.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import NamedTuple

from pushcast.store import NO_TOTALS, Totals


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
