"""A connected stream socket while a peer is spoken to on the event loop: plain, or under TLS.

Then ``transport`` hands the writing half to a sender thread, and ``read`` goes on as the reading half.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from typing import Any

from pushcast.egress.readiness import readiness
from pushcast.egress.tls import TlsSettings, described
from pushcast.tls import TlsConnection
from pushcast.tlstransport import TlsTransport
from pushcast.transport import TcpTransport, Transport


class Channel:
    """Plain bytes.  Owns the socket, which is non-blocking, until ``transport`` takes it."""

    __slots__ = ("_sock", "fd")

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self.fd = sock.fileno()

    async def send_all(self, data: bytes) -> None:
        """Raises OSError."""
        await asyncio.get_running_loop().sock_sendall(self._sock, data)

    def read(self) -> memoryview | bytes:
        """What has come, empty at the end; good until the next read of anybody.

        Raises OSError, BlockingIOError when nothing has come.
        """
        return readiness().read(self.fd)

    async def receive(self) -> memoryview | bytes:
        """The same, but waits until something has come."""
        while True:
            try:
                return self.read()
            except BlockingIOError:
                await readiness().readable(self.fd)

    def transport(self) -> Transport:
        """The writing half, which owns the socket from here on."""
        return TcpTransport(self._sock.detach())

    async def end_writing(self) -> None:
        """Say that no more will come, after the transport was released.  Raises OSError when the peer was faster."""
        view = socket.socket(fileno=self.fd)
        try:
            view.shutdown(socket.SHUT_WR)
        finally:
            view.detach()

    def described(self) -> dict[str, Any]:
        """What the API shows of it."""
        return {}


class TlsChannel(Channel):
    """The same under TLS, after its handshake."""

    __slots__ = ("_connection", "_keep", "_settings")

    def __init__(
        self, sock: socket.socket, connection: TlsConnection, settings: TlsSettings, keep: Callable[[], None]
    ) -> None:
        super().__init__(sock)
        self._connection = connection
        self._settings = settings
        self._keep = keep

    async def send_all(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            taken = self._connection.send(view)
            view = view[taken:]
            if view:
                await _writable(self.fd)
        await self._flush()

    async def _flush(self) -> None:
        while not self._connection.flush():
            await _writable(self.fd)

    def read(self) -> memoryview | bytes:
        return self._connection.receive()

    def transport(self) -> Transport:
        self._keep()  # the server has answered by now, and in TLS 1.3 its tickets came before that
        return TlsTransport(self._connection, self._sock.detach())

    async def end_writing(self) -> None:
        self._connection.close_notify()
        await self._flush()
        await super().end_writing()

    def described(self) -> dict[str, Any]:
        return {"tls": described(self._connection, self._settings)}


async def _writable(fd: int) -> None:
    loop = asyncio.get_running_loop()
    ready: asyncio.Future[None] = loop.create_future()

    def on_writable() -> None:
        with contextlib.suppress(asyncio.InvalidStateError):
            ready.set_result(None)

    loop.add_writer(fd, on_writable)
    try:
        await ready
    finally:
        loop.remove_writer(fd)
