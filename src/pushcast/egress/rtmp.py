"""RTMP egress: the publishing client on the event loop until the server says Publish.Start, then the reading half only.

URL and key (the API has them apart): the application is everything behind the host, query included, and the key is
taken verbatim, as keys hold ``?``, ``&`` and ``/``.  Without a key the last path segment with its query is the key.
The URL that the server is told (tcUrl) is the one the user gave, without the key.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import time
from dataclasses import dataclass, field
from typing import ClassVar, TypeVar

from pushcast.egress.link import Protocol, Target
from pushcast.egress.readiness import readiness
from pushcast.egress.resolve import Address, resolve
from pushcast.egress.streamlink import StreamLink, set_stream_options
from pushcast.egress.url import split_url
from pushcast.errors import (
    ConnectionLost,
    ConnectRefused,
    ConnectTimeout,
    EngineError,
    InvalidRequest,
    ProtocolError,
    TransportError,
)
from pushcast.media import Container
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

DEFAULT_PORT = 1935
# For each address and each answer that we wait for: long enough for a lost packet or two on a slow path, and short
# enough that a push to a silent server says which step it hung in before its whole connect is given up.
STEP_TIMEOUT_S = 5.0
# How long a wanted end waits for the server to close first.  Closing at once with unread answers in the socket would
# reset the connection, and a reset can overtake the deleteStream.
FAREWELL_S = 0.5
MAX_KEY_CHARS = 4096

_USER_INFO = re.compile(r"[A-Za-z]+://[^/?#]*@")
_Wanted = TypeVar("_Wanted", bound=Event)


@dataclass(frozen=True, slots=True)
class RtmpTarget(Target):
    """Where to publish.  Application and URL may hold secrets in their query, so nothing of them is shown."""

    app: str = field(repr=False)
    tc_url: str = field(repr=False)
    key: str = field(repr=False)


class RtmpProtocol(Protocol):
    """``rtmp://host[:port]/app`` and a stream key."""

    name: ClassVar[str] = "rtmp"
    container: ClassVar[Container] = Container.RTMP

    def parse(self, url: str, stream_key: str) -> RtmpTarget:
        """See Protocol.parse.  Refuses rtmps and user:password in the URL, which this version cannot do."""
        if _USER_INFO.match(url):
            raise InvalidRequest("Could not parse url: user and password are not supported for rtmp yet")
        parts = split_url(url)
        if parts.scheme == "rtmps":
            raise InvalidRequest("Unsupported protocol: rtmps is not available yet, use rtmp")
        if parts.scheme != "rtmp":
            raise InvalidRequest("Unsupported protocol")
        authority, _, path = url.partition("://")[2].partition("/")
        if "?" in authority:
            raise InvalidRequest("Could not parse url: rtmp needs an application, rtmp://host/app")
        app, key = (path.rstrip("/"), stream_key) if stream_key else _split_key(path)
        if not key.isprintable() or len(key) > MAX_KEY_CHARS:
            raise InvalidRequest(f"Could not parse streamKey: allowed are up to {MAX_KEY_CHARS} printable characters")
        tc_url = f"rtmp://{authority}/{app}"
        return RtmpTarget(parts.host, parts.port or DEFAULT_PORT, app, tc_url, key)

    async def connect(self, target: Target, bytes_per_s: int) -> RtmpLink:
        """See Protocol.connect.  Ends with NetStream.Publish.Start; errors name endpoint and step, never the key."""
        if not isinstance(target, RtmpTarget):
            raise TypeError(f"rtmp: found a {type(target).__name__}, expected an RtmpTarget")
        sock = await _connect_any(target, bytes_per_s)
        try:
            connection, message_stream_id = await _publish(sock, target)
        except BaseException:
            sock.close()
            raise
        return RtmpLink(sock, target, connection, message_stream_id)


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
        self, sock: socket.socket, target: RtmpTarget, connection: ClientConnection, message_stream_id: int
    ) -> None:
        super().__init__(sock.detach(), message_stream_id)
        self.acked_bytes = 0
        """Container bytes and control bytes that the server says it has, counted from the end of the handshake."""
        self._target = target
        self._connection = connection

    @property
    def peer(self) -> str:
        return f"rtmp {self._target.endpoint}: the server"

    def final(self) -> bytes:
        """FCUnpublish and deleteStream: without them services take the end for an interruption.  Only once."""
        return b"" if self._connection.state is State.CLOSED else self._connection.send(Unpublish())

    def watch(self) -> None:
        super().watch()
        try:
            self.take(memoryview(b""))  # what came together with Publish.Start
        except EngineError as error:
            self.lose(error)

    def take(self, data: memoryview) -> None:
        try:
            self._connection.receive_data(data)
            while (event := self._connection.next_event()) is not None:
                if isinstance(event, Acknowledged):
                    self._on_acknowledged(event.received_bytes)
        except ProtocolError as error:
            raise _at(self._target.endpoint, error) from error
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
        return {"acked_bytes": self.acked_bytes}

    def _on_acknowledged(self, received_bytes: int) -> None:
        step = (received_bytes - self.acked_bytes) & 0xFFFFFFFF
        if step < 1 << 31:  # a step back is a server that counts wrongly
            self.acked_bytes += step

    async def _say_farewell(self) -> None:
        view = socket.socket(fileno=self._fd)
        try:
            view.shutdown(socket.SHUT_WR)
        except OSError:
            return  # the peer was faster
        finally:
            view.detach()
        with contextlib.suppress(TimeoutError, ConnectionError):
            async with asyncio.timeout(FAREWELL_S):
                while await readiness().receive(self._fd):
                    pass


