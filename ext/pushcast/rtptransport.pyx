"""RtpTransport: whole TS packets behind an RTP header, RFC 3550 5.1, payload type 33 of RFC 3551, RFC 2250 section 2.

The media are not copied: each datagram is a header of ours and pieces of the ring, and a run of them one message that the kernel segments, or one system
call.  The timestamp is the time of sending at 90 kHz, as RFC 2250 has it; it is one for a run, which leaves at once.  Sequence numbers count what the
socket took.
"""
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

import os

from pushcast.monotonic cimport monotonic_ns
from pushcast.transport cimport (
    DATAGRAM_BYTES, MAX_PIECES, RUN_DATAGRAMS, UdpTransport, iovec, lay_datagrams, mmsghdr, send_messages, send_segmented, set_segment,
    transport_t,
)
from pushcast.wire cimport put_u8, put_u16, put_u32

cdef enum:
    VERSION_2 = 0x80
    MP2T = 33


cdef Py_ssize_t rtp_send(transport_t* self, iovec* pieces, uint32_t count, size_t size) noexcept nogil:
    cdef rtp_t* rtp = <rtp_t*>self.own
    cdef mmsghdr messages[RUN_DATAGRAMS]
    cdef iovec parts[2 * RUN_DATAGRAMS + MAX_PIECES]
    cdef uint32_t stamp = rtp.epoch + <uint32_t>(<uint64_t>monotonic_ns() * 9 // 100000)
    cdef size_t offered = min(size, <size_t>self.datagram * RUN_DATAGRAMS)
    cdef unsigned int datagrams
    cdef uint32_t part_count = lay_datagrams(self, pieces, offered, &rtp.headers[0][0], RTP_HEADER_BYTES, messages, parts, &datagrams)
    cdef unsigned int index
    cdef Py_ssize_t taken
    for index in range(datagrams):
        put_header(rtp.headers[index], <uint16_t>(rtp.sequence + index), stamp, rtp.ssrc)
    taken = send_segmented(self, parts, part_count, offered) if self.gso else 0
    if not self.gso:
        taken = send_messages(self, messages, datagrams, offered)
    if taken > 0:
        rtp.sequence += <uint16_t>((<size_t>taken + self.datagram - 1) // self.datagram)
    return taken


cdef void put_header(uint8_t* out, uint16_t sequence, uint32_t stamp, uint32_t ssrc) noexcept nogil:
    """No padding, extension, contributing sources or marker."""
    put_u32(put_u32(put_u16(put_u8(put_u8(out, VERSION_2), MP2T), sequence), stamp), ssrc)


cdef class RtpTransport(UdpTransport):
    """RtpTransport(fd, gso=True, datagram_bytes=1316)

    Like UdpTransport; ``datagram_bytes`` without the header.  SSRC, first sequence number and timestamp are random.
    """

    def __cinit__(self, int fd, bint gso=True, uint32_t datagram_bytes=DATAGRAM_BYTES):
        cdef bytes chance = os.urandom(10)
        self.rtp.ssrc = int.from_bytes(chance[:4], "big")
        self.rtp.epoch = int.from_bytes(chance[4:8], "big")
        self.rtp.sequence = int.from_bytes(chance[8:], "big")
        self.c.send = rtp_send
        self.c.own = &self.rtp
        if gso:
            set_segment(&self.c, <int>datagram_bytes + RTP_HEADER_BYTES)
