"""Sink of SRT callers.

Listeners and connections are looked through every 10 ms rather than waited for: libsrt wakes an epoll for each packet
that it releases, thousands a second for a hundred senders, and has no call that takes many.  So arrival times are exact
to 10 ms.

In live mode a message is a packet, so the sequence numbers of messages show every packet that was given up (sender or
receiver let go of it), up to the last one.  libsrt's own counters are sampled beside that, because they are gone once a
connection breaks.
"""
cimport cython
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memset
from posix.time cimport timespec

import socket as system_socket

from pushcast.libsrt cimport (
    AF_INET, AF_INET6, SRT_EASYNCRCV, SRT_MSGCTRL, SRTO_STREAMID, SRTO_TSBPDMODE, SRTSOCKET, ntohs, sockaddr,
    sockaddr_in, sockaddr_in6, sockaddr_storage, srt_accept, srt_bistats, srt_close, srt_getlasterror,
    srt_getlasterror_str, srt_getsockflag, srt_getsockname, srt_listen, srt_recvmsg2, srt_setsockflag,
)
from pushcast.monotonic cimport monotonic_ns
from pushcast.sinks cimport SILENT_NS, arrived
from pushcast.srt cimport SrtCaller
from pushcast.verifyts cimport ts_check_datagram, ts_check_error_counts, ts_check_errors, ts_check_figures, ts_check_init

from pushcast.errors import SrtError

cdef extern from "<time.h>" nogil:
    int nanosleep(const timespec* length, timespec* left)

cdef extern from *:
    """
    #define PUSHCAST_TICK_NS ((int64_t)10 * 1000000)
    #define PUSHCAST_SAMPLE_NS ((int64_t)250 * 1000000)
    """
    const int64_t TICK_NS "PUSHCAST_TICK_NS"
    const int64_t SAMPLE_NS "PUSHCAST_SAMPLE_NS"     # between two readings of libsrt's counters

cdef enum:
    BACKLOG = 512            # callers that connect in the same moment
    READS = 512              # messages of one connection before the others have their turn
    STREAM_ID = 513          # 512 bytes and a final zero
    SEQUENCE_MASK = 0x7FFFFFFF