async def _connect_any(target: RtmpTarget, bytes_per_s: int) -> socket.socket:
    """A socket connected to the first address that takes us; the error of the last one when none does."""
    addresses = await resolve(target.host, target.port, type=socket.SOCK_STREAM)
    error: EngineError | None = None
    for address in addresses:
        try:
            return await _connect_one(target.endpoint, address, bytes_per_s)
        except EngineError as failed:
            error = failed
    raise error or ConnectRefused(f"rtmp {target.endpoint}: the host has no address")


async def _connect_one(endpoint: str, address: Address, bytes_per_s: int) -> socket.socket:
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
            raise _connect_error(endpoint, error) from error
        raise
    return sock


def _connect_error(endpoint: str, error: OSError) -> EngineError:
    if isinstance(error, TimeoutError):
        return ConnectTimeout(f"rtmp {endpoint}: expected a TCP connection within {STEP_TIMEOUT_S:g} s, got no answer")
    if isinstance(error, ConnectionRefusedError):
        return ConnectRefused(f"rtmp {endpoint}: expected a TCP connection, got a refusal: nothing listens there")
    return TransportError(f"rtmp {endpoint}: expected a TCP connection, got: {error.strerror or type(error).__name__}")


class _Dialogue:
    """The questions and answers up to Publish.Start over one socket."""

    def __init__(self, sock: socket.socket, endpoint: str) -> None:
        self.connection = ClientConnection(int(time.monotonic() * 1000))
        self._sock = sock
        self._endpoint = endpoint
        self._loop = asyncio.get_running_loop()

    async def ask(self, step: str, question: Event, wanted: type[_Wanted]) -> _Wanted:
        """Send one event and read until the answer to it came."""
        words = wanted.__name__
        try:
            async with asyncio.timeout(STEP_TIMEOUT_S):
                await self._loop.sock_sendall(self._sock, self.connection.send(question))
                return await self._answer(step, wanted)
        except ProtocolError as error:
            raise _at(self._endpoint, error) from error
        except EngineError:
            raise
        except TimeoutError:
            raise ConnectTimeout(
                f"rtmp {self._endpoint}: {step}: expected {words} within {STEP_TIMEOUT_S:g} s, got no answer"
            ) from None
        except OSError as error:
            raise ConnectionLost(f"rtmp {self._endpoint}: {step}: expected {words}, got: {error.strerror}") from error

    async def _answer(self, step: str, wanted: type[_Wanted]) -> _Wanted:
        while True:
            while (event := self.connection.next_event()) is not None:
                if isinstance(event, wanted):
                    return event
            if replies := self.connection.data_to_send():
                await self._loop.sock_sendall(self._sock, replies)
            data = await readiness().receive(self._sock.fileno())
            if not data:
                raise ConnectionLost(
                    f"rtmp {self._endpoint}: {step}: expected {wanted.__name__}, got the end of the connection"
                )
            self.connection.receive_data(data)


async def _publish(sock: socket.socket, target: RtmpTarget) -> tuple[ClientConnection, int]:
    dialogue = _Dialogue(sock, target.endpoint)
    await dialogue.ask("handshake", Hello(), HandshakeDone)
    await dialogue.ask("connect", Connect(target.app, target.tc_url), Connected)
    created = await dialogue.ask("createStream", Prepare(target.key), StreamCreated)
    await dialogue.ask("publish", Publish(target.key, created.message_stream_id), Started)
    return dialogue.connection, created.message_stream_id


def _at(endpoint: str, error: ProtocolError) -> ProtocolError:
    return type(error)(f"rtmp {endpoint}: {error}")
