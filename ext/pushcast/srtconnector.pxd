"""SrtConnector: see srtconnector.pyx."""
from pushcast.libsrt cimport SRTSOCKET


cdef class SrtConnector:
    cdef int epoll           # srt_epoll id
    cdef object loop
    cdef object timer        # asyncio.TimerHandle while connects are pending, else None
    cdef dict pending        # SRTSOCKET -> asyncio.Future

    cdef resolve_one(self, SRTSOCKET socket)
