"""Sink of SRT callers."""
from libc.stdint cimport int32_t, int64_t, uint16_t, uint32_t, uint64_t

from pushcast.libsrt cimport SRTSOCKET, SRT_TRACEBSTATS
from pushcast.sinks cimport Sink, arrival_t
from pushcast.tscheck cimport ts_check_t

ctypedef struct srt_conn_t:
    SRTSOCKET socket
    uint16_t port            # ours
    arrival_t arrival
    int64_t sampled_ns       # when stats was taken
    int32_t due              # sequence number of the next packet, -1 before the first
    uint64_t dropped         # packets that were never delivered, by their sequence numbers
    SRT_TRACEBSTATS stats    # libsrt forgets them when the connection breaks, so they are asked for now and then
    ts_check_t check


cdef class SrtSink(Sink):
    cdef SRTSOCKET* listeners
    cdef uint16_t* ports
    cdef uint32_t listening              # number of listeners
    cdef srt_conn_t** conns              # the first `live` of them are in use
    cdef list peers                      # "host:port", as conns
    cdef list streams                    # stream ids, as conns
    cdef uint32_t live
    cdef char buffer[1500]

    cdef int accept(self, uint32_t index) except -1 nogil
    cdef int admit(self, SRTSOCKET socket, uint32_t index, bytes address, int family, int port) except -1
    cdef bint read(self, srt_conn_t* conn, int64_t now_ns) noexcept nogil
    cdef int drop(self, uint32_t i) except -1
    cdef dict describe(self, uint32_t i)
