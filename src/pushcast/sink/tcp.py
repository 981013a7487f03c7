"""Listening TCP sockets of a sink."""

from __future__ import annotations

import socket
from collections.abc import Iterable

from pushcast.descriptors import raise_limit
from pushcast.errors import TransportError

BACKLOG = 1024  # senders that connect in the same moment


def open_listeners(host: str, ports: Iterable[int]) -> list[socket.socket]:
    """Listening sockets, one for each port.  Raises TransportError naming host and port."""
    opened: list[socket.socket] = []
    try:
        for port in ports:
            opened.append(_open(host, port))
    except OSError as error:
        for sock in opened:
            sock.close()
        raise TransportError(f"TCP {host} port {port}: {error.strerror or error}") from error
    return opened


def _open(host: str, port: int) -> socket.socket:
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def allow_connections(wanted: int) -> int:
    """Raise the limit of open files as far as it goes; returns the connections that it allows, at most ``wanted``."""
    spare = 64  # standard streams, listeners, libraries
    return max(1, min(wanted, raise_limit() - spare))
