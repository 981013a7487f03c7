"""Answers of the API, and the request that may have any URL."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from sanic import HTTPResponse, Request
from sanic.exceptions import BadURL
from sanic.helpers import has_message_body

from pushcast.api.body import envelope

REALM = 'Basic realm="OvenMediaEngine"'
_JSON = "application/json;charset=UTF-8"


class ApiRequest(Request):
    """A request whose URL may be anything: one that cannot be parsed is an unknown path, where Sanic would break."""

    def __init__(self, url_bytes: bytes, *others: Any, **named: Any) -> None:
        try:
            super().__init__(url_bytes, *others, **named)
        except BadURL:
            super().__init__(b"/", *others, **named)


class Answer(HTTPResponse):
    """A whole answer, JSON unless said otherwise."""

    __slots__ = ()

    def __init__(
        self, body: bytes, status: int, headers: dict[str, str] | None = None, content_type: str = _JSON
    ) -> None:
        super().__init__(body, status, {"Server": "pushcast", **(headers or {})}, content_type)

    @property
    def processed_headers(self) -> Iterator[tuple[bytes, bytes]]:
        # Sanic puts an empty Alt-Svc there, which RFC 7838 does not know, and takes it out only when it runs the
        # loop itself.
        self.headers.pop("alt-svc", None)
        if has_message_body(self.status):  # type: ignore[no-untyped-call]
            self.headers.setdefault("content-type", self.content_type)
        return (_encoded(name, value) for name, value in self.headers.items())


@lru_cache(maxsize=512)
def _encoded(name: str, value: str | int) -> tuple[bytes, bytes]:
    """A header as it is sent.  Nearly all answers have the same few; what is new passes Sanic's own look at it."""
    sanitized = HTTPResponse._sanitize_header_value
    return sanitized(name).encode("ascii"), sanitized(f"{value}").encode(errors="surrogateescape")


def ok(response: object) -> HTTPResponse:
    """200; ``response`` None for none."""
    return Answer(envelope(200, "OK", response), 200)


def listed(response: bytes) -> HTTPResponse:
    """200; ``response`` is JSON already."""
    return Answer(b'{"statusCode":200,"message":"OK","response":%b}' % response, 200)


def many(items: list[dict[str, Any]]) -> HTTPResponse:
    """207, an item for each thing that was asked for."""
    return Answer(envelope(207, "Multi Status", items), 207)


def refusal(status: int, text: str, headers: dict[str, str] | None = None) -> HTTPResponse:
    """An error, in OvenMediaEngine's form."""
    # A header may carry bytes that are no UTF-8, and an error text may quote it.
    shown = f"[HTTP] {text} ({status})".encode(errors="replace").decode()
    return Answer(envelope(status, shown), status, headers)
