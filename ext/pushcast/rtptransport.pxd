"""RtpTransport: transport streams over RTP.  See rtptransport.pyx."""
cimport cython
from libc.stdint cimport uint8_t, uint16_t, uint32_t

from pushcast.transport cimport RUN_DATAGRAMS, UdpTransport

cdef enum:
    RTP_HEADER_BYTES = 12

ctypedef struct rtp_t:
    uint32_t ssrc
    uint32_t epoch               # added to the 90 kHz of the monotonic clock
    uint16_t sequence            # of the next packet
    uint8_t headers[RUN_DATAGRAMS][RTP_HEADER_BYTES]


@cython.final
cdef class RtpTransport(UdpTransport):
    cdef rtp_t rtp
