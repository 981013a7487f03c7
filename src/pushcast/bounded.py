"""Numbers of a request that have bounds, and the one sentence that is said of others."""

from __future__ import annotations

import json

from pushcast.errors import InvalidRequest


def bounded(name: str, value: object, low: float, high: float, unit: str) -> float:
    """The number; a whole one when its upper bound is.  :raises InvalidRequest: name, what was found, bounds."""
    kinds = int if isinstance(high, int) else int | float
    if isinstance(value, bool) or not isinstance(value, kinds) or not low <= value <= high:
        found, least, most = json.dumps(value)[:64], _shown(low), _shown(high)
        raise InvalidRequest(f"{name}: found {found}, allowed: {least} to {most} {unit}".rstrip())
    return value


def _shown(bound: float) -> str:
    return str(bound) if isinstance(bound, int) else f"{bound:g}"
