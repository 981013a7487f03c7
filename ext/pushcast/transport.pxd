"""How bytes leave.  The narrow boundary between the sender and a socket: send, close, and nothing else."""
cimport cython
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

cdef enum:
    CLASS_UDP = 0            # which of the sender's intervals drives it
    CLASS_SRT = 1
    CLASS_TCP = 2

cdef extern from "<sys/uio.h>" nogil:
    struct iovec:
        void* iov_base
        size_t iov_len

cdef extern from "<sys/socket.h>" nogil:
    """
    #ifndef _GNU_SOURCE
    #define _GNU_SOURCE
    #endif
    """
    struct msghdr:
        void* msg_name
        unsigned int msg_namelen
        iovec* msg_iov
        size_t msg_iovlen
    struct mmsghdr:
        msghdr msg_hdr
        unsigned int msg_len

cdef enum:
    MAX_PIECES = 8
    DATAGRAM_BYTES = 1316        # 7 TS packets
    RUN_DATAGRAMS = 49           # 49 * 1328 (RTP) = 65072: one more exceeds what a UDP send may hold

# Takes a run of whole datagrams (datagram transports) or any bytes (byte streams), which lies in 1 to MAX_PIECES pieces, none empty, `size` bytes together; where
# one piece ends a datagram may go on.  The array is the transport's to change.  Returns the bytes taken, 0 when the peer takes nothing now (EAGAIN), or a negative
# errno when the connection is lost.
ctypedef Py_ssize_t (*send_t)(transport_t* self, iovec* pieces, uint32_t count, size_t size) noexcept nogil

# Fills in what a transport with a queue of its own has not got rid of; False when it cannot say now.
ctypedef bint (*look_t)(transport_t* self, backlog_t* backlog) noexcept nogil

# Fills in what the peer has confirmed; False when that is not known, or no longer.  From any thread, while the transport is not closed.
ctypedef bint (*see_t)(const transport_t* self, seen_t* seen) noexcept nogil

ctypedef struct seen_t:      # all in one unit, bytes or packets
    uint64_t confirmed
    uint64_t sent
    uint64_t resent          # again, for it was lost
    uint64_t dropped         # given up
    bint waits               # it owes a confirmation of more

ctypedef struct backlog_t:
    uint64_t dropped_packets # given up since connect, because they had become too late
    uint64_t buffer_ms       # media time that waits for acknowledgement
    uint64_t allowed_ms      # what waits longer comes too late for the peer

ctypedef struct transport_t:
    send_t send
    look_t look              # NULL: the queue is the kernel's
    uint32_t datagram        # largest datagram in bytes (a multiple of 188), 0 for a byte stream
    uint32_t class_          # CLASS_*
    int fd                   # a system socket, or an SRTSOCKET
    void* own                # what a subclass's send needs beside it
    # written by the sender thread, read by anybody, relaxed:
    uint32_t gso             # UDP: 1 while the kernel segments
    uint64_t refused         # UDP: ICMP refusals seen; not fatal
    uint64_t short_sends     # sends that took less than was offered
    see_t see                # NULL: no peer confirms anything; last, for a turn has no use for it

# The kernel takes nothing now; ENOBUFS and ENOMEM are a full device queue, which drains like a full socket.
cdef bint would_block(int code) noexcept nogil

# Moves over `size` bytes of pieces: *at is the place in *pieces.
cdef void pass_bytes(iovec** pieces, size_t* at, size_t size) noexcept nogil

# What UDP transports share: one message that the kernel segments, one message for each datagram, and how they are cut.

# Lays out a run as messages whose parts follow each other, each behind its header of header_bytes if there are any; at most RUN_DATAGRAMS of them.  Returns how
# many parts there are.
cdef uint32_t lay_datagrams(
    const transport_t* self, iovec* pieces, size_t size, uint8_t* headers, size_t header_bytes, mmsghdr* messages, iovec* parts,
    unsigned int* count,
) noexcept nogil
cdef Py_ssize_t send_segmented(transport_t* self, iovec* pieces, uint32_t count, size_t size) noexcept nogil
cdef Py_ssize_t send_messages(transport_t* self, mmsghdr* messages, unsigned int count, size_t size) noexcept nogil
cdef int set_segment(transport_t* self, int segment_bytes) noexcept nogil

# `see` of whatever sends over a TCP socket.
cdef bint tcp_see(const transport_t* self, seen_t* seen) noexcept nogil

cdef class Transport:
    cdef transport_t c
    cdef readonly bint closed

    cdef close_socket(self)                    # a subclass closes what it owns
    cdef void release_socket(self) noexcept    # the same without raising, from __dealloc__


cdef class UdpTransport(Transport):
    pass


@cython.final
cdef class TcpTransport(Transport):
    pass
