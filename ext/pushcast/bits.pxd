"""The bit reader of the parsers: see bits.pyx."""
cimport cython
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t


@cython.final
cdef class Bits:
    cdef bytes owner             # keeps data alive
    cdef const uint8_t* data
    cdef uint64_t at             # next bit
    cdef uint64_t end            # bits
    cdef object name             # what is read, for the error text

    cdef uint64_t left(self) noexcept
    cdef uint64_t u(self, uint32_t count) except? 0xFFFFFFFFFFFFFFFF
    cdef int skip(self, uint64_t count) except -1
    cdef uint64_t ue(self) except? 0xFFFFFFFFFFFFFFFF
    cdef int64_t se(self) except? -0x7FFFFFFFFFFFFFFF
