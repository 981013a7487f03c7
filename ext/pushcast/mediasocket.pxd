"""Sockets that the intake's thread reads in C: theory in mediasocket.pyx."""
cimport cython
from libc.stdint cimport uint64_t

from pushcast.chunk cimport ChunkReader


cdef class ReadySocket:
    cdef readonly int fd
    cdef object end
    cdef bint ended

    cdef bint read_all(self) except -1
    # True when there may be more.
    cdef bint read(self) except -1
    cdef int stop(self, error) except -1


@cython.final
cdef class MediaSocket(ReadySocket):
    cdef ChunkReader reader
    cdef object attend
    cdef public uint64_t attend_at   # attend at the latest when the reader has received so many bytes