@cython.final
cdef class SrtSink(Sink):
    """Receives SRT callers.  ``sockets``: bound SrtCaller objects with their options set; their libsrt sockets become
    listeners.

    ``immediate`` releases packets as they come, not at their time (TSBPD): libsrt then needs no thread for each
    connection, less than half the CPU time for 100 senders.  But callers drop no late packets towards such a receiver.
    """

    def __cinit__(self, sockets, *, bint immediate=False, uint32_t max_senders=1024):
        cdef uint32_t i
        cdef SrtCaller bound
        cdef int off = 0
        if not sockets or not 1 <= max_senders <= 65536:
            raise ValueError("SrtSink: expected sockets, and max_senders from 1 to 65536")
        self.max_senders = max_senders
        self.peers = []
        self.streams = []
        self.listeners = <SRTSOCKET*>calloc(len(sockets), sizeof(SRTSOCKET))
        self.ports = <uint16_t*>calloc(len(sockets), sizeof(uint16_t))
        self.conns = <srt_conn_t**>calloc(max_senders, sizeof(srt_conn_t*))
        if self.listeners == NULL or self.ports == NULL or self.conns == NULL:
            raise MemoryError
        for i, bound in enumerate(sockets):
            self.listeners[i] = bound.socket
            bound.socket = -1
            self.listening = i + 1
            self.ports[i] = <uint16_t>local_port(self.listeners[i])
            if immediate and srt_setsockflag(self.listeners[i], SRTO_TSBPDMODE, &off, sizeof(off)) < 0:
                raise failed("option tsbpdmode")
            if srt_listen(self.listeners[i], BACKLOG) < 0:
                raise failed(f"listen on UDP port {self.ports[i]}")

    def __dealloc__(self):
        cdef uint32_t i
        for i in range(self.listening):
            if not self.closed:
                srt_close(self.listeners[i])
        for i in range(self.live):
            srt_close(self.conns[i].socket)
            free(self.conns[i])
        free(self.listeners)
        free(self.ports)
        free(self.conns)

    def close(self):
        """Close every connection and listener; the rows stay."""
        cdef uint32_t i
        if self.closed:
            return
        self.closed = True
        for i in range(self.listening):
            srt_close(self.listeners[i])
        while self.live:
            self.drop(self.live - 1)

    def run(self, double seconds):
        """Receive for so long, at least what lies ready."""
        cdef int64_t now = monotonic_ns()
        cdef int64_t deadline = now + <int64_t>(seconds * 1e9)
        cdef int64_t pause
        cdef timespec length
        cdef uint32_t i
        if self.closed:
            raise ValueError("SrtSink: run after close")
        length.tv_sec = 0
        with nogil:
            while True:
                for i in range(self.listening):
                    self.accept(i)
                i = self.live
                while i:
                    i -= 1
                    if not self.read(self.conns[i], now):
                        with gil:
                            self.drop(i)
                if now >= deadline:
                    break
                pause = TICK_NS - now % TICK_NS
                length.tv_nsec = pause if pause < deadline - now else deadline - now
                nanosleep(&length, NULL)
                now = monotonic_ns()

    cdef int accept(self, uint32_t index) except -1 nogil:
        """Takes the callers that wait."""
        cdef sockaddr_storage name
        cdef int size
        cdef SRTSOCKET accepted
        cdef sockaddr_in* v4 = <sockaddr_in*>&name
        cdef sockaddr_in6* v6 = <sockaddr_in6*>&name
        while True:
            size = sizeof(name)
            accepted = srt_accept(self.listeners[index], <sockaddr*>&name, &size)
            if accepted < 0:
                if srt_getlasterror(NULL) == SRT_EASYNCRCV:
                    return 0
                with gil:
                    raise failed("accept")
            if self.live == self.max_senders:
                self.refused += 1
                srt_close(accepted)
                continue
            with gil:
                if name.ss_family == AF_INET6:
                    self.admit(accepted, index, (<char*>&v6.sin6_addr)[:16], AF_INET6, ntohs(v6.sin6_port))
                else:
                    self.admit(accepted, index, (<char*>&v4.sin_addr)[:4], AF_INET, ntohs(v4.sin_port))

    cdef int admit(self, SRTSOCKET socket, uint32_t index, bytes address, int family, int port) except -1:
        cdef char stream_id[STREAM_ID]
        cdef int size = STREAM_ID
        cdef srt_conn_t* conn = <srt_conn_t*>calloc(1, sizeof(srt_conn_t))
        if conn == NULL:
            raise MemoryError
        conn.socket = socket
        conn.port = self.ports[index]
        conn.due = -1
        ts_check_init(&conn.check)
        self.conns[self.live] = conn
        self.live += 1
        host = system_socket.inet_ntop(family, address)
        self.peers.append(f"{host}:{port}" if family == AF_INET else f"[{host}]:{port}")
        if srt_getsockflag(socket, SRTO_STREAMID, stream_id, &size) < 0:
            size = 0   # broken already: the next read will say so
        self.streams.append(stream_id[:size].decode("utf-8", "replace"))
        return 0

    cdef bint read(self, srt_conn_t* conn, int64_t now_ns) noexcept nogil:
        """Takes what libsrt has released on one connection; false when it is over."""
        cdef SRT_MSGCTRL control
        cdef int size, i
        memset(&control, 0, sizeof(control))
        if now_ns - conn.sampled_ns > SAMPLE_NS:
            conn.sampled_ns = now_ns
            srt_bistats(conn.socket, &conn.stats, 0, 0)
        for i in range(READS):
            size = srt_recvmsg2(conn.socket, self.buffer, sizeof(self.buffer), &control)
            if size < 0:
                return srt_getlasterror(NULL) == SRT_EASYNCRCV
            if size == 0:
                return False
            if conn.due >= 0:
                conn.dropped += <uint32_t>(control.pktseq - conn.due) & SEQUENCE_MASK
            conn.due = (control.pktseq + 1) & SEQUENCE_MASK
            arrived(&conn.arrival, size, now_ns)
            ts_check_datagram(&conn.check, <const uint8_t*>self.buffer, size)
        return True

    cdef int drop(self, uint32_t i) except -1:
        """Closes a connection: every caller that got in is a sender, and becomes a row."""
        cdef srt_conn_t* conn = self.conns[i]
        self.keep(self.describe(i))
        self.live -= 1
        self.conns[i] = self.conns[self.live]
        self.peers[i] = self.peers[self.live]
        self.streams[i] = self.streams[self.live]
        self.peers.pop()
        self.streams.pop()
        with nogil:
            srt_close(conn.socket)
        free(conn)
        return 0

    cdef dict describe(self, uint32_t i):
        cdef srt_conn_t* conn = self.conns[i]
        errors = ts_check_error_counts(&conn.check)
        if conn.dropped:
            errors["srt_drop"] = conn.dropped
        if conn.stats.pktRcvUndecryptTotal:
            errors["srt_undecrypted"] = conn.stats.pktRcvUndecryptTotal
        figures = ts_check_figures(&conn.check)
        figures["srt_packets"] = conn.stats.pktRecvTotal
        figures["srt_lost"] = conn.stats.pktRcvLossTotal
        figures["srt_late"] = conn.stats.pktRcvDropTotal
        figures["rtt_ms"] = round(conn.stats.msRTT, 3)
        return self.row(&conn.arrival, self.peers[i], conn.port, self.streams[i], errors, figures)

    def rows(self):
        return self.left_rows + [self.describe(i) for i in range(self.live)]

    def totals(self):
        cdef uint32_t i
        cdef uint64_t taken = self.left_bytes, errors = self.left_errors, active = 0
        cdef uint64_t left = len(self.left_rows) + self.unkept
        cdef int64_t now = monotonic_ns()
        for i in range(self.live):
            taken += self.conns[i].arrival.bytes
            errors += ts_check_errors(&self.conns[i].check) + self.conns[i].dropped + self.conns[i].stats.pktRcvUndecryptTotal
            active += now - self.conns[i].arrival.last_ns <= SILENT_NS
        return left + self.live, left, active, taken, errors


cdef object failed(str doing):
    """libsrt's last error of this thread."""
    cdef int code = srt_getlasterror(NULL)
    return SrtError(f"SRT {doing}: {srt_getlasterror_str().decode('utf-8', 'replace')} (libsrt {code})")


cdef int local_port(SRTSOCKET socket) except -1:
    cdef sockaddr_storage name
    cdef int size = sizeof(name)
    if srt_getsockname(socket, <sockaddr*>&name, &size) < 0:
        raise failed("socket name")
    return ntohs((<sockaddr_in*>&name).sin_port)
