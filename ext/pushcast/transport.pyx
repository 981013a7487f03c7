"""UDP and TCP transports.

What is to be sent may lie in several pieces; it leaves in one system call.  UDP hands the kernel one run of up to 49 datagrams and lets it segment them
(UDP_SEGMENT); where the kernel, the device or the path's MTU refuses that, the transport goes over to sendmmsg for good.  An ICMP refusal on a connected UDP socket is counted and is not fatal: the
receiver may not be there yet.

The sender owns the socket's writing side from attach to release; the socket is closed only after the release.
"""
from libc.errno cimport (
    EAGAIN,
    ECONNREFUSED,
    EINTR,
    EINVAL,
    EIO,
    EMSGSIZE,
    ENOBUFS,
    ENOMEM,
    ENOPROTOOPT,
    EOPNOTSUPP,
    EPIPE,
    errno,
)
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memset

from pushcast.atomics cimport add_relaxed, load_relaxed, load_relaxed_u32, store_relaxed_u32
from pushcast.tcpinfo cimport read_tcp_info, tcp_info_t

import os

cdef extern from *:
    """
    #ifndef _GNU_SOURCE
    #define _GNU_SOURCE
    #endif
    #include <netinet/in.h>
    #include <netinet/udp.h>
    #include <sys/socket.h>
    #ifndef UDP_SEGMENT
    #define UDP_SEGMENT 103
    #endif
    #ifndef SOL_UDP
    #define SOL_UDP 17
    #endif
    """

cdef extern from "<sys/socket.h>" nogil:
    Py_ssize_t send(int fd, const void* data, size_t size, int flags)
    Py_ssize_t sendmsg(int fd, const msghdr* message, int flags)
    int sendmmsg(int fd, mmsghdr* messages, unsigned int count, int flags)
    int setsockopt(int fd, int level, int name, const void* value, unsigned int size)
    enum:
        MSG_DONTWAIT
        MSG_NOSIGNAL

cdef extern from "<netinet/udp.h>" nogil:
    enum:
        SOL_UDP
        UDP_SEGMENT


cdef bint would_block(int code) noexcept nogil:
    return code == EAGAIN or code == EINTR or code == ENOBUFS or code == ENOMEM


cdef bint refuses_segmentation(int code) noexcept nogil:
    """EMSGSIZE: a segment exceeds the path's MTU; EIO, EINVAL, ...: kernel or device without UDP_SEGMENT."""
    return code == EMSGSIZE or code == EIO or code == EINVAL or code == ENOPROTOOPT or code == EOPNOTSUPP


cdef void pass_bytes(iovec** pieces, size_t* at, size_t size) noexcept nogil:
    cdef size_t rest
    while size:
        rest = pieces[0].iov_len - at[0]
        if size < rest:
            at[0] += size
            return
        size -= rest
        pieces[0] += 1
        at[0] = 0


cdef Py_ssize_t send_pieces(int fd, iovec* pieces, uint32_t count) noexcept nogil:
    """One system call; the plain one where it will do, for it is the cheapest."""
    cdef msghdr message
    if count == 1:
        return send(fd, pieces.iov_base, pieces.iov_len, MSG_DONTWAIT | MSG_NOSIGNAL)
    memset(&message, 0, sizeof(message))
    message.msg_iov = pieces
    message.msg_iovlen = count
    return sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL)


cdef Py_ssize_t udp_send(transport_t* self, iovec* pieces, uint32_t count, size_t size) noexcept nogil:
    cdef size_t limit = <size_t>self.datagram * RUN_DATAGRAMS
    cdef iovec* last = pieces
    cdef size_t in_last = 0
    cdef Py_ssize_t taken
    if size > limit:
        size = limit
        pass_bytes(&last, &in_last, limit)
        count = <uint32_t>(last - pieces)
        if in_last:
            last.iov_len = in_last
            count += 1
    if self.gso:
        taken = send_segmented(self, pieces, count, size)
        if self.gso:
            return taken
    return udp_send_each(self, pieces, size)


