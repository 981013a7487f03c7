"""Sockets that bring a transport stream: theory in tssocket.pyx."""
cimport cython
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from pushcast.mediasocket cimport ReadySocket
from pushcast.tstap cimport TsTap


cdef class TsSocket(ReadySocket):
    cdef readonly TsTap tap


@cython.final
cdef class TsStreamSocket(TsSocket):
    pass


@cython.final
cdef class TsDatagramSocket(TsSocket):
    cdef bint rtp
    cdef int64_t silent_ns               # how long the sender may be silent before another one is taken
    cdef uint8_t[28] sender              # its address, as the kernel gives it
    cdef uint32_t sender_bytes           # 0: none yet
    cdef readonly uint64_t strangers     # datagrams of others than the sender
    cdef readonly uint64_t malformed     # datagrams that are no RTP
    cdef readonly uint64_t lost          # RTP packets that did not come, by their numbers
    cdef int next_number                 # of RTP, -1 before the first
    cdef size_t payload_at(self, const uint8_t* data, size_t* size) noexcept nogil
    cdef int64_t take(self, const uint8_t* data, size_t size, const uint8_t* sender, uint32_t sender_bytes) except -1
