"""RTMP egress: the publishing client on the event loop until the server says Publish.Start, then the reading half only.

User and password stand before the host, percent-encoded where they hold ``:``, ``@`` or ``/``.

URL and key (the API has them apart): the application is everything behind the host, query included, and the key is
taken verbatim, as keys hold ``?``, ``&`` and ``/``.  Without a key the last path segment with its query is the key.
The URL that the server is told (tcUrl) is the one the user gave, without the key.

RTMPS is the same under TLS from the first byte on.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, TypeVar
from urllib.parse import unquote

from pushcast.egress.channel import Channel, TlsChannel
from pushcast.egress.link import NO_OPTIONS, Protocol, Target
from pushcast.egress.readiness import readiness
from pushcast.egress.resolve import Address, check_request, resolve
from pushcast.egress.streamlink import StreamLink, set_stream_options
from pushcast.egress.tls import TlsSessions, TlsSettings, read_tls, shake_hands
from pushcast.egress.url import split_url
from pushcast.errors import (
    ConnectionLost,
    ConnectRefused,
    ConnectTimeout,
    EngineError,
    InvalidRequest,
    ProtocolError,
    Rejected,
    RequestError,
    TransportError,
)
from pushcast.log import logger
from pushcast.media import Container
from pushcast.rtmp.authentication import Authentication, AuthenticationFailed, Credentials
from pushcast.rtmp.client import ClientConnection
from pushcast.rtmp.connection import State
from pushcast.rtmp.events import (
    Acknowledged,
    Connect,
    Connected,
    Event,
    HandshakeDone,
    Hello,
    Prepare,
    Publish,
    Started,
    StreamCreated,
    Unpublish,
)

DEFAULT_PORTS = {"rtmp": 1935, "rtmps": 443}
# For each address and each answer that we wait for: long enough for a lost packet or two on a slow path, and short
# enough that a push to a silent server says which step it hung in before its whole connect is given up.
STEP_TIMEOUT_S = 5.0
# How long a wanted end waits for the server to close first.  Closing at once with unread answers in the socket would
# reset the connection, and a reset can overtake the deleteStream.
FAREWELL_S = 0.5
MAX_KEY_CHARS = 4096

# A server that sends us on, and each of these, at the most.
MAX_REDIRECTS = 3

_USER_INFO = re.compile(r"([A-Za-z]+://)([^/?#]*)@")
_HTTP_LIKE = re.compile(r"([A-Za-z]+)://(?:[^/?#]*@)?([^/?#]+)")
_log = logger("egress")
_Wanted = TypeVar("_Wanted", bound=Event)


@dataclass(frozen=True, slots=True)
class RtmpTarget(Target):
    """Where to publish.  Application and URL may hold secrets in their query, so nothing of them is shown."""

    app: str = field(repr=False)
    tc_url: str = field(repr=False)
    key: str = field(repr=False)
    tls: TlsSettings | None = None
    credentials: Credentials | None = None

    @property
    def peer(self) -> str:
        """What errors call it."""
        return f"{'rtmps' if self.tls is not None else 'rtmp'} {self.endpoint}"

    @property
    def warnings(self) -> tuple[str, ...]:
        if self.tls is None or not self.tls.insecure:
            return ()
        return (
            "tls.insecure: the server's certificate is not checked, anybody on the way can read and take the stream",
        )


class RtmpProtocol(Protocol):
    """``rtmp://host[:port]/app`` or ``rtmps://``, and a stream key."""

    name: ClassVar[str] = "rtmp"
    container: ClassVar[Container] = Container.RTMP
    members: ClassVar[tuple[str, ...]] = ("tls",)

    def __init__(self) -> None:
        self._sessions = TlsSessions()

    def parse(self, url: str, stream_key: str, options: Mapping[str, Any] = NO_OPTIONS) -> RtmpTarget:
        """See Protocol.parse."""
        url, credentials = _split_credentials(url)
        parts = split_url(url)
        if parts.scheme not in DEFAULT_PORTS:
            raise InvalidRequest("Unsupported protocol")
        secure = parts.scheme == "rtmps"
        if "tls" in options and not secure:
            raise InvalidRequest("tls: found with an rtmp:// url, allowed with rtmps://")
        authority, _, path = url.partition("://")[2].partition("/")
        if "?" in authority:
            raise InvalidRequest(f"Could not parse url: {parts.scheme} needs an application, {parts.scheme}://host/app")
        app, key = (path.rstrip("/"), stream_key) if stream_key else _split_key(path)
        if not key.isprintable() or len(key) > MAX_KEY_CHARS:
            raise InvalidRequest(f"Could not parse streamKey: allowed are up to {MAX_KEY_CHARS} printable characters")
        tc_url = f"{parts.scheme}://{authority}/{app}"
        tls = read_tls(options.get("tls", {})) if secure else None
        return RtmpTarget(parts.host, parts.port or DEFAULT_PORTS[parts.scheme], app, tc_url, key, tls, credentials)

    async def connect(self, target: Target, bytes_per_s: int) -> RtmpLink:
        """See Protocol.connect.  Ends with NetStream.Publish.Start; errors name endpoint and step, never the key."""
        if not isinstance(target, RtmpTarget):
            raise TypeError(f"rtmp: found a {type(target).__name__}, expected an RtmpTarget")
        authentication = Authentication(target.credentials)
        redirects = 0
        while True:
            try:
                return await self._connect_once(target, bytes_per_s, authentication.query)
            except Rejected as error:
                if error.redirect:
                    redirects += 1
                    target = _redirected(target, error.redirect, redirects)
                    authentication = Authentication(target.credentials)
                elif not _another_round(authentication, target, error):
                    raise

    async def _connect_once(self, target: RtmpTarget, bytes_per_s: int, query: str) -> RtmpLink:
        sock = await _connect_any(target, bytes_per_s)
        try:
            channel = Channel(sock) if target.tls is None else await self._secure(sock, target, target.tls)
            connection, message_stream_id = await _publish(channel, target, query)
        except BaseException:
            sock.close()
            raise
        return RtmpLink(channel, target, connection, message_stream_id)

    async def _secure(self, sock: socket.socket, target: RtmpTarget, tls: TlsSettings) -> Channel:
        endpoint = (target.host, target.port, tls)
        try:
            async with asyncio.timeout(STEP_TIMEOUT_S):
                connection = await shake_hands(sock.fileno(), target.host, tls, self._sessions.get(endpoint))
        except TransportError as error:
            raise type(error)(f"{target.peer}: {error}") from error
        except TimeoutError:
            raise ConnectTimeout(
                f"{target.peer}: expected a TLS handshake within {STEP_TIMEOUT_S:g} s, got no answer: a plain-text"
                " port, which rtmp:// reaches, waits like this"
            ) from None
        return TlsChannel(sock, connection, tls, lambda: self._sessions.keep(endpoint, connection))


