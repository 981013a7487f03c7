"""GatedTransport: a transport that stands still in the middle of a send until the test lets it go on.

It sends on a real socket, as the sender thread asks; only the time between its two halves is the test's.
"""
from libc.errno cimport errno
from libc.stdint cimport uint32_t, uint64_t
from posix.unistd cimport read, write

from pushcast.transport cimport CLASS_TCP, CLASS_UDP, Transport, iovec, pass_bytes, transport_t

cdef enum:
    DATAGRAM_BYTES = 1316

cdef extern from "<sys/socket.h>" nogil:
    Py_ssize_t send(int fd, const void* data, size_t size, int flags)
    enum:
        MSG_NOSIGNAL

cdef extern from "<sys/eventfd.h>" nogil:
    int eventfd(unsigned int value, int flags)

cdef extern from *:
    uint64_t __atomic_exchange_n(uint64_t* p, uint64_t value, int order) noexcept nogil
    int __ATOMIC_SEQ_CST

# One gate for the process: a send function is given nothing but the transport_t.
cdef int _inside_fd = eventfd(0, 0)
cdef int _open_fd = eventfd(0, 0)
cdef uint64_t _armed = 0


cdef Py_ssize_t send_in_halves(transport_t* self, iovec* pieces, uint32_t count, size_t size) noexcept nogil:
    global _armed
    cdef size_t first = size
    cdef size_t at = 0
    cdef uint64_t one = 1
    if __atomic_exchange_n(&_armed, 0, __ATOMIC_SEQ_CST):
        first = size // 2
        if self.datagram:
            first -= first % self.datagram
    if send_all(self, &pieces, &at, first) < 0:
        return -errno
    if first < size:
        write(_inside_fd, &one, sizeof(one))
        read(_open_fd, &one, sizeof(one))
        if send_all(self, &pieces, &at, size - first) < 0:
            return -errno
    return <Py_ssize_t>size


cdef int send_all(transport_t* self, iovec** pieces, size_t* at, size_t size) noexcept nogil:
    """Send the next `size` bytes; -1 and errno when the socket does not take them."""
    cdef char gathered[DATAGRAM_BYTES]
    cdef size_t most = self.datagram if self.datagram else DATAGRAM_BYTES
    cdef size_t filled
    while size:
        filled = 0
        while filled < min(size, most):
            gathered[filled] = (<const char*>pieces[0].iov_base)[at[0]]
            pass_bytes(pieces, at, 1)
            filled += 1
        if send(self.fd, gathered, filled, MSG_NOSIGNAL) < <Py_ssize_t>filled:
            return -1
        size -= filled
    return 0


def arm():
    """The next send of any GatedTransport stops in its middle."""
    __atomic_exchange_n(&_armed, 1, __ATOMIC_SEQ_CST)


def wait_until_inside():
    """Returns once that send has sent its first half."""
    cdef uint64_t count
    with nogil:
        read(_inside_fd, &count, sizeof(count))


def open_gate():
    """The send goes on with its second half."""
    cdef uint64_t count = 1
    write(_open_fd, &count, sizeof(count))


cdef class GatedTransport(Transport):
    """GatedTransport(fd, datagram_bytes): a connected blocking socket, owned from here on; 0: a byte stream."""

    def __cinit__(self, int fd, uint32_t datagram_bytes):
        self.c.send = send_in_halves
        self.c.fd = fd
        self.c.datagram = datagram_bytes
        self.c.class_ = CLASS_UDP if datagram_bytes else CLASS_TCP
