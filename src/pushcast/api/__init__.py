"""The REST API: an HTTP server inside pushcast's own event loop.

Order of checks: OPTIONS, authorization, route, JSON, virtual host, application, and then what the route itself
checks.  Every answer is an envelope ``{"statusCode", "message", "response"}``; an error's message is ``[HTTP] <text>
(<status>)``.  A method that a path does not have is an unknown path, 404.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Coroutine
from functools import partial
from itertools import count
from types import SimpleNamespace
from typing import Any

from sanic import HTTPResponse, Request, Sanic
from sanic.config import Config
from sanic.exceptions import MethodNotAllowed, PayloadTooLarge, SanicException
from sanic.exceptions import NotFound as RouteNotFound
from sanic.http import Http
from sanic.server.async_server import AsyncioServer

from pushcast.access import Grant, Role, admit
from pushcast.api.answers import REALM, Answer, ApiRequest, listed, many, ok, refusal
from pushcast.api.body import Json, envelope, read_json
from pushcast.api.bulk import start_pushes, stop_pushes
from pushcast.api.check import Checks
from pushcast.api.follow import follow
from pushcast.api.idempotency import Idempotency
from pushcast.api.openapi import openapi_json
from pushcast.api.openapi.page import HEADERS as PAGE_HEADERS
from pushcast.api.openapi.page import docs_page
from pushcast.api.pulls import create_stream, delete_stream
from pushcast.api.push import CHANGES, push_json, start_push
from pushcast.api.pushes import list_pushes
from pushcast.api.senders import senders_json
from pushcast.api.services import Services
from pushcast.api.stats import app_stats, server_stats, stream_stats, vhost_stats
from pushcast.api.streams import (
    app_json,
    check_app,
    check_vhost,
    find_stream,
    stream_json,
    version_json,
    vhost_json,
)
from pushcast.api.tls import ServerTls
from pushcast.audit import Entry
from pushcast.egress import SRT
from pushcast.errors import Conflict, EngineError, NotFound, Unauthorized
from pushcast.log import logger
from pushcast.login_limit import LoginLimit, TooManyLogins
from pushcast.turnstile import Turnstile

_log = logger("api")

# A push request has some hundred bytes; 1 MiB leaves room for any list of names and bounds what a client can make
# us hold.
BODY_LIMIT_BYTES = 1 << 20
BACKLOG = 1024
# Requests to change something that are carried out in one turn of the event loop: a storm of them makes a turn some
# 1 ms longer, and other requests are answered in between.
CHANGES_A_TURN = 2
_READ = ("GET", "HEAD")
# What the API looks like is no secret; a browser that opens the page has no token yet.
_OPEN_PATHS = frozenset({"/openapi.json", "/docs"})
_ACTIONS = frozenset({*CHANGES, "startPushes", "stopPushes", "checkPush"})
_instances = count(1)


class Api:
    """The API of one server.  ``start`` listens, ``close`` stops; both on the running event loop."""

    def __init__(self, services: Services, tls: ServerTls | None = None) -> None:
        self._services = services
        self._registry = services.registry
        self._desired = services.desired
        self._tls = tls
        self._limit = LoginLimit()
        self._turnstile = Turnstile(CHANGES_A_TURN)
        self._checks = Checks(services.registry)
        self._idempotency = Idempotency()
        self._under_way: set[asyncio.Task[HTTPResponse]] = set()
        self._app = self._build()
        self._server: AsyncioServer | None = None

    async def start(self, host: str, port: int) -> tuple[str, int]:
        """Listen; port 0 takes a free one.  Returns the address.  :raises OSError: the address cannot be had."""
        listening = _listen(host, port)
        address: tuple[str, int] = listening.getsockname()[:2]
        self._server = await self._app.create_server(
            sock=listening, access_log=False, backlog=BACKLOG, ssl=self._tls.context if self._tls else None
        )
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
        app = Sanic(f"pushcast-{next(_instances)}", config=config, configure_logging=False, request_class=ApiRequest)
        app.on_request(self._admit)
        if self._services.cors:  # a step for every answer, and most servers have no page that asks them
            app.on_response(self._allow)  # type: ignore[no-untyped-call]
        app.exception(Exception)(self._on_error)
        app_path = "/v1/vhosts/<vhost>/apps/<target>"
        for path, methods, respond in (
            ("/openapi.json", _READ, self._openapi),
            ("/docs", _READ, self._docs),
            ("/v1/version", _READ, self._version),
            ("/v1/events", ("GET",), self._follow),
            ("/v1/stats/senders", _READ, self._senders),
            ("/v1/stats/current", _READ, self._server_stats),
            ("/v1/stats/current/vhosts/<vhost>", _READ, self._vhost_stats),
            ("/v1/stats/current/vhosts/<vhost>/apps/<target>", _READ, self._app_stats),
            ("/v1/stats/current/vhosts/<vhost>/apps/<target>/streams/<name>", _READ, self._stream_stats),
            ("/v1/vhosts", _READ, self._vhosts),
            ("/v1/vhosts/<vhost>", _READ, self._vhost),
            ("/v1/vhosts/<vhost>/apps", _READ, self._apps),
            (app_path, (*_READ, "POST"), self._app_or_action),
            (f"{app_path}/streams", (*_READ, "POST"), self._streams),
            (f"{app_path}/streams/<name>", (*_READ, "DELETE"), self._stream),
        ):
            app.add_route(
                respond, path, methods=methods, strict_slashes=True, unquote=True, name=respond.__name__.strip("_")
            )
        return app

    async def _admit(self, request: Request) -> HTTPResponse | None:
        """OPTIONS and _OPEN_PATHS need no authorization; everything else does, whether its path exists or not."""
        if not request.head:
            return None  # no request could be read from the bytes: Sanic made this one to answer 400 or 413
        if request.method == "OPTIONS":
            return Answer(b"", 204, self._allowed(request, preflight=True))
        if request.path in _OPEN_PATHS:
            return None
        header = request.headers.getone("authorization", None)
        now = asyncio.get_running_loop().time()
        try:
            request.ctx.grant = admit(self._services.access, self._limit, header, request.ip, now)
        except Unauthorized as error:
            if header is not None:
                request.ctx.action = "login"
                self._record(request, error.status)
            raise
        return None

    async def _allow(self, request: Request, response: HTTPResponse) -> None:
        """Which pages may read the answer, whatever it is."""
        if request.head and request.method != "OPTIONS":
            response.headers.update(self._allowed(request, preflight=False))

    def _allowed(self, request: Request, *, preflight: bool) -> dict[str, str]:
        headers = request.headers
        return self._services.cors.headers(
            headers.get("origin"), headers.get("access-control-request-headers"), preflight
        )

    def _record(self, request: Request, status: int, push: str = "") -> None:
        """A line of the audit log; ``push`` is the id of one of many that the request is about."""
        grant: Grant | None = getattr(request.ctx, "grant", None)
        request.ctx.recorded = True
        self._services.audit.record(
            Entry(
                time=time.time(),
                token=grant.name if grant is not None else "",
                remote=request.ip,
                method=request.method,
                path=request.path,
                action=request.ctx.action,
                status=status,
                push=push or getattr(request.ctx, "push", ""),
                stream=getattr(request.ctx, "stream", ""),
            )
        )

    async def _openapi(self, request: Request) -> HTTPResponse:
        return Answer(openapi_json(), 200)

    async def _docs(self, request: Request) -> HTTPResponse:
        return Answer(docs_page(), 200, PAGE_HEADERS, "text/html; charset=utf-8")

    async def _version(self, request: Request) -> HTTPResponse:
        return ok(version_json())

    async def _senders(self, request: Request) -> HTTPResponse:
        _grant(request).require(Role.READ)
        return ok(senders_json(self._services.fanout, SRT.ports.loads()))

    async def _server_stats(self, request: Request) -> HTTPResponse:
        _grant(request).require(Role.READ)
        return ok(server_stats(self._services.statistics))

    async def _vhost_stats(self, request: Request, vhost: str) -> HTTPResponse:
        _grant(request).require(Role.READ, vhost)
        return ok(vhost_stats(self._services.statistics, self._registry, vhost))

    async def _app_stats(self, request: Request, vhost: str, target: str) -> HTTPResponse:
        _grant(request).require(Role.READ, vhost, target)
        return ok(app_stats(self._services.statistics, self._registry, vhost, target))

    async def _stream_stats(self, request: Request, vhost: str, target: str, name: str) -> HTTPResponse:
        _grant(request).require(Role.READ, vhost, target)
        return ok(stream_stats(self._services.statistics, self._registry, vhost, target, name))

    async def _vhosts(self, request: Request) -> HTTPResponse:
        grant = _grant(request)
        return ok([vhost for vhost in self._registry.vhosts if grant.shows(vhost)])

    async def _vhost(self, request: Request, vhost: str) -> HTTPResponse:
        _grant(request).require(Role.READ, vhost)
        check_vhost(self._registry, vhost)
        return ok(vhost_json(vhost))

    async def _apps(self, request: Request, vhost: str) -> HTTPResponse:
        grant = _grant(request)
        if not grant.shows(vhost):
            grant.require(Role.READ, vhost)
        check_vhost(self._registry, vhost)
        return ok([app for app in self._registry.apps(vhost) if grant.shows(vhost, app)])

    async def _app_or_action(self, request: Request, vhost: str, target: str) -> HTTPResponse:
        """``{app}`` or ``{app}:{action}``: the router sees one path segment."""
        app, colon, word = target.rpartition(":")
        grant = _grant(request)
        if not colon:
            if request.method == "POST":
                raise NotFound("Controller not found")
            grant.require(Role.READ, vhost, target)
            check_app(self._registry, vhost, target)
            return ok(app_json(self._registry, vhost, target))
        if word == "pushes":
            grant.require(Role.READ, vhost, app)
            body = read_json(request.body)
            check_app(self._registry, vhost, app)
            return listed(await list_pushes(self._desired.scheduler, vhost, app, body, reveal=self._reveals(grant)))
        if request.method != "POST" or word not in _ACTIONS:
            raise NotFound("Controller not found")
        request.ctx.action = word
        grant.require(Role.PUSH, vhost, app)
        body = read_json(request.body)
        check_app(self._registry, vhost, app)
        if isinstance(body, dict) and isinstance(body.get("id"), str):
            request.ctx.push = body["id"]
        return await self._to_its_end(request, self._act(request, word, vhost, app, body, self._reveals(grant)))

    def _reveals(self, grant: Grant) -> bool:
        """Whether its holder is shown keys: whoever may start a push has them."""
        return grant.role.includes(Role.PUSH) and not self._services.mask_keys

    async def _act(self, request: Request, word: str, vhost: str, app: str, body: Json, reveal: bool) -> HTTPResponse:
        if word == "checkPush":
            return ok(await self._checks.run(vhost, app, body))
        note = partial(self._record, request)
        if word == "startPushes":
            return many(await start_pushes(self._desired, self._turnstile, vhost, app, body, note, reveal=reveal))
        if word == "stopPushes":
            return many(await stop_pushes(self._desired, self._turnstile, vhost, app, body, note))
        await self._turnstile.enter()
        key = request.headers.get("idempotency-key") if word == "startPush" else None
        if key is not None:
            return await self._start_once(request.body, key, vhost, app, body, reveal)
        push = await CHANGES[word](self._desired, vhost, app, body)
        return ok(push_json(push, reveal=reveal) if push is not None else None)

    async def _start_once(self, sent: bytes, key: str, vhost: str, app: str, body: Json, reveal: bool) -> HTTPResponse:
        scope = (vhost, app, key)
        known = self._idempotency.begin(scope, sent, asyncio.get_running_loop().time())
        if known is not None:
            return Answer(known, 200)
        try:
            push = await start_push(self._desired, vhost, app, body)
        except BaseException:
            self._idempotency.forget(scope)
            raise
        answer = envelope(200, "OK", push_json(push, reveal=reveal))
        self._idempotency.keep(scope, answer)
        return Answer(answer, 200)

    async def _to_its_end(self, request: Request, action: Coroutine[Any, Any, HTTPResponse]) -> HTTPResponse:
        """A change that has begun goes on when its client hangs up: half of one would be in the store alone.

        What is written down is how it ended, and not what its client still heard.
        """
        request.ctx.recorded = True
        task = asyncio.create_task(action)
        self._under_way.add(task)

        def ended(_: asyncio.Task[HTTPResponse]) -> None:
            self._under_way.discard(task)
            try:
                status = task.result().status
            except EngineError as error:
                status = self._refusal(request, error).status
            except BaseException:  # a bug, which whoever awaits the task tells
                status = 500
            self._record(request, status)

        task.add_done_callback(ended)
        return await asyncio.shield(task)

    async def _follow(self, request: Request) -> None:
        _grant(request).require(Role.READ, request.args.get("vhost"), request.args.get("app"))
        await follow(request, self._services.events)

    async def _streams(self, request: Request, vhost: str, target: str) -> HTTPResponse:
        if request.method != "POST":
            _grant(request).require(Role.READ, vhost, target)
            check_app(self._registry, vhost, target)
            return ok([stream.name for stream in self._registry.streams(vhost, target)])
        request.ctx.action = "createStream"
        _grant(request).require(Role.ADMIN, vhost, target)
        body = read_json(request.body)
        check_app(self._registry, vhost, target)
        if isinstance(body, dict) and isinstance(body.get("name"), str):
            request.ctx.stream = body["name"]
        await create_stream(self._services.pulls, vhost, target, body)
        self._record(request, 201)
        return Answer(envelope(201, "Created"), 201)

    async def _stream(self, request: Request, vhost: str, target: str, name: str) -> HTTPResponse:
        deletes = request.method == "DELETE"
        if deletes:
            request.ctx.action, request.ctx.stream = "deleteStream", name
        _grant(request).require(Role.ADMIN if deletes else Role.READ, vhost, target)
        check_app(self._registry, vhost, target)
        if deletes:
            await delete_stream(self._registry, self._services.pulls, vhost, target, name)
            self._record(request, 200)
            return ok(None)
        return ok(stream_json(find_stream(self._registry, vhost, target, name)))

    def _on_error(self, request: Request, error: Exception) -> HTTPResponse:
        response = self._refusal(request, error)
        # A change that was refused before it began is somebody's too.
        if getattr(request.ctx, "action", "") and not getattr(request.ctx, "recorded", False):
            self._record(request, response.status)
        return response

    def _refusal(self, request: Request, error: Exception) -> HTTPResponse:
        match error:
            case TooManyLogins():
                return refusal(error.status, str(error), {"Retry-After": str(error.retry_after_s)})
            case Unauthorized():
                return refusal(error.status, str(error), {"WWW-Authenticate": REALM})
            case RouteNotFound() | MethodNotAllowed():
                return refusal(404, "Controller not found")
            case PayloadTooLarge():
                return refusal(413, f"Request exceeds the size limit of {BODY_LIMIT_BYTES} bytes")
            case SanicException():
                return refusal(error.status_code, str(error))
            case Conflict() if self._services.strict and str(error) == "Duplicate ID":
                return refusal(400, str(error))  # what OvenMediaEngine does, against its documentation
            case EngineError():
                return refusal(error.status, str(error))
        _log.error("%s %s: unexpected error", request.method, request.path, exc_info=error)
        return refusal(500, "Internal Server Error")


def _grant(request: Request) -> Grant:
    grant: Grant = request.ctx.grant
    return grant


def _listen(host: str, port: int) -> socket.socket:
    family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
    listening = socket.create_server((host, port), family=family, backlog=BACKLOG)
    listening.setblocking(False)
    return listening
