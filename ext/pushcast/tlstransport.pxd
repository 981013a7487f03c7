"""Sending on a TLS connection, without the GIL."""
cimport cython

from pushcast.tls cimport TlsConnection
from pushcast.transport cimport Transport


@cython.final
cdef class TlsTransport(Transport):
    cdef TlsConnection connection
