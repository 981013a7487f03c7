"""Sinks of byte streams: what all of them do, and MPEG-TS over TCP.

One epoll for all connections; each read goes through the checker in place.  A connection that sends what cannot be
followed is counted and closed, and nothing else happens.  One that never sends a byte (a port probe) is not a sender.
"""
cimport cython
from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc

import os
import socket

from pushcast.epoll cimport EPOLL_CLOEXEC, EPOLL_CTL_ADD, EPOLLIN, epoll_create1, epoll_ctl, epoll_event, epoll_wait
from pushcast.monotonic cimport monotonic_ns
from pushcast.sinks cimport SILENT_NS, arrived
from pushcast.tscheck cimport ts_check_t
from pushcast.verifyts cimport ts_check_error_counts, ts_check_errors, ts_check_figures, ts_check_init, ts_check_stream

cdef extern from "<sys/socket.h>" nogil:
    int MSG_DONTWAIT
    ssize_t recv(int fd, void* buffer, size_t size, int flags)

cdef extern from "<unistd.h>" nogil:
    int close(int fd)

cdef extern from *:
    """
    #define PUSHCAST_SWEEP_NS ((int64_t)500 * 1000000)
    """
    const int64_t SWEEP_NS "PUSHCAST_SWEEP_NS"

cdef enum:
    BUFFER = 262144          # bytes for one read: more than a 40 ms share of any live stream
    READS = 4                # of one connection before the others have their turn
    EVENTS = 64
    LISTENER = 0x40000000    # in an event's number: the rest is the index of a listener


cdef void free_conn(conn_t* conn) noexcept nogil:
    close(conn.fd)
    free(conn.state)
    free(conn)


