"""SRT publishers: one listening port, many callers, one thread of ours that reads them all.

**Who may.**  libsrt asks in the middle of the handshake, on its own thread, with the caller's stream id at hand: the
answer is a passphrase (or none), or a reason to refuse that the caller sees.  So a caller that may not publish never
becomes a connection.

**Reading.**  The intake's thread asks which sockets have something, without Python's lock, reads each until it has no
more, and hands whole runs of messages to the TsTap in one piece.  libsrt delivers packet by packet, each at its time; to
wake up for every one of them would cost more than all else, so the thread rests ROUND_US between two rounds, and
IDLE_US while there is no publisher.  It never waits in libsrt, which wakes every 10 ms and at each event of any socket.
"""
cimport cython
from libc.stdint cimport int64_t, uint8_t

from pushcast.libsrt cimport *
from pushcast.monotonic cimport monotonic_ns
from pushcast.srt cimport SrtSocket, check, close_now, failure_t, new_epoll, note, open_sockets
from pushcast.tstap cimport TsTap

import socket as system_socket

from pushcast.errors import SrtError
from pushcast.log import logger, printable

cdef extern from "<unistd.h>" nogil:
    int usleep(unsigned int microseconds)

cdef enum:
    BACKLOG = 256
    EVENTS_AT_ONCE = 64
    ROUND_US = 4000              # as much later a packet may go on; the sender's slots are as far apart
    IDLE_US = 25000              # as much later a caller may be accepted
    MESSAGE_BYTES = 1456         # the longest live message
    RUN_BYTES = 64 * 1024        # handed on in one piece
    RUNS_A_TURN = 16             # what one publisher may have of the thread's time
    DRAIN_MS = 20                # behind the latency: a turn of this thread, and of libsrt
    REJECT_BY_US = 1500          # "internal error", in libsrt's access control codes

_log = logger("ingest.srt")

cdef uint8_t[RUN_BYTES] room     # used on the intake's thread alone


class SrtRefusal(Exception):
    """``decide`` raises it: ``code`` is libsrt's (1000 and above), the text is for the log, "" for no line there."""

    def __init__(self, code, reason):
        super().__init__(reason)
        self.code = code


cdef int on_handshake(void* opaque, SRTSOCKET socket, int version, const sockaddr* peer, const char* stream_id) noexcept with gil:
    cdef SrtListener listener = <SrtListener>opaque
    cdef int code = REJECT_BY_US
    address = ("", 0)
    try:
        address = address_of(peer)
        listener.admit(socket, stream_id.decode("utf-8"), address)
        return 0
    except SrtRefusal as error:
        code = error.code
        if str(error):
            _log.info("publisher %s: refused: %s", f"{address[0]}:{address[1]}", printable(str(error)))
    except UnicodeDecodeError:
        code = 1400
        _log.info("publisher %s: refused: the stream id is not UTF-8", f"{address[0]}:{address[1]}")
    except BaseException:
        _log.exception("internal error")
    with nogil:
        srt_setrejectreason(socket, code)
    return -1


cdef tuple address_of(const sockaddr* peer):
    if peer.sa_family == AF_INET6:
        return (system_socket.inet_ntop(system_socket.AF_INET6, (<const char*>&(<sockaddr_in6*>peer).sin6_addr)[:16]),
                ntohs((<sockaddr_in6*>peer).sin6_port))
    return (system_socket.inet_ntop(system_socket.AF_INET, (<const char*>&(<sockaddr_in*>peer).sin_addr)[:4]),
            ntohs((<sockaddr_in*>peer).sin_port))


