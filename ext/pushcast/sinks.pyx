"""Sinks: receive from any number of senders, check every byte, keep none.

A sink runs in slices: ``run(seconds)`` receives without the GIL and returns, and between slices the caller asks for
totals and rows.  Nobody runs a sink from two threads.

UdpSink tells senders apart by source address and socket.  It reads with recvmmsg, many datagrams for a system call;
where the kernel has UDP_GRO, what one sender handed over with one UDP_SEGMENT call arrives as one message, so that
hundreds of senders cost a fraction of a core.  What the kernel had to drop for want of buffer is counted (SO_RXQ_OVFL):
it looks like loss, but is ours.
"""
cimport cython
from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcmp, memcpy, memset
from posix.time cimport timespec

import os
import socket

from pushcast.epoll cimport EPOLL_CLOEXEC, EPOLL_CTL_ADD, EPOLLIN, epoll_create1, epoll_ctl, epoll_event, epoll_wait
from pushcast.monotonic cimport monotonic_ns
from pushcast.verifyts cimport ts_check_datagram, ts_check_error_counts, ts_check_errors, ts_check_figures, ts_check_init

cdef extern from "<sys/socket.h>" nogil:
    struct iovec:
        void* iov_base
        size_t iov_len

    struct msghdr:
        void* msg_name
        unsigned int msg_namelen
        iovec* msg_iov
        size_t msg_iovlen
        void* msg_control
        size_t msg_controllen

    struct mmsghdr:
        msghdr msg_hdr
        unsigned int msg_len

    struct cmsghdr:
        size_t cmsg_len
        int cmsg_level
        int cmsg_type
    int AF_INET
    int AF_INET6
    int MSG_DONTWAIT
    int SOL_SOCKET
    int SO_RXQ_OVFL
    int recvmmsg(int fd, mmsghdr* messages, unsigned int count, int flags, timespec* timeout)
    cmsghdr* CMSG_FIRSTHDR(msghdr* message)
    cmsghdr* CMSG_NXTHDR(msghdr* message, cmsghdr* header)
    unsigned char* CMSG_DATA(cmsghdr* header)

cdef extern from "<netinet/in.h>" nogil:
    struct in_addr:
        uint32_t s_addr

    struct in6_addr:
        uint8_t s6_addr[16]

    struct sockaddr_in:
        uint16_t sin_port
        in_addr sin_addr

    struct sockaddr_in6:
        uint16_t sin6_port
        in6_addr sin6_addr

cdef extern from *:
    """
    #ifndef UDP_GRO
    #define UDP_GRO 104
    #endif
    #ifndef SOL_UDP
    #define SOL_UDP 17
    #endif
    """
    int UDP_GRO
    int SOL_UDP

cdef enum:
    MAX_ROWS = 10000         # rows of senders that left; beyond that only their sums are kept
    BATCH = 32               # messages for one system call
    MESSAGE = 65536          # bytes: the largest that UDP_GRO builds
    CONTROL = 64             # bytes of ancillary data: two integers with their headers
    ROUNDS = 16              # batches taken from a socket before the others have their turn
    EVENTS = 64

ctypedef struct udp_batch_t:
    mmsghdr messages[BATCH]
    iovec parts[BATCH]
    sockaddr_storage names[BATCH]
    uint8_t control[BATCH][CONTROL]
    uint8_t data[BATCH][MESSAGE]


cdef class Sink:
    """Base of all sinks.

    ``rows()`` describes every sender that sent something, ``totals()`` is (came, left, active, bytes, errors), both
    since the sink was made.
    """

    def __cinit__(self, *args, **options):
        self.started_ns = monotonic_ns()
        self.left_rows = []

    cdef dict row(self, const arrival_t* a, str peer, int port, str stream, dict errors, dict figures):
        """What is told about a sender; times in ms since the sink was made, bitrate between its first and last arrival.
        """
        cdef int64_t length_ns = a.last_ns - a.first_ns
        return {
            "peer": peer,
            "port": port,
            "stream": stream,
            "bytes": a.bytes,
            "seconds": round(length_ns / 1e9, 3),
            "mbps": round(a.bytes * 8e3 / length_ns, 3) if length_ns else 0.0,
            "longest_gap_ms": round(a.longest_gap_ns / 1e6, 3),
            "first_ms": round((a.first_ns - self.started_ns) / 1e6, 3) if a.first_ns else None,
            "last_ms": round((a.last_ns - self.started_ns) / 1e6, 3) if a.first_ns else None,
            "left": False,
            "silent": monotonic_ns() - a.last_ns > SILENT_NS,
            "errors": errors,
            **figures,
        }

    cdef int keep(self, dict row) except -1:
        """The row of a sender that left."""
        row["left"] = row["silent"] = True
        self.left_bytes += row["bytes"]
        self.left_errors += sum(row["errors"].values())
        if len(self.left_rows) < MAX_ROWS:
            self.left_rows.append(row)
        else:
            self.unkept += 1
        return 0

    def run(self, double seconds):
        raise NotImplementedError

    def rows(self):
        raise NotImplementedError

    def totals(self):
        raise NotImplementedError

    def close(self):
        raise NotImplementedError