cdef Py_ssize_t send_segmented(transport_t* self, iovec* pieces, uint32_t count, size_t size) noexcept nogil:
    """One message that the kernel cuts into datagrams, with `size` bytes of media; as send_t returns.  When it refuses to cut, gso is 0 and nothing was sent."""
    cdef int attempt
    for attempt in range(2):
        if send_pieces(self.fd, pieces, count) >= 0:
            return <Py_ssize_t>size
        if errno != ECONNREFUSED:
            break
        add_relaxed(&self.refused, 1)        # the answer to an earlier datagram; this one was not sent yet
    if would_block(errno):
        add_relaxed(&self.short_sends, 1)
        return 0
    if errno == ECONNREFUSED:
        return <Py_ssize_t>size  # nobody listens: what UDP sends then is lost, and that is all
    if refuses_segmentation(errno):
        set_segment(self, 0)
        return 0
    return -errno


cdef uint32_t cut_datagram(iovec** pieces, size_t* at, size_t size, iovec* cut) noexcept nogil:
    """The parts that make the next `size` bytes; returns how many they are."""
    cdef uint32_t parts = 0
    cdef size_t part
    while size:
        part = pieces[0].iov_len - at[0]
        if part > size:
            part = size
        cut[parts].iov_base = <uint8_t*>pieces[0].iov_base + at[0]
        cut[parts].iov_len = part
        parts += 1
        size -= part
        pass_bytes(pieces, at, part)
    return parts


cdef uint32_t lay_datagrams(
    const transport_t* self, iovec* pieces, size_t size, uint8_t* headers, size_t header_bytes, mmsghdr* messages, iovec* parts,
    unsigned int* count,
) noexcept nogil:
    cdef uint32_t part = 0
    cdef size_t at = 0
    cdef size_t payload
    cdef uint32_t head = 1 if header_bytes else 0
    memset(messages, 0, RUN_DATAGRAMS * sizeof(mmsghdr))
    count[0] = 0
    while size:
        payload = min(size, <size_t>self.datagram)
        messages[count[0]].msg_hdr.msg_iov = &parts[part]
        if header_bytes:
            parts[part].iov_base = headers + count[0] * header_bytes
            parts[part].iov_len = header_bytes
        messages[count[0]].msg_hdr.msg_iovlen = head + cut_datagram(&pieces, &at, payload, &parts[part + head])
        part += <uint32_t>messages[count[0]].msg_hdr.msg_iovlen
        size -= payload
        count[0] += 1
    return part


cdef Py_ssize_t udp_send_each(transport_t* self, iovec* pieces, size_t size) noexcept nogil:
    cdef mmsghdr messages[RUN_DATAGRAMS]
    cdef iovec parts[RUN_DATAGRAMS + MAX_PIECES]
    cdef unsigned int count
    lay_datagrams(self, pieces, size, NULL, 0, messages, parts, &count)
    return send_messages(self, messages, count, size)


cdef Py_ssize_t send_messages(transport_t* self, mmsghdr* messages, unsigned int count, size_t size) noexcept nogil:
    """One message for each datagram, in one system call, with `size` bytes of media together; as send_t returns."""
    cdef int sent
    cdef int attempt
    for attempt in range(2):
        sent = sendmmsg(self.fd, messages, count, MSG_DONTWAIT | MSG_NOSIGNAL)
        if sent >= 0:
            if sent < <int>count:
                add_relaxed(&self.short_sends, 1)
            return <Py_ssize_t>min(<size_t>sent * self.datagram, size)
        if errno != ECONNREFUSED:
            break
        add_relaxed(&self.refused, 1)
    if would_block(errno):
        add_relaxed(&self.short_sends, 1)
        return 0
    if errno == ECONNREFUSED:
        return <Py_ssize_t>size
    return -errno


cdef int set_segment(transport_t* self, int segment_bytes) noexcept nogil:
    """Ask the kernel to cut sends into segments of this size; 0 ends that.  0 when the kernel agrees, else -errno."""
    if setsockopt(self.fd, SOL_UDP, UDP_SEGMENT, &segment_bytes, sizeof(int)) < 0:
        store_relaxed_u32(&self.gso, 0)
        return -errno
    store_relaxed_u32(&self.gso, 1 if segment_bytes else 0)
    return 0