cdef class StreamSink(Sink):
    """Base: listening TCP sockets, which it takes over, and their connections."""

    def __cinit__(self, listeners, *args, uint32_t max_senders=4096):
        cdef epoll_event event
        cdef uint32_t i
        if not listeners or not 1 <= max_senders <= 65536:
            raise ValueError("StreamSink: expected listeners, and max_senders from 1 to 65536")
        self.epoll = -1
        self.max_senders = max_senders
        self.swept_ns = monotonic_ns()
        self.listeners = list(listeners)
        self.peers = {}
        self.conns = <conn_t**>calloc(max_senders, sizeof(conn_t*))
        self.buffer = <uint8_t*>malloc(BUFFER)
        if self.conns == NULL or self.buffer == NULL:
            raise MemoryError
        self.epoll = epoll_create1(EPOLL_CLOEXEC)
        if self.epoll < 0:
            raise OSError(errno, os.strerror(errno))
        for i in range(<uint32_t>len(self.listeners)):
            self.listeners[i].setblocking(False)
            event.events = EPOLLIN
            event.data.u32 = LISTENER | i
            if epoll_ctl(self.epoll, EPOLL_CTL_ADD, self.listeners[i].fileno(), &event) < 0:
                raise OSError(errno, os.strerror(errno))

    def __dealloc__(self):
        cdef uint32_t slot
        if self.conns != NULL:
            for slot in range(self.max_senders):
                if self.conns[slot] != NULL:
                    free_conn(self.conns[slot])
        free(self.conns)
        free(self.buffer)
        if self.epoll >= 0:
            close(self.epoll)

    def close(self):
        """Close every connection and listener; the rows stay."""
        cdef uint32_t slot
        self.closed = True
        for sock in self.listeners:
            sock.close()
        for slot in range(self.max_senders):
            if self.conns[slot] != NULL:
                self.drop(self.conns[slot])

    def run(self, double seconds):
        """Receive for so long, at least what lies ready.  Raises OSError, for one when no file descriptor is left, and
        what a dialogue raised.
        """
        cdef int64_t deadline = monotonic_ns() + <int64_t>(seconds * 1e9)
        cdef int64_t left = deadline - monotonic_ns()
        cdef epoll_event events[EVENTS]
        cdef conn_t* conn
        cdef int ready, i, failed = 0
        cdef uint32_t number
        if self.closed:
            raise ValueError("StreamSink: run after close")
        with nogil:
            while failed == 0:
                ready = epoll_wait(self.epoll, events, EVENTS, <int>(left // 1000000) + 1 if left > 0 else 0)
                if ready < 0:
                    failed = errno
                for i in range(ready):
                    number = events[i].data.u32
                    if number & LISTENER:
                        with gil:
                            self.accept(number & ~<uint32_t>LISTENER)
                        continue
                    # A connection has one event in each wait at most, and only its own event closes it here.
                    conn = self.conns[number]
                    if conn != NULL and not self.read(conn):
                        with gil:
                            self.drop(conn)
                if left <= 0:
                    break
                left = deadline - monotonic_ns()
        if failed and failed != EINTR:   # a signal: its handler runs once we are back in Python
            raise OSError(failed, os.strerror(failed))
        self.sweep()

    cdef int accept(self, uint32_t index) except -1:
        """Takes the connections that wait."""
        cdef epoll_event event
        cdef conn_t* conn
        listener = self.listeners[index]
        while True:
            try:
                sock, address = listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return 0
            if self.live == self.max_senders:
                self.refused += 1
                sock.close()
                continue
            while self.conns[self.search] != NULL:
                self.search = (self.search + 1) % self.max_senders
            conn = <conn_t*>calloc(1, sizeof(conn_t))
            if conn == NULL:
                raise MemoryError
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            conn.fd = sock.detach()
            conn.slot = self.search
            conn.opened_ns = monotonic_ns()
            conn.port = listener.getsockname()[1]
            self.conns[conn.slot] = conn
            self.live += 1
            self.peers[conn.slot] = f"[{address[0]}]:{address[1]}" if ":" in address[0] else f"{address[0]}:{address[1]}"
            self.begin(conn)
            event.events = EPOLLIN
            event.data.u32 = conn.slot
            if epoll_ctl(self.epoll, EPOLL_CTL_ADD, conn.fd, &event) < 0:
                raise OSError(errno, os.strerror(errno))

    cdef int read(self, conn_t* conn) except -1 nogil:
        """Takes what lies ready on one connection; 0 when it is over."""
        cdef ssize_t size
        cdef int i, taken
        cdef int64_t now
        for i in range(READS):
            size = recv(conn.fd, self.buffer, BUFFER, MSG_DONTWAIT)
            if size <= 0:
                return size < 0 and (errno == EAGAIN or errno == EINTR)
            now = monotonic_ns()
            if conn.received == 0:
                self.came += 1
            conn.received += size
            taken = self.take(conn, self.buffer, size, now)
            if taken == -1:
                return 0
            if size < BUFFER:
                return 1
        return 1

    cdef int drop(self, conn_t* conn) except -1:
        """Closes a connection; it becomes a row if it ever sent a byte."""
        self.end(conn)
        if conn.received:
            self.keep(self.describe(conn))
        del self.peers[conn.slot]
        self.conns[conn.slot] = NULL
        self.live -= 1
        free_conn(conn)
        return 0

    cdef int sweep(self) except -1:
        """Drops the connections that have had their time."""
        cdef uint32_t slot
        cdef int64_t now = monotonic_ns()
        if now - self.swept_ns < SWEEP_NS:
            return 0
        self.swept_ns = now
        for slot in range(self.max_senders):
            if self.conns[slot] != NULL and self.overdue(self.conns[slot], now):
                self.drop(self.conns[slot])
        return 0

    def rows(self):
        return self.left_rows + [
            self.describe(self.conns[slot])
            for slot in range(self.max_senders)
            if self.conns[slot] != NULL and self.conns[slot].received
        ]

    def totals(self):
        cdef uint32_t slot
        cdef uint64_t taken = self.left_bytes, errors = self.left_errors, active = 0, speaking = 0
        cdef int64_t now = monotonic_ns()
        for slot in range(self.max_senders):
            if self.conns[slot] != NULL and self.conns[slot].received:
                speaking += 1
                taken += self.conns[slot].arrival.bytes
                errors += self.errors_of(self.conns[slot])
                active += now - self.conns[slot].arrival.last_ns <= SILENT_NS
        return self.came, self.came - speaking, active, taken, errors

    cdef int begin(self, conn_t* conn) except -1:
        raise NotImplementedError

    cdef int take(self, conn_t* conn, const uint8_t* data, size_t size, int64_t now_ns) except? -2 nogil:
        return -1

    cdef bint overdue(self, conn_t* conn, int64_t now_ns) noexcept nogil:
        return False

    cdef uint64_t errors_of(self, conn_t* conn) noexcept nogil:
        return 0

    cdef dict describe(self, conn_t* conn):
        raise NotImplementedError

    cdef int end(self, conn_t* conn) except -1:
        return 0


@cython.final
cdef class TsStreamSink(StreamSink):
    """Receives MPEG-TS over TCP."""

    cdef int begin(self, conn_t* conn) except -1:
        conn.state = malloc(sizeof(ts_check_t))
        if conn.state == NULL:
            raise MemoryError
        ts_check_init(<ts_check_t*>conn.state)
        return 0

    cdef int take(self, conn_t* conn, const uint8_t* data, size_t size, int64_t now_ns) except? -2 nogil:
        arrived(&conn.arrival, size, now_ns)
        return ts_check_stream(<ts_check_t*>conn.state, data, size)

    cdef uint64_t errors_of(self, conn_t* conn) noexcept nogil:
        return ts_check_errors(<const ts_check_t*>conn.state)

    cdef dict describe(self, conn_t* conn):
        cdef const ts_check_t* check = <const ts_check_t*>conn.state
        figures = ts_check_figures(check)
        figures["cut"] = check.carried != 0
        return self.row(&conn.arrival, self.peers[conn.slot], conn.port, "", ts_check_error_counts(check), figures)
