"""SRT callers over libsrt: see srt.pyx for the theory."""
from pushcast.libsrt cimport SRTSOCKET
from pushcast.transport cimport Transport

ctypedef struct failure_t:
    int code                 # SRT_E*
    char text[160]           # libsrt's words, cut, with its final zero


cdef class SrtCaller:
    cdef SRTSOCKET socket    # -1 once closed or given to an SrtTransport

    cdef int require_open(self) except -1


cdef class SrtConnector:
    cdef int epoll           # srt_epoll id
    cdef object loop
    cdef object timer        # asyncio.TimerHandle while connects are pending, else None
    cdef dict pending        # SRTSOCKET -> asyncio.Future

    cdef resolve_one(self, SRTSOCKET socket)


cdef class SrtTransport(Transport):
    pass
