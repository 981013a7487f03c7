"""Sink of RTMP publishers."""
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from pushcast.sinktcp cimport StreamSink, conn_t
from pushcast.verifyrtmp cimport rtmp_check_t

cdef enum:
    C1 = 1536                # bytes; C2, S1 and S2 have as many

# The state of a connection.
ctypedef struct publisher_t:
    rtmp_check_t check
    uint64_t acknowledged    # value of conn.received at our last acknowledgement
    uint32_t shaken          # bytes of the handshake received
    uint8_t hello[1 + C1]    # C0 and C1


cdef class RtmpSink(StreamSink):
    cdef object new_dialogue             # makes the object that answers a publisher's commands
    cdef dict dialogues                  # by slot
    cdef dict streams                    # by slot: the name under which it publishes
    cdef set ended                       # slots whose publisher said that it stops

    cdef int shake(self, conn_t* conn, const uint8_t* data, size_t size) noexcept nogil
    cdef int chunks(self, conn_t* conn, const uint8_t* data, size_t size) except? -2 nogil
    cdef int command(self, conn_t* conn) except? -2
