"""What the kernel knows of a TCP connection: struct tcp_info of linux/tcp.h, as far as this kernel fills it.

A kernel may know fewer fields than are named here: those are 0.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from pushcast.transport import tcp_info_bytes

TCP_CLOSE = 7  # linux/tcp_states.h: reset, timed out or closed at both ends
# tcpi_state; at 24 unacked, 68 rtt (us), 120 bytes_acked, 144 notsent_bytes, 200 bytes_sent, 208 bytes_retrans.
_FIELDS = struct.Struct("=B23xI40xI48xQ16xI52xQQ")


class TcpInfo(NamedTuple):
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
    state, unacked, rtt_us, acked, notsent, sent, resent = _FIELDS.unpack_from(tcp_info_bytes(fd))
    return TcpInfo(state, rtt_us / 1000, unacked, notsent, acked, sent, resent)