cdef Py_ssize_t tcp_send(transport_t* self, iovec* pieces, uint32_t count, size_t size) noexcept nogil:
    cdef Py_ssize_t taken = send_pieces(self.fd, pieces, count)
    if taken >= 0:
        if <size_t>taken < size:
            add_relaxed(&self.short_sends, 1)
        return taken
    if would_block(errno):
        add_relaxed(&self.short_sends, 1)
        return 0
    return -errno


cdef bint tcp_see(const transport_t* self, seen_t* seen) noexcept nogil:
    cdef tcp_info_t info
    if read_tcp_info(self.fd, &info):
        return False
    seen.confirmed = info.acked_bytes
    seen.sent = info.sent_bytes
    seen.resent = info.retransmitted_bytes
    seen.dropped = 0
    seen.waits = info.unacked_segments > 0 or info.notsent_bytes > 0
    return True


cdef class Transport:
    """A connected peer's writing side.  Made by egress, driven by one Sender, closed by egress after the Sender released it."""

    def __cinit__(self, *args, **kwargs):
        self.c.fd = -1
        self.closed = False

    @property
    def datagram_bytes(self):
        """Largest datagram; 0 for a byte stream."""
        return self.c.datagram

    def send(self, *pieces):
        """Send up to eight buffers as one run.  Bytes taken, 0 when the peer takes nothing now; OSError when the connection is lost."""
        if self.closed:
            raise ValueError("send on a closed transport")
        if not 1 <= len(pieces) <= MAX_PIECES:
            raise ValueError(f"send: found {len(pieces)} pieces, expected 1 to {MAX_PIECES}")
        cdef iovec cut[MAX_PIECES]
        cdef size_t size = 0
        cdef const uint8_t[::1] piece
        cdef uint32_t count = 0
        cdef list held = []              # each as a buffer, so that none moves meanwhile
        for data in pieces:
            piece = data
            if piece.shape[0] == 0:
                continue
            held.append(piece)
            cut[count].iov_base = <void*>&piece[0]
            cut[count].iov_len = piece.shape[0]
            size += piece.shape[0]
            count += 1
        if count == 0:
            return 0
        cdef Py_ssize_t taken = self.c.send(&self.c, cut, count, size)
        if taken < 0:
            raise OSError(-taken, os.strerror(-taken))
        return taken

    def stats(self):
        """Counters of this connection: {'refused', 'short_sends'}."""
        return {"refused": load_relaxed(&self.c.refused), "short_sends": load_relaxed(&self.c.short_sends)}

    def close(self):
        """Close the socket; more than once is harmless."""
        if not self.closed:
            self.closed = True
            self.close_socket()

    cdef close_socket(self):
        if self.c.fd >= 0:
            os.close(self.c.fd)
            self.c.fd = -1

    def __dealloc__(self):
        if not self.closed and self.c.fd >= 0:
            self.release_socket()

    cdef void release_socket(self) noexcept:
        """Last resort of __dealloc__: an owner that forgot close()."""
        close_fd(self.c.fd)


cdef extern from "<unistd.h>" nogil:
    int close_fd "close"(int fd)


cdef class UdpTransport(Transport):
    """UdpTransport(fd, gso=True, datagram_bytes=1316)

    ``fd``: a connected, non-blocking UDP socket, owned from here on.  ``gso=False`` begins with sendmmsg.
    """

    def __cinit__(self, int fd, bint gso=True, uint32_t datagram_bytes=DATAGRAM_BYTES):
        if datagram_bytes == 0 or datagram_bytes % 188 or datagram_bytes > DATAGRAM_BYTES:
            raise ValueError(f"datagram_bytes: found {datagram_bytes}, expected a multiple of 188 up to {DATAGRAM_BYTES}")
        self.c.send = udp_send
        self.c.fd = fd
        self.c.datagram = datagram_bytes
        self.c.class_ = CLASS_UDP
        if gso:
            set_segment(&self.c, <int>datagram_bytes)

    @property
    def gso(self):
        """True while the kernel segments."""
        return bool(load_relaxed_u32(&self.c.gso))


cdef class TcpTransport(Transport):
    """TcpTransport(fd): a connected, non-blocking TCP socket, owned from here on."""

    def __cinit__(self, int fd):
        self.c.send = tcp_send
        self.c.see = tcp_see
        self.c.fd = fd
        self.c.datagram = 0
        self.c.class_ = CLASS_TCP
