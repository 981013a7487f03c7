"""``Idempotency-Key`` on ``:startPush``: a client that heard no answer asks again, and nothing is started twice.

The answer to the first request with a key is remembered for a day and given again to every request with that key and
the same body, whatever became of the push meanwhile; another body with that key is refused, and so is one that comes
while the first is still under way.  Only answers that started something are remembered: a refusal changes nothing, so
asking again is harmless.  The memory is this process's; after a restart a start that was carried out meets its own id,
which is 409.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass

from pushcast.errors import Conflict, InvalidRequest

KEPT_S = 24 * 3600.0
# A busy client starts some thousand pushes a day; each answer has some 600 bytes.
MOST_KEYS = 20_000
MOST_KEY_CHARS = 255

Scope = tuple[str, str, str]
"""(vhost, app, the client's key)."""


@dataclass(slots=True)
class _Known:
    digest: bytes
    until: float
    answer: bytes | None = None  # None while the first request is under way


class Idempotency:
    """Answers by key.  ``now``: seconds of a clock that only grows."""

    def __init__(self) -> None:
        self._known: OrderedDict[Scope, _Known] = OrderedDict()

    def begin(self, scope: Scope, body: bytes, now: float) -> bytes | None:
        """The answer that was given before; None: go on, and call ``keep`` or ``forget``.

        :raises InvalidRequest: no key, or it came with another body.  :raises Conflict: the first is under way.
        """
        if not 0 < len(scope[2]) <= MOST_KEY_CHARS:
            raise InvalidRequest(f"Idempotency-Key: allowed: 1 to {MOST_KEY_CHARS} characters")
        self._drop_old(now)
        digest = hashlib.sha256(body).digest()
        known = self._known.get(scope)
        if known is None:
            self._known[scope] = _Known(digest, now + KEPT_S)
            return None
        if known.digest != digest:
            raise InvalidRequest("Idempotency-Key: it came with another body before, allowed: a new key for it")
        if known.answer is None:
            raise Conflict("Idempotency-Key: the first request with it is being carried out")
        return known.answer

    def keep(self, scope: Scope, answer: bytes) -> None:
        self._known[scope].answer = answer

    def forget(self, scope: Scope) -> None:
        """The request was refused: the key is free."""
        self._known.pop(scope, None)

    def _drop_old(self, now: float) -> None:
        while self._known:
            scope, oldest = next(iter(self._known.items()))
            full = len(self._known) >= MOST_KEYS and oldest.answer is not None
            if oldest.until > now and not full:
                return
            del self._known[scope]
