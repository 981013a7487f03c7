"""What a push says and what its receiver gets, looked at some ten times a second, and what these samples show.

- The truth is told when the push is no longer ``pushing`` and ``ok`` at once.
- It has healed when its receiver gets media again and the push keeps up with its stream; what was lost may still show.
- It is ``ok`` again when nothing of the trouble shows any more either.

Healed and ok count from the last moment at which they were not so: what comes back and breaks again has not healed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

# A push that is further behind its stream says so itself (health.py).
KEEPS_UP_MS = 1000


@dataclass(frozen=True, slots=True)
class Sample:
    """One look; ``at_s`` is of CLOCK_MONOTONIC, ``media_bytes`` what the receiver has until then."""

    at_s: float
    state: str
    health: str
    reason: str
    lag_ms: int
    overloaded: bool
    media_bytes: int

    @classmethod
    def of(cls, at_s: float, push: dict[str, Any], media_bytes: int) -> Sample:
        """``push`` is as the API describes it, with details."""
        return cls(
            at_s=at_s,
            state=push["state"],
            health=push.get("health", ""),
            reason=push.get("healthReason", "") or push.get("lastError", {}).get("reason", ""),
            lag_ms=push["statistics"].get("lagMs", 0),
            overloaded=bool(push.get("overload")),
            media_bytes=media_bytes,
        )

    @property
    def well(self) -> bool:
        return self.state == "pushing" and self.health == "ok"

    @property
    def keeps_up(self) -> bool:
        pushes = self.state == "pushing" and self.health != "stalled"
        return pushes and self.lag_ms <= KEEPS_UP_MS and not self.overloaded


def told(samples: Sequence[Sample], begin_s: float) -> Sample | None:
    """The first that says that something is wrong; None: nobody was told."""
    return next((each for each in samples if each.at_s >= begin_s and not each.well), None)


def healed_s(samples: Sequence[Sample], end_s: float) -> float | None:
    """Seconds from the end of the trouble; None: not while anybody looked."""
    return _since(samples, end_s, lambda each: each.keeps_up)


def ok_s(samples: Sequence[Sample], end_s: float) -> float | None:
    """Seconds from the end of the trouble; None: not while anybody looked."""
    return _since(samples, end_s, lambda each: each.well)


def _since(samples: Sequence[Sample], end_s: float, is_so: Callable[[Sample], bool]) -> float | None:
    had = max((each.media_bytes for each in samples if each.at_s < end_s), default=0)
    since_s = None
    for each in samples:
        if each.at_s < end_s:
            continue
        if not is_so(each) or each.media_bytes <= had:
            since_s = None
        elif since_s is None:
            since_s = each.at_s
    return None if since_s is None else since_s - end_s