cdef class SrtListener(SrtSocket):
    """SrtListener(options, decide, accepted)

    ``decide(stream_id, (host, port))`` on libsrt's thread: the passphrase that this caller must have, "" for none, or
    SrtRefusal.  ``accepted(publisher)`` on the intake's thread.  Options are inherited by what is accepted.
    """

    def __init__(self, options, decide not None, accepted not None):
        SrtSocket.__init__(self, options)
        self.decide = decide
        self.accepted = accepted

    def listen(self):
        """Take callers from now on; bound before.  Who called at a socket that was taken over is answered first."""
        cdef failure_t failure
        cdef int rc
        self.require_open()
        with nogil:
            rc = srt_listen_callback(self.socket, on_handshake, <void*>self)
            if rc == 0:
                rc = srt_listen(self.socket, BACKLOG)
            if rc < 0:
                note(&failure)
        check(rc, &failure, "listen")

    cdef int admit(self, SRTSOCKET socket, str stream_id, tuple address) except -1:
        cdef bytes passphrase = self.decide(stream_id, address).encode()
        cdef const char* text = passphrase
        cdef int size = len(passphrase), rc
        cdef failure_t failure
        with nogil:
            rc = srt_setsockflag(socket, SRTO_PASSPHRASE, text, size)
            if rc < 0:
                note(&failure)
        check(rc, &failure, "option passphrase")
        return 0

    cdef int accept_all(self) except -1:
        cdef SRTSOCKET made
        cdef sockaddr_storage peer
        cdef char[513] stream_id
        cdef int size
        while True:
            size = sizeof(peer)
            with nogil:
                made = srt_accept(self.socket, <sockaddr*>&peer, &size)
            if made < 0:
                return 0
            open_sockets.add(made)
            size = sizeof(stream_id)
            with nogil:
                if srt_getsockflag(made, SRTO_STREAMID, stream_id, &size) < 0:
                    size = 0
            self.accepted(new_publisher(made, stream_id[:size].decode("utf-8", "replace"), address_of(<sockaddr*>&peer)))


cdef SrtPublisher new_publisher(SRTSOCKET socket, str stream_id, tuple address):
    cdef SrtPublisher publisher = SrtPublisher.__new__(SrtPublisher)
    publisher.socket = socket
    publisher.stream_id = stream_id
    publisher.address = address
    return publisher


cdef class SrtPublisher:
    """A caller that was accepted.  Until it is given a tap and to an SrtIntake, libsrt keeps what comes."""

    def __cinit__(self):
        self.socket = -1

    def start(self, TsTap tap not None, end not None):
        """Where its bytes go.  ``end(error)``: the peer left (None) or what came cannot be taken, on the intake's thread."""
        self.tap = tap
        self.end = end

    cdef bint read_all(self) except -1:
        """False when nothing will come any more."""
        cdef size_t filled
        cdef int got = 0, error = 0, run
        for run in range(RUNS_A_TURN):
            filled = 0
            with nogil:
                while filled + MESSAGE_BYTES <= RUN_BYTES:
                    got = srt_recvmsg2(self.socket, <char*>&room[filled], MESSAGE_BYTES, NULL)
                    if got <= 0:
                        error = srt_getlasterror(NULL) if got < 0 else SRT_ECONNLOST
                        break
                    filled += got
            if filled:
                try:
                    self.tap.receive(room, filled)
                except Exception as problem:
                    return self.stop(problem)
            if self.ended:
                return False
            if error == SRT_EASYNCRCV:
                return True
            if error:
                return self.goes_on() or self.stop(None)
        return True

    cdef bint goes_on(self) noexcept:
        """The peer has left: what came before is due one by one, until the latency has passed."""
        cdef int latency_ms = 0, size = sizeof(int)
        if self.drained_ns == 0:
            with nogil:
                srt_getsockflag(self.socket, SRTO_RCVLATENCY, &latency_ms, &size)
            self.drained_ns = monotonic_ns() + (<int64_t>latency_ms + DRAIN_MS) * 1000000
        return monotonic_ns() < self.drained_ns

    cdef bint stop(self, error) except -1:
        self.ended = True
        self.end(error)
        return False

    def statistics(self):
        """libsrt's figures since the beginning, by the names of the API: packets and bytes, times in ms; None once closed."""
        cdef SRT_TRACEBSTATS stats
        cdef int rc
        if self.socket < 0:
            return None
        with nogil:
            rc = srt_bistats(self.socket, &stats, 0, 1)
        if rc < 0:
            return None
        return {
            "srtPackets": stats.pktRecvTotal,
            "srtBytes": stats.byteRecvTotal,
            "srtPacketsLost": stats.pktRcvLossTotal,
            "srtPacketsDropped": stats.pktRcvDropTotal,
            "srtPacketsUndecrypted": stats.pktRcvUndecryptTotal,
            "srtRttMs": stats.msRTT,
            "srtLatencyMs": stats.msRcvTsbPdDelay,
            "srtBufferedMs": stats.msRcvBuf,
        }

    def close(self):
        """Read no more and tell nothing; the intake must have forgotten it.  May block: not on the event loop."""
        cdef SRTSOCKET socket = self.socket
        self.ended = True
        self.socket = -1
        if socket >= 0:
            close_now(socket)

    def __dealloc__(self):
        if self.socket >= 0:
            close_now(self.socket)


