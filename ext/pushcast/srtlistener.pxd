"""SrtListener, SrtPublisher, SrtIntake: callers that publish over SRT.  Theory in srtlistener.pyx."""
cimport cython
from libc.stdint cimport int64_t

from pushcast.libsrt cimport SRTSOCKET
from pushcast.srt cimport SrtSocket
from pushcast.tstap cimport TsTap


@cython.final
cdef class SrtListener(SrtSocket):
    cdef object decide
    cdef object accepted

    cdef int admit(self, SRTSOCKET socket, str stream_id, tuple address) except -1
    cdef int accept_all(self) except -1


@cython.final
cdef class SrtPublisher:
    cdef SRTSOCKET socket                # -1 once closed
    cdef readonly str stream_id
    cdef readonly tuple address          # (host, port)
    cdef TsTap tap
    cdef object end
    cdef bint ended
    cdef int64_t drained_ns              # of the monotonic clock: until then a lost connection may still have packets, 0: it is not lost

    cdef bint goes_on(self) noexcept
    cdef bint read_all(self) except -1
    cdef bint stop(self, error) except -1


@cython.final
cdef class SrtIntake:
    cdef int epoll
    cdef dict publishers                 # SRTSOCKET -> SrtPublisher
    cdef dict listeners                  # SRTSOCKET -> SrtListener
    cdef set left                        # of the publishers' sockets: their peers had gone when they came, of which libsrt's epoll says nothing
    cdef bint stopping

    cdef int watch(self, SRTSOCKET socket) except -1
    cdef int serve(self, SRTSOCKET socket) except -1
