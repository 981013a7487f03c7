"""MediaSocket: a publisher's socket, read in C."""
cimport cython
from libc.stdint cimport uint64_t

from pushcast.chunk cimport ChunkReader


@cython.final
cdef class MediaSocket:
    cdef readonly int fd
    cdef ChunkReader reader
    cdef object attend
    cdef object end
    cdef bint ended
    cdef public uint64_t attend_at   # attend at the latest when the reader has received so many bytes

    cdef bint read_all(self) except -1
    cdef bint read(self) except -1
    cdef int stop(self, error) except -1
