"""UDP sockets of a sink."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable

from pushcast.errors import TransportError

# A sink that pauses for 100 ms while 500 senders push 2.5 Mbit/s must not lose a datagram: 16 MiB, and as much again
# because the kernel counts its own overhead.
RECEIVE_BUFFER_BYTES = 32 * 1024 * 1024
_SO_RCVBUFFORCE = 33  # not limited by net.core.rmem_max; needs CAP_NET_ADMIN


def open_sockets(host: str, ports: Iterable[int]) -> list[socket.socket]:
    """Bound sockets, one for each port; a multicast group is joined.  Raises TransportError naming host and port."""
    opened: list[socket.socket] = []
    try:
        for port in ports:
            opened.append(_open(host, port))
    except OSError as error:
        for sock in opened:
            sock.close()
        raise TransportError(f"UDP {host} port {port}: {error.strerror or error}") from error
    return opened


def _open(host: str, port: int) -> socket.socket:
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM, flags=socket.AI_PASSIVE)[0]
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        _enlarge(sock)
        group = ipaddress.ip_address(str(address[0]).partition("%")[0])
        if group.is_multicast:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            _join(sock, group)
        sock.bind(address)
    except OSError:
        sock.close()
        raise
    return sock


def _enlarge(sock: socket.socket) -> None:
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, RECEIVE_BUFFER_BYTES)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)


def _join(sock: socket.socket, group: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    if group.version == 4:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group.packed + bytes(4))
    else:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group.packed + bytes(4))
