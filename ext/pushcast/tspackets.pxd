"""PacketInput: the bytes of a transport stream to its packets.  Theory in tspackets.pyx."""
from libc.stdint cimport uint8_t, uint64_t

cdef enum:
    TS_BYTES = 188


cdef class PacketInput:
    cdef readonly bint frozen            # the stream was announced
    cdef uint8_t[TS_BYTES] carry         # the beginning of a packet
    cdef size_t carried
    cdef bint in_sync
    cdef uint64_t garbage                # bytes without sync since the last packet
    cdef readonly uint64_t sync_losses

    cdef int receive(self, const uint8_t* data, size_t size) except -1
    cdef size_t resync(self, const uint8_t* data, size_t size) except -1
    cdef int packet(self, const uint8_t* p) except -1
