"""MPEG-TS egress over UDP (unicast and multicast), as it is or behind RTP headers, and over TCP.

UDP has no peer to lose: a receiver that is not there is counted by the transport and never ends a push.  Over TCP
the peer has nothing to say; what it sends is read and thrown away, so that its close is noticed.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import Any, ClassVar

from pushcast.egress.channel import Channel
from pushcast.egress.link import NO_OPTIONS, Link, Protocol, Target
from pushcast.egress.resolve import Address, resolve
from pushcast.egress.streamlink import StreamLink, set_stream_options
from pushcast.egress.ts_members import read_ts_options
from pushcast.egress.url import Options, Url, ip_literal, refused, require_port, split_url
from pushcast.errors import (
    ConnectRefused,
    ConnectTimeout,
    EngineError,
    InvalidRequest,
    ResolveError,
    TransportError,
)
from pushcast.media import Container
from pushcast.rtptransport import RtpTransport
from pushcast.transport import UdpTransport

TS_PACKET_BYTES = 188
DATAGRAM_BYTES = 7 * TS_PACKET_BYTES

# The operating system's 1 would keep multicast on the local network; ffmpeg's 16 is what people know.
_MULTICAST_TTL = 16
# A keyframe of a 20 Mbit/s stream is several hundred kilobytes and leaves in one go; the kernel cuts this to
# net.core.wmem_max.
_UDP_SEND_BUFFER_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class UdpTarget(Target):
    """``udp://host:port``, and ``rtp://``; None and "" leave the system's choice."""

    rtp: bool = False
    datagram_bytes: int = DATAGRAM_BYTES
    ttl: int | None = None
    local_address: str = ""
    interface: str = ""
    local_port: int = 0
    reuse: bool = False
    broadcast: bool = False
    dscp: int | None = None
    send_buffer_bytes: int = _UDP_SEND_BUFFER_BYTES


@dataclass(frozen=True, slots=True)
class TcpTarget(Target):
    """``tcp://host:port``; ``timeout_s`` bounds the connect with its name resolution."""

    local_address: str = ""
    local_port: int = 0
    dscp: int | None = None
    timeout_s: float | None = None
    send_buffer_bytes: int | None = None


class UdpLink(Link):
    __slots__ = ()

    def watch(self) -> None:
        """Nothing ends a UDP push but its owner."""


class TcpLink(StreamLink):
    __slots__ = ("_target",)

    def __init__(self, channel: Channel, target: TcpTarget) -> None:
        super().__init__(channel)
        self._target = target

    @property
    def peer(self) -> str:
        return self._target.endpoint

    def take(self, data: memoryview | bytes) -> None:
        """The peer has nothing to say: it is read so that its close is noticed."""


class MpegtsProtocol(Protocol):
    name: ClassVar[str] = "mpegts"
    container: ClassVar[Container] = Container.MPEGTS
    members: ClassVar[tuple[str, ...]] = ("mpegtsOptions",)

    def parse(self, url: str, stream_key: str, options: Mapping[str, Any] = NO_OPTIONS) -> UdpTarget | TcpTarget:
        """``udp://host:port[?options]``, ``rtp://`` or ``tcp://``; the stream key has no use here."""
        parts = split_url(url)
        if parts.scheme not in ("udp", "rtp", "tcp"):
            raise InvalidRequest("Unsupported protocol")
        if parts.scheme == "tcp" and url.endswith("listen"):
            raise InvalidRequest("Unsupported tcp listen")
        query = Options(parts.query)
        target = _parse_tcp(parts, query) if parts.scheme == "tcp" else _parse_udp(parts, query)
        query.log_unknown(parts.scheme)
        ts_options, spreads_frames = read_ts_options(options.get("mpegtsOptions"))
        return replace(target, ts_options=ts_options, spreads_frames=spreads_frames)

    async def connect(self, target: Target, bytes_per_s: int) -> Link:
        if isinstance(target, UdpTarget):
            return await _connect_udp(target)
        if isinstance(target, TcpTarget):
            return await _connect_tcp(target, bytes_per_s)
        raise TypeError(f"mpegts: found a {type(target).__name__}, expected a UdpTarget or a TcpTarget")


def _parse_udp(parts: Url, options: Options) -> UdpTarget:
    datagram_bytes = options.integer("pkt_size", low=TS_PACKET_BYTES, high=DATAGRAM_BYTES)
    if datagram_bytes is not None and datagram_bytes % TS_PACKET_BYTES:
        raise refused("pkt_size", str(datagram_bytes), f"multiples of {TS_PACKET_BYTES} up to {DATAGRAM_BYTES}")
    send_buffer_bytes = options.integer("buffer_size", "send_buffer_size", low=4_096, high=1 << 30)
    return UdpTarget(
        host=parts.host,
        port=require_port(parts),
        rtp=parts.scheme == "rtp",
        datagram_bytes=datagram_bytes or DATAGRAM_BYTES,
        ttl=options.integer("ttl", low=0, high=255),
        local_address=ip_literal("localaddr", options.text("localaddr")),
        interface=_interface(options.text("interface")),
        local_port=options.integer("localport", "local_port", low=0, high=65_535) or 0,
        reuse=bool(options.boolean("reuse", "reuse_socket")),
        broadcast=bool(options.boolean("broadcast")),
        dscp=options.integer("dscp", low=0, high=63),
        send_buffer_bytes=send_buffer_bytes or _UDP_SEND_BUFFER_BYTES,
    )


