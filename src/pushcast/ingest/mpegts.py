"""MPEG-TS ingest: ports that take one stream each, over UDP (unicast, multicast), RTP or TCP.

A UDP port's stream is there from its first tables until nothing has come for SILENT_S; then the port waits for the next
sender.  A TCP port takes one connection at a time, and its stream ends with it.  What comes is read in C by the thread
that reads the RTMP publishers (tssocket, intake).
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import math
import os
import socket
from collections.abc import Callable, Mapping
from functools import partial

from pushcast.errors import ConfigError, Conflict, EngineError
from pushcast.ingest.reception import Reception
from pushcast.intake import Intake
from pushcast.listen_url import ListenUrl
from pushcast.log import Prefixed, endpoint, logger, printable
from pushcast.stream import Name, Registry
from pushcast.tssocket import TsDatagramSocket, TsSocket, TsStreamSocket
from pushcast.tstap import TsTap

_log = logger("ingest.mpegts")

SILENT_S = 3.0  # of datagrams: the sender has gone
CONNECTION_SILENT_S = 10.0  # of a connection, which says itself when it has gone
LOOK_S = 0.5
ACCEPT_PAUSE_S = 1.0  # when there are no descriptors left
# A burst of a keyframe at 50 Mbit/s; the kernel grants less where net.core.rmem_max is smaller.
RECEIVE_BYTES = 4 << 20


class MpegTsIngest:
    """All ports of the configuration.  ``streams``: each port's URL and the stream that it feeds."""

    def __init__(self, registry: Registry, intake: Intake, streams: list[tuple[ListenUrl, Name]]) -> None:
        self.ports = [
            (_TcpPort if url.scheme == "tcp" else _UdpPort)(registry, intake, url, name) for url, name in streams
        ]

    async def start(self) -> None:
        """Listen everywhere.  :raises ConfigError: a port cannot be had."""
        for port in self.ports:
            try:
                await port.start()
            except OSError as error:
                reason = error.strerror or str(error)
                raise ConfigError(f"mpegts.listen: cannot listen on {port.url}: {reason}") from error
            _log.info("mpegts: %s feeds %s", port.url, printable("/".join(port.name)))

    async def close(self) -> None:
        for port in self.ports:
            await port.close()


class _Port:
    """One listening port and the stream that it feeds."""

    def __init__(self, registry: Registry, intake: Intake, url: ListenUrl, name: Name) -> None:
        self.registry = registry
        self.url = url
        self.name = name
        self._intake = intake
        self._log = Prefixed(_log, printable(f"{url}"))
        self._reception: Reception | None = None
        self.socket: TsSocket | None = None
        self._look: asyncio.TimerHandle | None = None
        self._told = ""

    async def start(self) -> None:
        """Listen.  :raises OSError: the port cannot be had."""
        self._look_after()

    async def close(self) -> None:
        if self._look is not None:
            self._look.cancel()
        self._stop("the server stops")

    def _look_after(self) -> None:
        self._look = asyncio.get_running_loop().call_later(LOOK_S, self._look_after)
        if self._reception is not None:
            reason = self._reception.reason_to_stop(self._patience_s(self._reception))
            if reason:
                self._stop(reason)

    def _patience_s(self, reception: Reception) -> float:
        """How long it may bring nothing."""
        return CONNECTION_SILENT_S

    def drop(self) -> None:
        """End the stream of now; the next sender may come."""
        self._stop("closed from outside")

    def _begin(self, make: Callable[[TsTap, Callable[[Exception | None], None]], TsSocket], sender: str) -> None:
        """:raises Conflict: the stream's name is taken."""
        url = f"{self.url.scheme}://{sender}"
        reception = Reception(
            self.registry, self.name, "MPEGTS", url, self._log, self._stop, self.drop, self.url.program, self._figures
        )
        self._reception = reception
        self.socket = make(reception.tap, reception.on_end)
        self._intake.add(self.socket)

    def _figures(self) -> Mapping[str, float] | None:
        return self.socket.figures() if self.socket is not None else None

    def _stop(self, reason: str) -> None:
        reception, self._reception = self._reception, None
        receiving, self.socket = self.socket, None
        if receiving is not None:
            self._intake.remove(receiving)
            receiving.close()
        if reception is not None:
            reception.finish()
            if reception.tap.bytes_received and reason != self._told:
                self._told = reason
                self._log.info("ended: %s", printable(reason))


class _UdpPort(_Port):
    """A bound socket; there always is one."""

    async def start(self) -> None:
        self._bind()
        await super().start()

    def _bind(self) -> None:
        rtp = self.url.scheme == "rtp"
        with contextlib.closing(_bound_socket(self.url)) as bound:
            self._begin(
                lambda tap, end: TsDatagramSocket(os.dup(bound.fileno()), tap, end, rtp, SILENT_S),
                endpoint(self.url.host, self.url.port),
            )

    def _patience_s(self, reception: Reception) -> float:
        return SILENT_S if reception.tap.bytes_received else math.inf

    def _look_after(self) -> None:
        super()._look_after()
        if self._reception is None:
            try:
                self._bind()
            except (OSError, Conflict) as error:
                self._log.debug("not listening: %s", error)


class _TcpPort(_Port):
    """A listener; further connections are refused while one is there."""

    _server: socket.socket | None = None
    _accepting: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._server = socket.create_server((self.url.host, self.url.port), family=_family(self.url.host), backlog=8)
        self._server.setblocking(False)
        self._accepting = asyncio.create_task(self._accept())
        await super().start()

    async def close(self) -> None:
        if self._accepting is not None:
            self._accepting.cancel()
        if self._server is not None:
            self._server.close()
        await super().close()

    async def _accept(self) -> None:
        loop = asyncio.get_running_loop()
        assert self._server is not None
        while True:
            try:
                connected, address = await loop.sock_accept(self._server)
            except OSError as error:
                self._log.warning("no connection can be taken: %s", error.strerror)
                await asyncio.sleep(ACCEPT_PAUSE_S)
                continue
            sender = endpoint(*address[:2])
            with contextlib.closing(connected):
                try:
                    if self._reception is not None:
                        raise Conflict("another sender is connected")
                    fd = os.dup(connected.fileno())
                    self._begin(partial(TsStreamSocket, fd), sender)
                except EngineError as error:
                    self._log.warning("%s: refused: %s", sender, error)


def _family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ipaddress.ip_address(host).version == 6 else socket.AF_INET


def _bound_socket(url: ListenUrl) -> socket.socket:
    """A UDP socket of this address, in its multicast group when it is one."""
    made = socket.socket(_family(url.host), socket.SOCK_DGRAM)
    try:
        made.setblocking(False)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BYTES)
        if url.multicast:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((url.host, url.port))
        if url.multicast:
            _join(made, url)
    except BaseException:
        made.close()
        raise
    return made


def _join(made: socket.socket, url: ListenUrl) -> None:
    group, interface = ipaddress.ip_address(url.host).packed, ipaddress.ip_address(url.interface or "0.0.0.0").packed
    if made.family == socket.AF_INET6:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group + (0).to_bytes(4, "little"))
    elif url.source:
        request = group + interface + ipaddress.ip_address(url.source).packed
        made.setsockopt(socket.IPPROTO_IP, _IP_ADD_SOURCE_MEMBERSHIP, request)
    else:
        made.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group + interface)


_IP_ADD_SOURCE_MEMBERSHIP = 39  # ip(7); the socket module has no name for it before Python 3.12
