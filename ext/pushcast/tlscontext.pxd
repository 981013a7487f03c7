"""What all TLS connections with the same settings share."""
cimport cython

from pushcast.libssl cimport SSL_CTX


@cython.final
cdef class TlsContext:
    cdef SSL_CTX* c

    cdef int trust_system(self) except -1
    cdef int trust(self, bytes authorities) except -1
    cdef int show(self, bytes certificate, bytes key) except -1