cdef int add_to_epoll(int epoll, int fd, uint32_t index) except -1:
    cdef epoll_event event
    event.events = EPOLLIN
    event.data.u32 = index
    if epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) < 0:
        raise OSError(errno, os.strerror(errno))
    return 0


cdef uint32_t hash_source(const source_t* source) noexcept nogil:
    """FNV-1a over the whole key."""
    cdef const uint8_t* p = <const uint8_t*>source
    cdef uint32_t value = 2166136261u
    cdef size_t i
    for i in range(sizeof(source_t)):
        value = (value ^ p[i]) * 16777619u
    return value


@cython.final
cdef class UdpSink(Sink):
    """Receives MPEG-TS datagrams on bound UDP sockets, which it takes over.

    A sender never leaves: it falls silent, and speaks again as the same sender while its address stays the same.
    """

    def __cinit__(self, sockets, uint32_t max_senders=4096):
        cdef uint32_t size = 2
        cdef int i
        cdef udp_batch_t* b
        if not sockets or not 1 <= max_senders <= 65536:
            raise ValueError("UdpSink: expected sockets, and max_senders from 1 to 65536")
        while size < 2 * max_senders:
            size *= 2
        self.epoll = -1
        self.max_senders = max_senders
        self.table_mask = size - 1
        self.sockets = list(sockets)
        self.fds = <int*>calloc(len(self.sockets), sizeof(int))
        self.ports = <uint16_t*>calloc(len(self.sockets), sizeof(uint16_t))
        self.kernel_drops = <uint64_t*>calloc(len(self.sockets), sizeof(uint64_t))
        self.senders = <udp_sender_t**>calloc(max_senders, sizeof(udp_sender_t*))
        self.table = <uint32_t*>calloc(size, sizeof(uint32_t))
        self.batch = b = <udp_batch_t*>malloc(sizeof(udp_batch_t))
        if not (self.fds and self.ports and self.kernel_drops and self.senders and self.table and self.batch):
            raise MemoryError
        for i in range(BATCH):
            b.parts[i].iov_base = &b.data[i][0]
            b.parts[i].iov_len = MESSAGE
        self.epoll = epoll_create1(EPOLL_CLOEXEC)
        if self.epoll < 0:
            raise OSError(errno, os.strerror(errno))
        for i, sock in enumerate(self.sockets):
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, SO_RXQ_OVFL, 1)
            try:
                sock.setsockopt(SOL_UDP, UDP_GRO, 1)
            except OSError:
                pass   # kernels before 5.0: every datagram comes on its own
            self.fds[i] = sock.fileno()
            self.ports[i] = sock.getsockname()[1]
            add_to_epoll(self.epoll, self.fds[i], i)

    def __dealloc__(self):
        cdef uint32_t i
        if self.epoll >= 0:
            os.close(self.epoll)
        for i in range(self.used):
            free(self.senders[i])
        free(self.fds)
        free(self.ports)
        free(self.kernel_drops)
        free(self.senders)
        free(self.table)
        free(self.batch)

    def close(self):
        self.closed = True
        for sock in self.sockets:
            sock.close()

    def run(self, double seconds):
        """Receive for so long, at least what lies ready."""
        cdef int64_t deadline = monotonic_ns() + <int64_t>(seconds * 1e9)
        cdef int64_t left = deadline - monotonic_ns()
        cdef epoll_event events[EVENTS]
        cdef int ready, i, failed = 0
        if self.closed:
            raise ValueError("UdpSink: run after close")
        with nogil:
            while failed == 0:
                ready = epoll_wait(self.epoll, events, EVENTS, <int>(left // 1000000) + 1 if left > 0 else 0)
                if ready < 0:
                    failed = errno
                for i in range(ready):
                    failed = self.receive(events[i].data.u32)
                    if failed:
                        break
                if left <= 0:
                    break
                left = deadline - monotonic_ns()
        if failed and failed != EINTR:   # a signal: its handler runs once we are back in Python
            raise OSError(failed, os.strerror(failed))

    cdef udp_sender_t* find(self, const source_t* source) noexcept nogil:
        """The sender with this address, new if need be; NULL when there are too many."""
        cdef uint32_t at = hash_source(source) & self.table_mask
        cdef udp_sender_t* sender
        while self.table[at]:
            sender = self.senders[self.table[at] - 1]
            if memcmp(&sender.source, source, sizeof(source_t)) == 0:
                return sender
            at = (at + 1) & self.table_mask
        if self.used == self.max_senders:
            return NULL
        sender = <udp_sender_t*>malloc(sizeof(udp_sender_t))
        if sender == NULL:
            return NULL
        sender.source = source[0]
        memset(&sender.arrival, 0, sizeof(arrival_t))
        ts_check_init(&sender.check)
        self.senders[self.used] = sender
        self.used += 1
        self.table[at] = self.used
        return sender

    cdef int receive(self, uint32_t index) noexcept nogil:
        """Takes what lies ready on one socket; 0 or an errno."""
        cdef udp_batch_t* b = <udp_batch_t*>self.batch
        cdef int count, i, rounds
        cdef int64_t now
        cdef source_t source
        cdef udp_sender_t* sender
        cdef size_t size, segment
        for rounds in range(ROUNDS):
            for i in range(BATCH):
                b.messages[i].msg_hdr.msg_name = &b.names[i]
                b.messages[i].msg_hdr.msg_namelen = sizeof(sockaddr_storage)
                b.messages[i].msg_hdr.msg_iov = &b.parts[i]
                b.messages[i].msg_hdr.msg_iovlen = 1
                b.messages[i].msg_hdr.msg_control = &b.control[i][0]
                b.messages[i].msg_hdr.msg_controllen = CONTROL
            count = recvmmsg(self.fds[index], b.messages, BATCH, MSG_DONTWAIT, NULL)
            if count < 0:
                return 0 if errno == EAGAIN else errno
            now = monotonic_ns()
            for i in range(count):
                read_source(&b.names[i], index, &source)
                sender = self.find(&source)
                if sender == NULL:
                    self.refused += 1
                    continue
                size = b.messages[i].msg_len
                segment = read_control(&b.messages[i].msg_hdr, &self.kernel_drops[index])
                arrived(&sender.arrival, size, now)
                check_segments(&sender.check, &b.data[i][0], size, segment)
            if count < BATCH:
                return 0
        return 0

    def rows(self):
        return [self._sender_row(i) for i in range(self.used)]

    def _sender_row(self, uint32_t i):
        cdef udp_sender_t* sender = self.senders[i]
        cdef int size = 4 if sender.source.family == AF_INET else 16
        host = socket.inet_ntop(sender.source.family, sender.source.address[:size])
        peer = f"{host}:{socket.ntohs(sender.source.port)}" if size == 4 else f"[{host}]:{socket.ntohs(sender.source.port)}"
        return self.row(
            &sender.arrival, peer, self.ports[sender.source.socket], "", ts_check_error_counts(&sender.check),
            ts_check_figures(&sender.check),
        )

    def totals(self):
        cdef uint32_t i
        cdef uint64_t taken = 0, errors = 0, active = 0
        cdef int64_t now = monotonic_ns()
        for i in range(self.used):
            taken += self.senders[i].arrival.bytes
            errors += ts_check_errors(&self.senders[i].check)
            active += now - self.senders[i].arrival.last_ns <= SILENT_NS
        return self.used, self.used - active, active, taken, errors

    @property
    def receiver_drops(self):
        """Datagrams that the kernel dropped because we were too slow."""
        return sum(self.kernel_drops[i] for i in range(len(self.sockets)))


cdef void read_source(const sockaddr_storage* name, uint32_t index, source_t* source) noexcept nogil:
    cdef const sockaddr_in* v4 = <const sockaddr_in*>name
    cdef const sockaddr_in6* v6 = <const sockaddr_in6*>name
    memset(source, 0, sizeof(source_t))
    source.family = name.ss_family
    source.socket = index
    if name.ss_family == AF_INET6:
        source.port = v6.sin6_port
        memcpy(source.address, &v6.sin6_addr, 16)
    else:
        source.port = v4.sin_port
        memcpy(source.address, &v4.sin_addr, 4)


cdef size_t read_control(msghdr* message, uint64_t* kernel_drops) noexcept nogil:
    """The size of the datagrams that UDP_GRO put together, 0 when it is a single one."""
    cdef cmsghdr* header = CMSG_FIRSTHDR(message)
    cdef uint32_t drops
    cdef int segment = 0
    while header != NULL:
        if header.cmsg_level == SOL_UDP and header.cmsg_type == UDP_GRO:
            memcpy(&segment, CMSG_DATA(header), sizeof(int))
        elif header.cmsg_level == SOL_SOCKET and header.cmsg_type == SO_RXQ_OVFL:
            memcpy(&drops, CMSG_DATA(header), sizeof(uint32_t))
            kernel_drops[0] = drops
        header = CMSG_NXTHDR(message, header)
    return <size_t>segment


cdef void check_segments(ts_check_t* check, const uint8_t* data, size_t size, size_t segment) noexcept nogil:
    if segment == 0:
        segment = size
    while size > segment:
        ts_check_datagram(check, data, segment)
        data += segment
        size -= segment
    ts_check_datagram(check, data, size)
