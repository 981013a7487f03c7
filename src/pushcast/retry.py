"""How long a push waits before it tries again, and when it gives up.

An error's class (errors.Retry) says which waits fit: ``soon`` (the way to the peer, or the peer, is gone: 1 s to 30 s),
``slowly`` (the peer said no to the name or the key: 15 s to 2 min, and no longer after REJECTIONS times in a row) and
``never`` (TLS or the media: only a change helps).  Waits grow from one failure to the next, and within their range
chance decides, so that pushes that failed together do not come back together.

A push may bring a policy of its own.  Giving up keeps it: ``:restartPush``, ``:updatePush`` and a new publisher all
start it again.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pushcast.errors import InvalidRequest, Retry

# The shortest wait after the peer said no, and the bound of the waits then; other waits are the policy's.
SLOW_INITIAL_S, SLOW_MAX_S = 15.0, 120.0
# Some ten minutes: long enough for somebody who is mending the key, and no peer is asked for ever.
REJECTIONS = 8
MOST_DOUBLINGS = 64  # of any factor: beyond it the wait is at its bound


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """``jitter``: the part of a wait that chance may take off, down to the shortest; ``give_up_after`` 0: never."""

    initial_s: float = 1.0
    max_s: float = 30.0
    factor: float = 2.0
    jitter: float = 1.0
    give_up_after: int = 0

    def members(self) -> dict[str, Any]:
        """As a request has it."""
        return {
            "initial": self.initial_s,
            "max": self.max_s,
            "factor": self.factor,
            "jitter": self.jitter,
            "giveUpAfter": self.give_up_after,
        }


DEFAULT = RetryPolicy()

# member: least, most, whether it is a whole number, what it counts
_MEMBERS = {
    "initial": (0.1, 3600.0, False, "seconds"),
    "max": (0.1, 86400.0, False, "seconds"),
    "factor": (1.0, 10.0, False, ""),
    "jitter": (0.0, 1.0, False, ""),
    "giveUpAfter": (0, 10_000, True, "failures in a row, 0: never"),
}


def read_retry(member: object) -> RetryPolicy:
    """The policy of a request's ``retry``.  :raises InvalidRequest: the member, what was found, what is allowed."""
    if not isinstance(member, Mapping):
        raise InvalidRequest(f"retry: found {type(member).__name__}, allowed an object with {', '.join(_MEMBERS)}")
    found = DEFAULT.members()
    for name, value in member.items():
        if name not in _MEMBERS:
            raise InvalidRequest(f"retry.{str(name)[:40]}: not known, allowed are {', '.join(_MEMBERS)}")
        low, high, whole, unit = _MEMBERS[name]
        allowed = f"allowed: {low:g} to {high:g}{f' {unit}' if unit else ''}"
        if type(value) is not int and (whole or type(value) is not float):
            raise InvalidRequest(f"retry.{name}: found {type(value).__name__}, {allowed}")
        if not low <= value <= high:
            raise InvalidRequest(f"retry.{name}: found {value:g}, {allowed}")
        found[name] = value
    if "max" not in member:
        found["max"] = max(found["max"], found["initial"])
    if found["max"] < found["initial"]:
        raise InvalidRequest(
            f"retry.max: found {found['max']:g}, allowed: at least retry.initial, {found['initial']:g}"
        )
    return RetryPolicy(*(found[name] for name in _MEMBERS))


class Backoff:
    """Counts failures in a row and chooses the wait after each."""

    __slots__ = ("_most_hopeful", "_rejections", "_uniform", "failures")

    def __init__(self, uniform: Callable[[float, float], float] = random.uniform) -> None:
        self.failures = 0
        self._rejections = 0
        self._most_hopeful = Retry.NEVER
        self._uniform = uniform

    def note(self, retry: Retry) -> None:
        """A failure behind which another destination is tried at once: the wait is for the most hopeful of them."""
        self._most_hopeful = min(self._most_hopeful, retry, key=list(Retry).index)

    def delay_s(self, policy: RetryPolicy, retry: Retry) -> float | None:
        """Count a failure and choose the wait; None: only a change helps, or it gives up (:meth:`gave_up` says so)."""
        self.note(retry)
        retry, self._most_hopeful = self._most_hopeful, Retry.NEVER
        self.failures += 1
        self._rejections = self._rejections + 1 if retry is Retry.SLOWLY else 0
        if retry is Retry.NEVER or self.gave_up(policy):
            return None
        initial_s, max_s = policy.initial_s, policy.max_s
        if retry is Retry.SLOWLY:
            initial_s, max_s = max(initial_s, SLOW_INITIAL_S), max(max_s, SLOW_MAX_S)
        longest_s = min(max_s, initial_s * policy.factor ** min(self.failures, MOST_DOUBLINGS))
        return self._uniform(longest_s - policy.jitter * (longest_s - initial_s), longest_s)

    def gave_up(self, policy: RetryPolicy) -> str:
        """Why it tries no more; empty while it does."""
        if policy.give_up_after and self.failures >= policy.give_up_after:
            return f"failed {self.failures} times in a row, as retry.giveUpAfter allows"
        if not policy.give_up_after and self._rejections >= REJECTIONS:
            return f"the peer said no {self._rejections} times in a row"
        return ""

    def reset(self) -> None:
        self.failures = self._rejections = 0
