"""CORS: which web pages may use the API from a browser (the Fetch standard, "HTTP CORS protocol").

A page whose origin is configured is named in ``Access-Control-Allow-Origin``, and its requests may carry credentials,
those that the browser remembers for this host too, as OvenMediaEngine has it.

``*`` is for every page, and does not allow credentials, where OvenMediaEngine does.  With them, any page that somebody
opens could use the API in their name, as soon as their browser has the token once.  Without them, a page must know the
token itself and send it in the Authorization header, which a preflight allows by name: that is all a dashboard needs.
An origin that is configured as well still gets its credentials.

The origin ``null`` is that of every sandboxed frame and local file, so it cannot be configured; ``*`` serves it.

Invariants: nothing that a request says goes into a header before it was found to be an origin or a list of header
names.  CORS protects the users of browsers, not the API: whoever is no browser ignores it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

METHODS = "OPTIONS, HEAD, GET, POST, PUT, PATCH, DELETE"

_ORIGIN = re.compile(r"(https?)://([0-9a-z._-]{1,253}|\[[0-9a-f:.]{2,45}\])(?::([0-9]{1,5}))?")
# Field names (RFC 9110, 5.6.2), some dozens of them: browsers send the few that the page has set.
_FIELD_NAMES = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+(?:[ \t]*,[ \t]*[!#$%&'*+.^_`|~0-9A-Za-z-]+)*")
_MAX_FIELD_NAMES_CHARS = 1024
_DEFAULT_PORTS = {"http": "80", "https": "443"}

_Origin = tuple[str, str, str]


class Cors:
    """The configured origins; ``config.py`` has checked what they look like."""

    def __init__(self, origins: Iterable[str]) -> None:
        given = [origin.lower() for origin in origins]
        self._any = "*" in given
        self._exact: set[_Origin] = set()
        self._below: list[_Origin] = []
        for origin in given:
            if origin == "*":
                continue
            below = "://*." in origin
            parts = _parse(origin.replace("://*.", "://", 1))
            if parts is None:
                raise ValueError(f"'{origin}' is no origin")
            if below:
                self._below.append((parts[0], f".{parts[1]}", parts[2]))
            else:
                self._exact.add(parts)

    def __bool__(self) -> bool:
        """Whether any page may use the API; without one only preflights have headers."""
        return self._any or bool(self._exact or self._below)

    def headers(self, origin: str | None, request_headers: str | None, preflight: bool) -> dict[str, str]:
        """The headers of an answer.

        ``origin`` is the request's Origin, ``request_headers`` its Access-Control-Request-Headers.  The answer to
        OPTIONS is ``preflight``; every other one is not, whatever its status: a page may read only what allows it.
        """
        answer: dict[str, str] = {}
        if preflight or self:
            answer["Vary"] = "Origin"  # an answer to one page must not come out of a cache for another
        if preflight:
            answer["Access-Control-Allow-Methods"] = METHODS
        if origin is None or not (self._any or self._knows(origin)):
            return answer
        if self._knows(origin):
            answer["Access-Control-Allow-Origin"] = origin
            answer["Access-Control-Allow-Credentials"] = "true"
        else:
            answer["Access-Control-Allow-Origin"] = "*"
        if preflight and request_headers is not None and _are_field_names(request_headers):
            answer["Access-Control-Allow-Headers"] = request_headers
        return answer

    def _knows(self, origin: str) -> bool:
        parts = _parse(origin)
        if parts is None:
            return False
        scheme, host, port = parts
        return parts in self._exact or any(
            scheme == below[0] and port == below[2] and host.endswith(below[1]) for below in self._below
        )


def _parse(origin: str) -> _Origin | None:
    """(scheme, host, port), with the port that the scheme has by itself."""
    found = _ORIGIN.fullmatch(origin)
    return (found[1], found[2], found[3] or _DEFAULT_PORTS[found[1]]) if found else None


def _are_field_names(text: str) -> bool:
    return len(text) <= _MAX_FIELD_NAMES_CHARS and _FIELD_NAMES.fullmatch(text) is not None
