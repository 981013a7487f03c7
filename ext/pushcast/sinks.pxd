"""What every sink is, and the sink of datagrams."""
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from pushcast.tscheck cimport ts_check_t

cdef extern from *:
    """
    #define PUSHCAST_SILENT_NS ((int64_t)2000 * 1000000)
    """
    const int64_t SILENT_NS "PUSHCAST_SILENT_NS"   # a sender without arrivals for so long is not active

ctypedef struct arrival_t:
    uint64_t bytes
    uint64_t count           # reads or datagrams
    int64_t first_ns         # CLOCK_MONOTONIC; 0 before the first
    int64_t last_ns
    int64_t longest_gap_ns   # between two arrivals


cdef inline void arrived(arrival_t* a, size_t size, int64_t now_ns) noexcept nogil:
    cdef int64_t gap = now_ns - a.last_ns
    a.bytes += size
    a.count += 1
    if a.first_ns == 0:
        a.first_ns = now_ns
    elif gap > a.longest_gap_ns:
        a.longest_gap_ns = gap
    a.last_ns = now_ns


cdef class Sink:
    cdef readonly uint32_t max_senders
    cdef readonly uint64_t refused       # connections, or datagrams of new senders, turned away because of max_senders
    cdef readonly uint64_t unkept        # senders that left and whose row was not kept any more
    cdef readonly bint closed
    cdef int64_t started_ns
    cdef list left_rows                  # of senders that left
    cdef uint64_t left_bytes
    cdef uint64_t left_errors

    cdef dict row(self, const arrival_t* a, str peer, int port, str stream, dict errors, dict figures)
    cdef int keep(self, dict row) except -1


cdef extern from "<sys/socket.h>" nogil:
    struct sockaddr_storage:
        uint16_t ss_family

# Tells one sender from another.
ctypedef struct source_t:
    uint16_t family
    uint16_t port            # network byte order
    uint32_t socket          # index of ours
    uint8_t address[16]

ctypedef struct udp_sender_t:
    source_t source
    arrival_t arrival
    ts_check_t check


cdef class UdpSink(Sink):
    cdef int epoll
    cdef list sockets                    # holds the file descriptors open
    cdef int* fds
    cdef uint16_t* ports
    cdef uint64_t* kernel_drops          # for each socket
    cdef udp_sender_t** senders
    cdef uint32_t used                   # senders
    cdef uint32_t* table                 # open addressing: index of the sender + 1, 0 when free
    cdef uint32_t table_mask
    cdef void* batch                     # udp_batch_t of sinks.pyx: what recvmmsg fills

    cdef udp_sender_t* find(self, const source_t* source) noexcept nogil
    cdef int receive(self, uint32_t index) noexcept nogil
