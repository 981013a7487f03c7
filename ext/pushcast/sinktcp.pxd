"""Sinks of byte streams: what all of them do, and MPEG-TS over TCP."""
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from pushcast.sinks cimport Sink, arrival_t

ctypedef struct conn_t:
    int fd
    uint32_t slot
    uint16_t port            # ours
    int64_t opened_ns
    uint64_t received        # bytes since accept
    arrival_t arrival        # of media
    void* state              # what the sink's own class keeps of it: one malloc, freed with the connection


cdef class StreamSink(Sink):
    cdef int epoll
    cdef list listeners                  # holds the file descriptors open
    cdef dict peers                      # by slot: "host:port"
    cdef conn_t** conns                  # by slot
    cdef uint32_t live
    cdef uint32_t search                 # where to look for a free slot
    cdef uint64_t came
    cdef uint8_t* buffer
    cdef int64_t swept_ns

    # Allocates conn.state and what else a new connection needs.
    cdef int begin(self, conn_t* conn) except -1
    # Takes what was read; -1 closes the connection.
    cdef int take(self, conn_t* conn, const uint8_t* data, size_t size, int64_t now_ns) except? -2 nogil
    # True when the connection has had its time; counts that.
    cdef bint overdue(self, conn_t* conn, int64_t now_ns) noexcept nogil
    cdef uint64_t errors_of(self, conn_t* conn) noexcept nogil
    cdef dict describe(self, conn_t* conn)
    # Drops what begin made besides conn.state, and counts an end that came too early.
    cdef int end(self, conn_t* conn) except -1

    cdef int accept(self, uint32_t index) except -1
    cdef int read(self, conn_t* conn) except -1 nogil
    cdef int drop(self, conn_t* conn) except -1
    cdef int sweep(self) except -1


cdef class TsStreamSink(StreamSink):
    pass