def _parse_tcp(parts: Url, options: Options) -> TcpTarget:
    if options.boolean("listen"):
        raise InvalidRequest("Unsupported tcp listen")
    timeout_us = options.duration_us("timeout", unit="us", low_us=1_000, high_us=600_000_000)
    return TcpTarget(
        host=parts.host,
        port=require_port(parts),
        local_address=ip_literal("localaddr", options.text("localaddr")),
        local_port=options.integer("localport", "local_port", low=0, high=65_535) or 0,
        dscp=options.integer("dscp", low=0, high=63),
        timeout_s=None if timeout_us is None else timeout_us / 1_000_000,
        send_buffer_bytes=options.integer("send_buffer_size", low=4_096, high=1 << 30),
    )


def _interface(name: str | None) -> str:
    if name is None or (0 < len(name.encode()) < 16 and "/" not in name and "\0" not in name):
        return name or ""
    raise refused("interface", name, "the name of a network interface")


async def _connect_udp(target: UdpTarget) -> UdpLink:
    last: EngineError = ResolveError(f"host '{target.host}' has no address")
    for family, sockaddr in await resolve(target.host, target.port, type=socket.SOCK_DGRAM):
        udp = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        try:
            _set_udp_options(udp, target, sockaddr[0])
            udp.connect(sockaddr)
        except OSError as error:
            udp.close()
            last = _connect_error(error, target)
            continue
        transport = RtpTransport if target.rtp else UdpTransport
        return UdpLink(transport(udp.detach(), datagram_bytes=target.datagram_bytes))
    raise last


def _set_udp_options(udp: socket.socket, target: UdpTarget, address: str) -> None:
    udp.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, target.send_buffer_bytes)
    if target.broadcast:
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
    if target.dscp is not None:
        _set_dscp(udp, target.dscp)
    multicast = ip_address(address.partition("%")[0]).is_multicast
    if multicast:
        _set_multicast(udp, target)
    elif target.ttl is not None:
        _set_hops(udp, target.ttl, socket.IP_TTL, socket.IPV6_UNICAST_HOPS)
    if target.reuse:
        udp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if target.local_address or target.local_port:
        udp.bind((target.local_address, target.local_port))


def _set_multicast(udp: socket.socket, target: UdpTarget) -> None:
    """Time to live and the interface that the group is sent out of, named or by its local address."""
    ttl = _MULTICAST_TTL if target.ttl is None else target.ttl
    _set_hops(udp, ttl, socket.IP_MULTICAST_TTL, socket.IPV6_MULTICAST_HOPS)
    index = socket.if_nametoindex(target.interface) if target.interface else 0
    if udp.family == socket.AF_INET6:
        if index:
            udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
    elif index or target.local_address:
        local = socket.inet_aton(target.local_address or "0.0.0.0")
        # struct ip_mreqn: group (no matter here), local address, interface index.
        udp.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, struct.pack("=4s4si", b"\0\0\0\0", local, index))


def _set_hops(udp: socket.socket, hops: int, option_v4: int, option_v6: int) -> None:
    if udp.family == socket.AF_INET6:
        udp.setsockopt(socket.IPPROTO_IPV6, option_v6, hops)
    else:
        udp.setsockopt(socket.IPPROTO_IP, option_v4, hops)


def _set_dscp(sock: socket.socket, dscp: int) -> None:
    """The DSCP is the upper six bits of the traffic class."""
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, dscp << 2)
    else:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, dscp << 2)


async def _connect_tcp(target: TcpTarget, bytes_per_s: int) -> TcpLink:
    try:
        async with asyncio.timeout(target.timeout_s):
            last: EngineError = ResolveError(f"host '{target.host}' has no address")
            for address in await resolve(target.host, target.port, type=socket.SOCK_STREAM):
                try:
                    return await _connect_tcp_address(target, address, bytes_per_s)
                except OSError as error:
                    last = _connect_error(error, target)
            raise last
    except TimeoutError as error:
        raise ConnectTimeout(f"{target.endpoint} did not answer in {target.timeout_s:g} s") from error


async def _connect_tcp_address(target: TcpTarget, address: Address, bytes_per_s: int) -> TcpLink:
    family, sockaddr = address
    tcp = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        _set_tcp_options(tcp, target, bytes_per_s)
        await asyncio.get_running_loop().sock_connect(tcp, sockaddr)
    except BaseException:
        tcp.close()
        raise
    return TcpLink(Channel(tcp), target)


def _set_tcp_options(tcp: socket.socket, target: TcpTarget, bytes_per_s: int) -> None:
    set_stream_options(tcp, bytes_per_s)
    if target.send_buffer_bytes is not None:
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, target.send_buffer_bytes)
    if target.dscp is not None:
        _set_dscp(tcp, target.dscp)
    if target.local_address or target.local_port:
        tcp.bind((target.local_address, target.local_port))


def _connect_error(error: OSError, target: Target) -> EngineError:
    if isinstance(error, EngineError):
        return error
    reason = error.strerror or str(error)
    if isinstance(error, ConnectionRefusedError):
        return ConnectRefused(f"{target.endpoint} refused the connection")
    if isinstance(error, TimeoutError) or error.errno == errno.ETIMEDOUT:
        return ConnectTimeout(f"{target.endpoint} did not answer: {reason}")
    return TransportError(f"cannot connect to {target.endpoint}: {reason}")
