"""SRT listeners of a sink."""

from __future__ import annotations

import socket
from collections.abc import Iterable

from pushcast.errors import ConfigError, TransportError
from pushcast.srt import SrtCaller

# As in SRT itself (libsrt docs/API/API-socket-options.md, SRTO_PASSPHRASE).
MIN_PASSPHRASE, MAX_PASSPHRASE = 10, 79
# All connections of a listener share its UDP socket: room for a burst of hundreds of senders.
UDP_BUFFER_BYTES = 16 * 1024 * 1024


def open_sockets(
    host: str, ports: Iterable[int], passphrase: str, latency_ms: int
) -> tuple[list[SrtCaller], list[int]]:
    """SRT sockets that are bound but do not listen yet, and their ports.

    Raises TransportError naming host and port, and ConfigError for a passphrase that SRT does not allow.
    """
    if passphrase and not MIN_PASSPHRASE <= len(passphrase.encode()) <= MAX_PASSPHRASE:
        raise ConfigError(
            f"--passphrase: found {len(passphrase.encode())} bytes, allowed: {MIN_PASSPHRASE} to {MAX_PASSPHRASE}"
        )
    options: list[tuple[str, int | str | bytes]] = [("rcvlatency", latency_ms), ("udp_rcvbuf", UDP_BUFFER_BYTES)]
    if passphrase:
        options.append(("passphrase", passphrase))
    bound: list[tuple[SrtCaller, int]] = []
    try:
        for port in ports:
            bound.append(_open(host, port, options))
    except OSError as error:
        for srt_socket, _ in bound:
            srt_socket.close()
        raise TransportError(f"SRT {host} port {port}: {error}") from error
    return [srt_socket for srt_socket, _ in bound], [port for _, port in bound]


def _open(host: str, port: int, options: Iterable[tuple[str, int | str | bytes]]) -> tuple[SrtCaller, int]:
    family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM, flags=socket.AI_PASSIVE)[0]
    srt_socket = SrtCaller(options)
    try:
        return srt_socket, srt_socket.bind(family, str(address[0]), port)
    except OSError:
        srt_socket.close()
        raise
