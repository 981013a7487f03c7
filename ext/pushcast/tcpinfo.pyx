"""What the kernel knows of a TCP connection: struct tcp_info of linux/tcp.h, as far as this kernel fills it.

A kernel may know fewer fields than are named here: those are 0.  The C library's header knows fewer than the kernel does, so they are found by
their offsets, which never change.
"""
from libc.errno cimport errno
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memset

import os
from typing import NamedTuple

cdef extern from "<sys/socket.h>" nogil:
    int getsockopt(int fd, int level, int name, void* value, unsigned int* size)

cdef extern from "<netinet/in.h>" nogil:
    enum:
        IPPROTO_TCP

cdef extern from "<netinet/tcp.h>" nogil:
    enum:
        TCP_INFO
        CLOSED "TCP_CLOSE"

cdef enum:
    INFO_BYTES = 232             # up to tcpi_rcv_ooopack, of Linux 4.19

    STATE = 0
    UNACKED = 24
    RTT = 68
    BYTES_ACKED = 120
    NOTSENT_BYTES = 144
    BYTES_SENT = 200
    BYTES_RETRANS = 208

TCP_CLOSE = CLOSED


class TcpInfo(NamedTuple):
    """``state`` is the kernel's, TCP_CLOSE for a connection that is no more: reset, timed out or closed at both ends.

    ``acked_bytes`` counts what the peer's kernel has confirmed, ``unacked_segments`` what is on the way.
    """

    state: int
    rtt_ms: float
    unacked_segments: int
    notsent_bytes: int
    acked_bytes: int
    sent_bytes: int
    retransmitted_bytes: int


cdef uint32_t word(const uint8_t* at) noexcept nogil:
    cdef uint32_t value
    memcpy(&value, at, sizeof(value))
    return value


cdef uint64_t long_word(const uint8_t* at) noexcept nogil:
    cdef uint64_t value
    memcpy(&value, at, sizeof(value))
    return value


cdef int read_tcp_info(int fd, tcp_info_t* info) noexcept nogil:
    cdef uint8_t[INFO_BYTES] said
    cdef unsigned int size = INFO_BYTES
    memset(said, 0, INFO_BYTES)
    if getsockopt(fd, IPPROTO_TCP, TCP_INFO, said, &size):
        return errno
    info.state = said[STATE]
    info.rtt_us = word(said + RTT)
    info.unacked_segments = word(said + UNACKED)
    info.notsent_bytes = word(said + NOTSENT_BYTES)
    info.acked_bytes = long_word(said + BYTES_ACKED)
    info.sent_bytes = long_word(said + BYTES_SENT)
    info.retransmitted_bytes = long_word(said + BYTES_RETRANS)
    return 0


def tcp_info(int fd):
    """Raises OSError."""
    cdef tcp_info_t info
    cdef int code = read_tcp_info(fd, &info)
    if code:
        raise OSError(code, os.strerror(code))
    return TcpInfo(
        info.state, <double>info.rtt_us / 1000, info.unacked_segments, info.notsent_bytes, info.acked_bytes, info.sent_bytes,
        info.retransmitted_bytes,
    )