def _split_credentials(url: str) -> tuple[str, Credentials | None]:
    """The URL without user and password, and these."""
    found = _USER_INFO.match(url)
    if found is None:
        return url, None
    user, colon, password = found[2].partition(":")
    if not user or not colon:
        raise InvalidRequest(
            "Could not parse url: before the host stand user and password, rtmp://user:password@host/app"
        )
    return found[1] + url[found.end() :], Credentials(unquote(user), unquote(password))


def _another_round(authentication: Authentication, target: RtmpTarget, error: Rejected) -> bool:
    try:
        return authentication.go_on(target.app, error.words)
    except AuthenticationFailed as failed:
        raise AuthenticationFailed(f"{target.peer}: {failed}") from None


def _redirected(target: RtmpTarget, url: str, redirects: int) -> RtmpTarget:
    """The same stream at the server that this one names.  :raises Rejected: we do not go there."""
    parts = _HTTP_LIKE.match(url)
    where = f"{parts[1]}://{parts[2]}" if parts is not None else "nowhere"
    if redirects > MAX_REDIRECTS:
        raise Rejected(f"{target.peer}: connect: sent on to {where} after {MAX_REDIRECTS} other servers")
    try:
        next_target = RtmpProtocol().parse(f"{url.rstrip('/')}", target.key, {})
        check_request(next_target.host, next_target.port)
    except RequestError as error:
        raise Rejected(
            f"{target.peer}: connect: sent on to {where}, which is no place to publish to: {error}"
        ) from None
    if target.tls is not None and next_target.tls is None:
        raise Rejected(f"{target.peer}: connect: sent on to {where}, from TLS to plain text")
    _log.info("%s: sent on to %s", target.peer, next_target.endpoint)
    tls = None if next_target.tls is None else target.tls or next_target.tls
    return replace(next_target, tls=tls, credentials=target.credentials)


def _split_key(path: str) -> tuple[str, str]:
    """(app, key) of a path that holds both: the key is the last segment and the query."""
    before, question_mark, query = path.partition("?")
    app, _, key = before.rstrip("/").rpartition("/")
    if not app or not key:
        raise InvalidRequest("Could not parse url: rtmp without a streamKey needs an application and a key in the url")
    return app, key + question_mark + query


