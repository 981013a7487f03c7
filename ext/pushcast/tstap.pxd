"""TsTap: between whoever receives a transport stream and its TsInput."""
cimport cython
from libc.stdint cimport int64_t, uint8_t, uint64_t

from pushcast.tsinput cimport TsInput


@cython.final
cdef class TsTap:
    cdef readonly TsInput input
    cdef object attend
    cdef bint told_ready
    cdef bint told_changed
    cdef readonly uint64_t bytes_received
    cdef readonly int64_t heard_ns       # of the monotonic clock, when the last bytes came

    cdef int receive(self, const uint8_t* data, size_t size) except -1
