"""What the kernel knows of a TCP connection: struct tcp_info of linux/tcp.h, as far as this kernel fills it.

A kernel may know fewer fields than are named here: those are 0.
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass

_BYTES = 232
TCP_CLOSE = 7  # linux/tcp_states.h: reset, timed out or closed at both ends
# Offsets in bytes, and the type that lies there.
_UNACKED = 24
_RTT_US = 68
_BYTES_ACKED = 120
_NOTSENT_BYTES = 144
_BYTES_SENT = 200
_BYTES_RETRANS = 208
_U32, _U64 = struct.Struct("=I"), struct.Struct("=Q")


@dataclass(frozen=True, slots=True)
class TcpInfo:
    """``state`` is the kernel's, TCP_CLOSE for a connection that is no more.

    ``acked_bytes`` counts what the peer's kernel has confirmed, ``unacked_segments`` what is on the way.
    """

    state: int
    rtt_ms: float
    unacked_segments: int
    notsent_bytes: int
    acked_bytes: int
    sent_bytes: int
    retransmitted_bytes: int


def tcp_info(fd: int) -> TcpInfo:
    """Raises OSError."""
    view = socket.socket(fileno=fd)
    try:
        found = view.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES)
    finally:
        view.detach()
    found = found.ljust(_BYTES, b"\0")
    return TcpInfo(
        state=found[0],
        rtt_ms=_U32.unpack_from(found, _RTT_US)[0] / 1000,
        unacked_segments=_U32.unpack_from(found, _UNACKED)[0],
        notsent_bytes=_U32.unpack_from(found, _NOTSENT_BYTES)[0],
        acked_bytes=_U64.unpack_from(found, _BYTES_ACKED)[0],
        sent_bytes=_U64.unpack_from(found, _BYTES_SENT)[0],
        retransmitted_bytes=_U64.unpack_from(found, _BYTES_RETRANS)[0],
    )