cdef class SrtIntake:
    """SrtIntake(): ``run`` in a thread of its own; the other methods from anywhere."""

    def __cinit__(self):
        self.publishers = {}
        self.listeners = {}
        self.left = set()
        self.epoll = -1
        self.epoll = new_epoll()

    def __dealloc__(self):
        if self.epoll >= 0:
            with nogil:
                srt_epoll_release(self.epoll)

    cdef int watch(self, SRTSOCKET socket) except -1:
        cdef failure_t failure
        cdef int events = SRT_EPOLL_IN | SRT_EPOLL_ERR
        cdef int rc
        with nogil:
            rc = srt_epoll_add_usock(self.epoll, socket, &events)
            if rc < 0:
                note(&failure)
        return check(rc, &failure, "epoll add")

    def listen(self, SrtListener listener not None):
        """Accept who calls this listener, which listens."""
        self.listeners[listener.socket] = listener
        self.watch(listener.socket)

    def add(self, SrtPublisher publisher not None):
        """Read this publisher, which has its tap; SrtError when it has gone already."""
        if publisher.socket < 0:
            raise SrtError("SRT publisher is closed")
        self.publishers[publisher.socket] = publisher
        try:
            self.watch(publisher.socket)
        except SrtError:
            del self.publishers[publisher.socket]
            raise
        if srt_getsockstate(publisher.socket) != SRTS_CONNECTED:
            self.left.add(publisher.socket)

    def remove(self, SrtPublisher publisher not None):
        """Read it no more; to be called before it is closed.  One that is not there is no error."""
        cdef SRTSOCKET socket = publisher.socket
        if self.publishers.get(socket) is publisher:
            del self.publishers[socket]
            self.left.discard(socket)
            with nogil:
                srt_epoll_remove_usock(self.epoll, socket)

    def run(self):
        """The thread's body: returns after stop()."""
        cdef SRT_EPOLL_EVENT[EVENTS_AT_ONCE] events
        cdef int count, index
        cdef long long begun, rest_us
        while not self.stopping:
            with nogil:
                begun = monotonic_ns()
                count = srt_epoll_uwait(self.epoll, events, EVENTS_AT_ONCE, 0)
            for index in range(min(max(count, 0), <int>EVENTS_AT_ONCE)):
                self.serve(events[index].fd)
            for socket in tuple(self.left):
                self.serve(socket)
            if count >= EVENTS_AT_ONCE:
                continue             # others are waiting behind these
            rest_us = ROUND_US if self.publishers else IDLE_US
            with nogil:
                rest_us -= (monotonic_ns() - begun) // 1000
                if rest_us > 0:
                    usleep(<unsigned int>rest_us)

    cdef int serve(self, SRTSOCKET socket) except -1:
        cdef SrtListener listener = self.listeners.get(socket)
        cdef SrtPublisher publisher
        if listener is not None:
            return listener.accept_all()
        publisher = self.publishers.get(socket)
        if publisher is not None and not publisher.read_all():
            self.remove(publisher)
        return 0

    def stop(self):
        """Have run() return soon."""
        self.stopping = True
