"""What the kernel knows of a TCP connection."""
from libc.stdint cimport uint32_t, uint64_t

ctypedef struct tcp_info_t:
    uint32_t state
    uint32_t rtt_us
    uint32_t unacked_segments
    uint32_t notsent_bytes
    uint64_t acked_bytes
    uint64_t sent_bytes
    uint64_t retransmitted_bytes

# 0, or the errno of the socket.
cdef int read_tcp_info(int fd, tcp_info_t* info) noexcept nogil
