"""The REST API: an HTTP server inside pushcast's own event loop.

Order of checks: OPTIONS, authorization, route, JSON, virtual host, application, and then what the route itself
checks.  Every answer is an envelope ``{"statusCode", "message", "response"}``; an error's message is ``[HTTP] <text>
(<status>)``.  A method that a path does not have is an unknown path, 404.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from itertools import count
from types import SimpleNamespace
from typing import Any

from sanic import HTTPResponse, Request, Sanic
from sanic.config import Config
from sanic.exceptions import BadURL, MethodNotAllowed, PayloadTooLarge, SanicException
from sanic.exceptions import NotFound as RouteNotFound
from sanic.http import Http
from sanic.server.async_server import AsyncioServer

from pushcast.api.auth import REALM, check_authorization
from pushcast.api.body import envelope, read_json
from pushcast.api.push import ACTIONS
from pushcast.api.senders import senders_json
from pushcast.api.streams import (
    app_json,
    check_app,
    check_vhost,
    find_stream,
    stream_json,
    version_json,
    vhost_json,
)
from pushcast.egress import SRT
from pushcast.egress.fanout import FanOut
from pushcast.errors import EngineError, NotFound, Unauthorized
from pushcast.log import logger
from pushcast.scheduler import Scheduler
from pushcast.stream import Registry
from pushcast.turnstile import Turnstile

_log = logger("api")

# A push request has some hundred bytes; 1 MiB leaves room for any list of names and bounds what a client can make
# us hold.
BODY_LIMIT_BYTES = 1 << 20
BACKLOG = 1024
# Requests to start or stop that are carried out in one turn of the event loop: a storm of them makes a turn some 1 ms
# longer, and other requests are answered in between.
CHANGES_A_TURN = 2
_CHANGES = frozenset({"startPush", "stopPush"})

_JSON = "application/json;charset=UTF-8"
_READ = ("GET", "HEAD")
_METHODS = "OPTIONS, HEAD, GET, POST, PUT, PATCH, DELETE"
_instances = count(1)


class Api:
    """The API of one server.  ``start`` listens, ``close`` stops; both on the running event loop."""

    def __init__(self, registry: Registry, scheduler: Scheduler, fanout: FanOut, access_token: str) -> None:
        self._registry = registry
        self._scheduler = scheduler
        self._fanout = fanout
        self._token = access_token.encode()
        self._changes = Turnstile(CHANGES_A_TURN)
        self._app = self._build()
        self._server: AsyncioServer | None = None

    async def start(self, host: str, port: int) -> tuple[str, int]:
        """Listen; port 0 takes a free one.  Returns the address.  :raises OSError: the address cannot be had."""
        listening = _listen(host, port)
        address: tuple[str, int] = listening.getsockname()[:2]
        self._server = await self._app.create_server(sock=listening, access_log=False, backlog=BACKLOG)
        assert self._server is not None  # the type allows for servers that are no asyncio servers
        await self._server.startup()  # type: ignore[no-untyped-call]
        await self._server.start_serving()  # type: ignore[no-untyped-call]
        return address

    async def close(self) -> None:
        """Stop listening and drop what is connected."""
        if self._server is not None:
            closed = self._server.close()  # type: ignore[no-untyped-call]
            for connection in list(self._server.connections):
                connection.close()
            await closed
            self._server = None
        Sanic.unregister_app(self._app)

    def _build(self) -> Sanic[Config, SimpleNamespace]:
        config = Config(env_prefix=None)
        config.update(
            {
                "ACCESS_LOG": False,
                "AUTO_EXTEND": False,
                "MOTD": False,
                "REQUEST_MAX_SIZE": BODY_LIMIT_BYTES,
                # It takes unused hooks out of Sanic's classes, a third of the cost of a request: once in a process, for
                # all its applications, as it cannot read what it has rewritten.
                "TOUCHUP": not getattr(Http, "__touched__", False),
            }
        )
        # Sanic knows its applications by name, and one process may hold several (tests do).
        app = Sanic(f"pushcast-{next(_instances)}", config=config, configure_logging=False, request_class=_Request)
        app.on_request(self._admit)
        app.exception(Exception)(_on_error)
        app_path = "/v1/vhosts/<vhost>/apps/<target>"
        for path, methods, respond in (
            ("/v1/version", _READ, self._version),
            ("/v1/stats/senders", _READ, self._senders),
            ("/v1/vhosts", _READ, self._vhosts),
            ("/v1/vhosts/<vhost>", _READ, self._vhost),
            ("/v1/vhosts/<vhost>/apps", _READ, self._apps),
            (app_path, (*_READ, "POST"), self._app_or_action),
            (f"{app_path}/streams", _READ, self._streams),
            (f"{app_path}/streams/<name>", _READ, self._stream),
        ):
            app.add_route(
                respond, path, methods=methods, strict_slashes=True, unquote=True, name=respond.__name__.strip("_")
            )
        return app

    async def _admit(self, request: Request) -> HTTPResponse | None:
        """OPTIONS needs no authorization; everything else does, whether its path exists or not."""
        if not request.head:
            return None  # no request could be read from the bytes: Sanic made this one to answer 400 or 413
        if request.method == "OPTIONS":
            return _Answer(b"", 204, {"Access-Control-Allow-Methods": _METHODS, "Vary": "Origin"})
        check_authorization(request.headers.getone("authorization", None), self._token)
        return None

    async def _version(self, request: Request) -> HTTPResponse:
        return _ok(version_json())

    async def _senders(self, request: Request) -> HTTPResponse:
        return _ok(senders_json(self._fanout, SRT.ports.loads()))

    async def _vhosts(self, request: Request) -> HTTPResponse:
        return _ok(self._registry.vhosts)

    async def _vhost(self, request: Request, vhost: str) -> HTTPResponse:
        check_vhost(self._registry, vhost)
        return _ok(vhost_json(vhost))

    async def _apps(self, request: Request, vhost: str) -> HTTPResponse:
        check_vhost(self._registry, vhost)
        return _ok(self._registry.apps(vhost))

    async def _app_or_action(self, request: Request, vhost: str, target: str) -> HTTPResponse:
        """``{app}`` or ``{app}:{action}``: the router sees one path segment."""
        app, colon, word = target.rpartition(":")
        if not colon:
            if request.method == "POST":
                raise NotFound("Controller not found")
            check_app(self._registry, vhost, target)
            return _ok(app_json(target))
        action = ACTIONS.get((request.method, word))
        if action is None:
            raise NotFound("Controller not found")
        body = read_json(request.body)
        check_app(self._registry, vhost, app)
        if word in _CHANGES:
            await self._changes.enter()
        return _ok(action(self._scheduler, vhost, app, body))

    async def _streams(self, request: Request, vhost: str, target: str) -> HTTPResponse:
        check_app(self._registry, vhost, target)
        return _ok([stream.name for stream in self._registry.streams(vhost, target)])

    async def _stream(self, request: Request, vhost: str, target: str, name: str) -> HTTPResponse:
        check_app(self._registry, vhost, target)
        return _ok(stream_json(find_stream(self._registry, vhost, target, name)))


class _Request(Request):
    """A request whose URL may be anything: one that cannot be parsed is an unknown path, where Sanic would break."""

    def __init__(self, url_bytes: bytes, *others: Any, **named: Any) -> None:
        try:
            super().__init__(url_bytes, *others, **named)
        except BadURL:
            super().__init__(b"/", *others, **named)


class _Answer(HTTPResponse):
    """A whole JSON answer."""

    __slots__ = ()

    def __init__(self, body: bytes, status: int, headers: dict[str, str] | None = None) -> None:
        super().__init__(body, status, {"Server": "pushcast", **(headers or {})}, _JSON)

    @property
    def processed_headers(self) -> Iterator[tuple[bytes, bytes]]:
        # Sanic puts an empty Alt-Svc there, which RFC 7838 does not know, and takes it out only when it runs the
        # loop itself.
        self.headers.pop("alt-svc", None)
        return super().processed_headers


def _ok(response: object) -> HTTPResponse:
    return _Answer(envelope(200, "OK", response), 200)


def _refusal(status: int, text: str, headers: dict[str, str] | None = None) -> HTTPResponse:
    # A header may carry bytes that are no UTF-8, and an error text may quote it.
    shown = f"[HTTP] {text} ({status})".encode(errors="replace").decode()
    return _Answer(envelope(status, shown), status, headers)


def _on_error(request: Request, error: Exception) -> HTTPResponse:
    match error:
        case Unauthorized():
            return _refusal(error.status, str(error), {"WWW-Authenticate": REALM})
        case RouteNotFound() | MethodNotAllowed():
            return _refusal(404, "Controller not found")
        case PayloadTooLarge():
            return _refusal(413, f"Request exceeds the size limit of {BODY_LIMIT_BYTES} bytes")
        case SanicException():
            return _refusal(error.status_code, str(error))
        case EngineError():
            return _refusal(error.status, str(error))
    _log.error("%s %s: unexpected error", request.method, request.path, exc_info=error)
    return _refusal(500, "Internal Server Error")


def _listen(host: str, port: int) -> socket.socket:
    family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
    listening = socket.create_server((host, port), family=family, backlog=BACKLOG)
    listening.setblocking(False)
    return listening
