"""RTMP egress: the publishing client on the event loop until the server says Publish.Start, then the reading half only.

RTMPS is the same under TLS from the first byte on.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

from pushcast.egress.channel import Channel, TlsChannel
from pushcast.egress.link import NO_OPTIONS, Protocol, Target
from pushcast.egress.readiness import readiness
from pushcast.egress.resolve import Address, resolve
from pushcast.egress.rtmp_target import RtmpTarget, moved, parse_target, redirected
from pushcast.egress.streamlink import StreamLink, set_stream_options
from pushcast.egress.tls import TlsSessions, TlsSettings, shake_hands
from pushcast.errors import (
    ConnectionLost,
    ConnectRefused,
    ConnectTimeout,
    EngineError,
    ProtocolError,
    Rejected,
    TransportError,
)
from pushcast.log import logger
from pushcast.media import Container, Enhanced
from pushcast.rtmp.authentication import Authentication, AuthenticationFailed
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
    ReconnectRequest,
    Started,
    StreamCreated,
    Unpublish,
)

# For each address and each answer that we wait for: long enough for a lost packet or two on a slow path, and short
# enough that a push to a silent server says which step it hung in before its whole connect is given up.
STEP_TIMEOUT_S = 5.0
# How long a wanted end waits for the server to close first.  Closing at once with unread answers in the socket would
# reset the connection, and a reset can overtake the deleteStream.
FAREWELL_S = 0.5

_log = logger("egress")
_Wanted = TypeVar("_Wanted", bound=Event)


class RtmpProtocol(Protocol):
    """``rtmp://host[:port]/app`` or ``rtmps://``, and a stream key."""

    name: ClassVar[str] = "rtmp"
    container: ClassVar[Container] = Container.RTMP
    members: ClassVar[tuple[str, ...]] = ("tls", "enhanced")

    def __init__(self) -> None:
        self._sessions = TlsSessions()

    def parse(self, url: str, stream_key: str, options: Mapping[str, Any] = NO_OPTIONS) -> RtmpTarget:
        """See Protocol.parse."""
        return parse_target(url, stream_key, options)

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
                    target = redirected(target, error.redirect, redirects)
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


def _another_round(authentication: Authentication, target: RtmpTarget, error: Rejected) -> bool:
    try:
        return authentication.go_on(target.app, error.words)
    except AuthenticationFailed as failed:
        raise AuthenticationFailed(f"{target.peer}: {failed}") from None


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
                elif isinstance(event, ReconnectRequest):
                    self._on_reconnect_request(event.tc_url)
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

    def _on_reconnect_request(self, tc_url: str) -> None:
        """Tell where to; a place that we do not go to changes nothing."""
        try:
            place = moved(self._target, tc_url)
        except Rejected as error:
            _log.warning("%s; stays", error)
            return
        if self.on_moved is not None:
            self.on_moved(place)

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
    await dialogue.ask("connect", Connect(app, tc_url, target.enhanced is not Enhanced.NEVER), Connected)
    created = await dialogue.ask("createStream", Prepare(target.key), StreamCreated)
    await dialogue.ask("publish", Publish(target.key, created.message_stream_id), Started)
    return dialogue.connection, created.message_stream_id


def _with_query(text: str, query: str) -> str:
    return f"{text}{'&' if '?' in text else '?'}{query}" if query else text


def _at(peer: str, error: ProtocolError) -> ProtocolError:
    words = f"{peer}: {error}"
    return Rejected(words, error.words, error.redirect) if isinstance(error, Rejected) else type(error)(words)
