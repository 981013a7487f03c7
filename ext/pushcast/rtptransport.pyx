"""RtpTransport: whole TS packets behind an RTP header, RFC 3550 5.1, payload type 33 of RFC 3551, RFC 2250 section 2.

The media are not copied: each datagram is a header of ours and pieces of the ring, and a run of them one message that the kernel segments, or one system
call.  The timestamp is the time of sending at 90 kHz, as RFC 2250 has it; it is one for a run, which leaves at once.  Sequence numbers count what the
socket took.
"""
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

import os

from pushcast.atomics cimport load_relaxed_u32
from pushcast.monotonic cimport monotonic_ns
from pushcast.transport cimport (
    CLASS_UDP, DATAGRAM_BYTES, MAX_PIECES, RUN_DATAGRAMS, Transport, cut_datagram, iovec, mmsghdr, send_messages, send_segmented,
    set_segment, transport_t,
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
    cdef uint32_t part = 0
    cdef unsigned int datagrams = 0
    cdef size_t left = min(size, <size_t>self.datagram * RUN_DATAGRAMS)
    cdef size_t offered = left
    cdef size_t at = 0
    cdef size_t payload
    cdef Py_ssize_t taken
    memset(messages, 0, sizeof(messages))
    while left:
        payload = min(left, <size_t>self.datagram)
        put_header(rtp.headers[datagrams], <uint16_t>(rtp.sequence + datagrams), stamp, rtp.ssrc)
        parts[part].iov_base = rtp.headers[datagrams]
        parts[part].iov_len = RTP_HEADER_BYTES
        messages[datagrams].msg_hdr.msg_iov = &parts[part]
        messages[datagrams].msg_hdr.msg_iovlen = 1 + cut_datagram(&pieces, &at, payload, &parts[part + 1])
        part += <uint32_t>messages[datagrams].msg_hdr.msg_iovlen
        left -= payload
        datagrams += 1
    taken = send_segmented(self, parts, part, offered) if self.gso else 0
    if not self.gso:
        taken = send_messages(self, messages, datagrams, offered)
    if taken > 0:
        rtp.sequence += <uint16_t>((<size_t>taken + self.datagram - 1) // self.datagram)
    return taken


cdef void put_header(uint8_t* out, uint16_t sequence, uint32_t stamp, uint32_t ssrc) noexcept nogil:
    """No padding, extension, contributing sources or marker."""
    put_u32(put_u32(put_u16(put_u8(put_u8(out, VERSION_2), MP2T), sequence), stamp), ssrc)


cdef class RtpTransport(Transport):
    """RtpTransport(fd, gso=True, datagram_bytes=1316)

    ``fd``: a connected, non-blocking UDP socket, owned from here on; ``datagram_bytes`` without the header.  SSRC, first sequence number and timestamp are random.
    """

    def __cinit__(self, int fd, bint gso=True, uint32_t datagram_bytes=DATAGRAM_BYTES):
        if datagram_bytes == 0 or datagram_bytes % 188 or datagram_bytes > DATAGRAM_BYTES:
            raise ValueError(f"datagram_bytes: found {datagram_bytes}, expected a multiple of 188 up to {DATAGRAM_BYTES}")
        cdef bytes chance = os.urandom(10)
        self.rtp.ssrc = int.from_bytes(chance[:4], "big")
        self.rtp.epoch = int.from_bytes(chance[4:8], "big")
        self.rtp.sequence = int.from_bytes(chance[8:], "big")
        self.c.send = rtp_send
        self.c.own = &self.rtp
        self.c.fd = fd
        self.c.datagram = datagram_bytes
        self.c.class_ = CLASS_UDP
        if gso:
            set_segment(&self.c, <int>datagram_bytes + RTP_HEADER_BYTES)

    @property
    def gso(self):
        """True while the kernel segments."""
        return bool(load_relaxed_u32(&self.c.gso))
