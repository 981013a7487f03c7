"""SrtConnector: waits for SRT connects on an event loop, without a thread.

All pending connects of a loop stand in one srt_epoll, which a 10 ms loop timer asks; the timer runs only while
something is pending.
"""
cimport cython

from pushcast.libsrt cimport *
from pushcast.srt cimport SrtCaller, check, failure_t, new_epoll, note

cdef enum:
    POLL_BATCH = 64

cdef double POLL_S = 0.010       # libsrt itself looks after connecting sockets every 10 ms


@cython.final
cdef class SrtConnector:
    """Waits for the connects of one event loop, without a thread.  Used on that loop only."""

    def __cinit__(self, *args, **kwargs):
        self.epoll = -1
        self.pending = {}

    def __init__(self, loop):
        self.loop = loop
        self.epoll = new_epoll()

    def connect(self, SrtCaller caller not None, int family, tuple address not None):
        """A future: None when the peer has accepted, else libsrt's reject reason as an int.  Cancelling it stops the
        waiting."""
        cdef failure_t failure
        cdef int events = SRT_EPOLL_OUT | SRT_EPOLL_ERR
        cdef int rc
        cdef SRTSOCKET socket
        caller.require_open()
        socket = caller.socket
        with nogil:
            rc = srt_epoll_add_usock(self.epoll, socket, &events)
            if rc < 0:
                note(&failure)
        check(rc, &failure, "epoll add")
        try:
            caller.connect(family, address)
        except BaseException:
            with nogil:
                srt_epoll_remove_usock(self.epoll, socket)
            raise
        future = self.loop.create_future()
        self.pending[socket] = future
        if self.timer is None:
            self.timer = self.loop.call_later(POLL_S, self._poll)
        return future

    def _poll(self):
        cdef SRT_EPOLL_EVENT events[POLL_BATCH]
        cdef failure_t failure
        cdef SRTSOCKET socket
        cdef int count, i
        self.timer = None
        # A cancelled connect is closed by its owner, and libsrt takes a closed socket out of every epoll.
        for socket in [number for number, future in self.pending.items() if future.cancelled()]:
            self.pending.pop(socket)
            with nogil:
                srt_epoll_remove_usock(self.epoll, socket)
        while True:
            with nogil:
                count = srt_epoll_uwait(self.epoll, events, POLL_BATCH, 0)
                if count < 0:
                    note(&failure)
            check(count, &failure, "epoll wait")
            for i in range(min(count, <int>POLL_BATCH)):
                self.resolve_one(events[i].fd)
            if count < POLL_BATCH:
                break
        if self.pending:
            self.timer = self.loop.call_later(POLL_S, self._poll)

    cdef resolve_one(self, SRTSOCKET socket):
        """Answer the future of a socket that libsrt reported."""
        cdef SRT_SOCKSTATUS state
        cdef int reason
        with nogil:
            srt_epoll_remove_usock(self.epoll, socket)
            state = srt_getsockstate(socket)
            reason = srt_getrejectreason(socket)
        future = self.pending.pop(socket, None)
        if future is not None and not future.done():
            future.set_result(None if state == SRTS_CONNECTED else reason)

    def __dealloc__(self):
        if self.epoll >= 0:
            with nogil:
                srt_epoll_release(self.epoll)
