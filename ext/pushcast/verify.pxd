"""Python faces of the stream checkers."""
from pushcast.tscheck cimport ts_check_t
from pushcast.verifyrtmp cimport rtmp_check_t


cdef class TsChecker:
    cdef ts_check_t c
    cdef readonly bint garbage       # the bytes are not MPEG-TS; nothing more is taken


cdef class RtmpChecker:
    cdef rtmp_check_t c
    cdef readonly bint broken        # the chunk stream cannot be followed; nothing more is taken
