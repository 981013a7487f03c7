"""A TLS client connection, and its writing side for a sender thread."""
cimport cython
from libc.stdint cimport uint8_t, uint32_t

from pushcast.libssl cimport SSL, SSL_SESSION
from pushcast.tlscontext cimport TlsContext
from pushcast.transport cimport iovec
from pushcast.wakeup cimport pthread_mutex_t

ctypedef struct tls_t:
    SSL* ssl
    int fd                       # of a non-blocking socket; whoever made the connection closes it
    int lost                     # errno of a write that failed, 0 while the connection lives
    pthread_mutex_t lock         # of all that follows and of ssl: one thread reads, another writes
    uint8_t* pending             # records that the socket has not taken
    size_t pending_at
    size_t pending_bytes
    size_t pending_room

# Encrypts and sends what lies in the pieces until the socket takes no more; returns the bytes taken, 0 when it takes
# nothing now, or a negative errno when the connection is lost.
cdef Py_ssize_t tls_write(tls_t* tls, const iovec* pieces, uint32_t count) noexcept nogil


@cython.final
cdef class TlsSession:
    cdef SSL_SESSION* c


@cython.final
cdef class TlsConnection:
    cdef tls_t c
    cdef TlsContext context

    cdef object failure(self, int why)    # what a handshake that failed is raised as
