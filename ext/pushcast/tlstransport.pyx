"""TlsTransport: sending on a TLS connection from a sender thread.

A peer that takes nothing shows as it does over TCP: nothing more is encrypted while the socket has not taken the
records that are there.
"""
cimport cython
from libc.stdint cimport uint32_t

from pushcast.atomics cimport add_relaxed
from pushcast.tls cimport TlsConnection, tls_t, tls_write
from pushcast.transport cimport CLASS_TCP, Transport, iovec, tcp_see, transport_t

import os


cdef Py_ssize_t tls_send(transport_t* self, iovec* pieces, uint32_t count, size_t size) noexcept nogil:
    cdef Py_ssize_t taken = tls_write(<tls_t*>self.own, pieces, count)
    if 0 <= taken < <Py_ssize_t>size:
        add_relaxed(&self.short_sends, 1)
    return taken


@cython.final
cdef class TlsTransport(Transport):
    """TlsTransport(connection, fd): over a connection whose handshake is done; the socket is owned from here on."""

    def __cinit__(self, TlsConnection connection not None, int fd):
        self.connection = connection
        self.c.send = tls_send
        self.c.see = tcp_see
        self.c.fd = fd
        self.c.own = &connection.c
        self.c.datagram = 0
        self.c.class_ = CLASS_TCP
