"""The fields of CbrMuxer."""
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from pushcast.frame cimport Frame
from pushcast.mpegts cimport TsMuxer
from pushcast.pes cimport es_t, scatter_t


cdef class CbrMuxer(TsMuxer):
    cdef uint64_t bits_per_s
    cdef int64_t clock           # 27 MHz: when the first byte of the next packet leaves; NEVER before the first frame
    cdef uint64_t clock_rest     # what the clock lacks of it, in bits_per_s-ths
    cdef int64_t packet_time     # 27 MHz, of one packet, rounded down
    cdef uint64_t packet_rest
    cdef int64_t base_delay      # 27 MHz, from the first byte of a packet to the last bit of its PCR's base
    cdef bint clock_jumped       # its next PCR is another clock's
    cdef uint64_t media_bytes    # of PES packets, since the clock began
    cdef int64_t first_dts
    cdef readonly uint64_t null_packets
    cdef readonly uint64_t late  # access units whose last byte left after their time of decoding

    cdef void _pass(self, uint64_t packets) noexcept nogil
    cdef size_t _packets_until(self, int64_t due) noexcept nogil
    cdef uint8_t* _put_due(self, uint8_t* out) noexcept nogil
    cdef uint8_t* _put_own_clock(self, uint8_t* out) noexcept nogil
    cdef int _fill(self, int64_t until) except -1
    cdef int _judge(self, const Frame* frame) except -1