class RtmpLink(StreamLink):
    """A server that takes our stream."""

    __slots__ = ("_connection", "_target", "acked_bytes")

    def __init__(
        self, channel: Channel, target: RtmpTarget, connection: ClientConnection, message_stream_id: int
    ) -> None:
        super().__init__(channel, message_stream_id)
        self.acked_bytes = 0
        """Container bytes and control bytes that the server says it has, counted from the end of the handshake."""
        self._target = target
        self._connection = connection

    @property
    def peer(self) -> str:
        return f"{self._target.peer}: the server"

    def final(self) -> bytes:
        """FCUnpublish and deleteStream: without them services take the end for an interruption.  Only once."""
        return b"" if self._connection.state is State.CLOSED else self._connection.send(Unpublish())

    def watch(self) -> None:
        super().watch()
        try:
            self.take(memoryview(b""))  # what came together with Publish.Start
        except EngineError as error:
            self.lose(error)

    def take(self, data: memoryview | bytes) -> None:
        try:
            self._connection.receive_data(data)
            while (event := self._connection.next_event()) is not None:
                if isinstance(event, Acknowledged):
                    self._on_acknowledged(event.received_bytes)
        except ProtocolError as error:
            raise _at(self._target.peer, error) from error
        if self.on_control is not None and (replies := self._connection.data_to_send()):
            self.on_control(replies)

    async def close(self) -> None:
        """Say that no more will come, wait shortly for the server to close, close."""
        if self.transport.closed:
            return
        try:
            if not self.lost:
                await self._say_farewell()
        finally:
            self.transport.close()

    def stats(self) -> dict[str, int | float]:
        return super().stats() | {"acknowledged_bytes": self.acked_bytes}

    def _on_acknowledged(self, received_bytes: int) -> None:
        step = (received_bytes - self.acked_bytes) & 0xFFFFFFFF
        if step < 1 << 31:  # a step back is a server that counts wrongly
            self.acked_bytes += step

    async def _say_farewell(self) -> None:
        with contextlib.suppress(OSError):  # the peer was faster, or is too slow
            async with asyncio.timeout(FAREWELL_S):
                await self._channel.end_writing()
                while await readiness().receive(self._channel.fd):
                    pass


async def _connect_any(target: RtmpTarget, bytes_per_s: int) -> socket.socket:
    """A socket connected to the first address that takes us; the error of the last one when none does."""
    addresses = await resolve(target.host, target.port, type=socket.SOCK_STREAM)
    error: EngineError | None = None
    for address in addresses:
        try:
            return await _connect_one(target.peer, address, bytes_per_s)
        except EngineError as failed:
            error = failed
    raise error or ConnectRefused(f"{target.peer}: the host has no address")


async def _connect_one(peer: str, address: Address, bytes_per_s: int) -> socket.socket:
    family, sockaddr = address
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        set_stream_options(sock, bytes_per_s)
        async with asyncio.timeout(STEP_TIMEOUT_S):
            await asyncio.get_running_loop().sock_connect(sock, sockaddr)
    except BaseException as error:
        sock.close()
        if isinstance(error, OSError):
            raise _connect_error(peer, error) from error
        raise
    return sock


def _connect_error(peer: str, error: OSError) -> EngineError:
    if isinstance(error, TimeoutError):
        return ConnectTimeout(f"{peer}: expected a TCP connection within {STEP_TIMEOUT_S:g} s, got no answer")
    if isinstance(error, ConnectionRefusedError):
        return ConnectRefused(f"{peer}: expected a TCP connection, got a refusal: nothing listens there")
    return TransportError(f"{peer}: expected a TCP connection, got: {error.strerror or type(error).__name__}")


class _Dialogue:
    """The questions and answers up to Publish.Start over one channel."""

    def __init__(self, channel: Channel, peer: str) -> None:
        self.connection = ClientConnection(int(time.monotonic() * 1000))
        self._channel = channel
        self._peer = peer

    async def ask(self, step: str, question: Event, wanted: type[_Wanted]) -> _Wanted:
        """Send one event and read until the answer to it came."""
        words = wanted.__name__
        try:
            async with asyncio.timeout(STEP_TIMEOUT_S):
                await self._channel.send_all(self.connection.send(question))
                return await self._answer(step, wanted)
        except ProtocolError as error:
            raise _at(self._peer, error) from error
        except EngineError:
            raise
        except TimeoutError:
            raise ConnectTimeout(
                f"{self._peer}: {step}: expected {words} within {STEP_TIMEOUT_S:g} s, got no answer"
            ) from None
        except OSError as error:
            raise ConnectionLost(f"{self._peer}: {step}: expected {words}, got: {error.strerror}") from error

    async def _answer(self, step: str, wanted: type[_Wanted]) -> _Wanted:
        while True:
            while (event := self.connection.next_event()) is not None:
                if isinstance(event, wanted):
                    return event
            if replies := self.connection.data_to_send():
                await self._channel.send_all(replies)
            data = await self._channel.receive()
            if not data:
                raise ConnectionLost(f"{self._peer}: {step}: expected {wanted.__name__}, got the end of the connection")
            self.connection.receive_data(data)


async def _publish(channel: Channel, target: RtmpTarget, query: str) -> tuple[ClientConnection, int]:
    dialogue = _Dialogue(channel, target.peer)
    await dialogue.ask("handshake", Hello(), HandshakeDone)
    app, tc_url = (_with_query(text, query) for text in (target.app, target.tc_url))
    await dialogue.ask("connect", Connect(app, tc_url), Connected)
    created = await dialogue.ask("createStream", Prepare(target.key), StreamCreated)
    await dialogue.ask("publish", Publish(target.key, created.message_stream_id), Started)
    return dialogue.connection, created.message_stream_id


def _with_query(text: str, query: str) -> str:
    return f"{text}{'&' if '?' in text else '?'}{query}" if query else text


def _at(peer: str, error: ProtocolError) -> ProtocolError:
    words = f"{peer}: {error}"
    return Rejected(words, error.words, error.redirect) if isinstance(error, Rejected) else type(error)(words)
