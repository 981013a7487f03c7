"""NalParser: H.264 and HEVC of PES packets."""
from libc.stdint cimport int64_t, uint8_t, uint32_t

from pushcast.esparser cimport EsParser

cdef enum:
    SETS_MOST = 32           # parameter sets in one access unit; streams have two or three

ctypedef struct unit_t:
    const uint8_t* data
    size_t size
    uint32_t role            # NAL_*


cdef class NalParser(EsParser):
    cdef uint32_t number                 # the codec's, for nal_role
    cdef uint8_t* room                   # the access unit with lengths; grows to the largest
    cdef size_t capacity
    cdef bytes sets                      # parameter sets of the config, each behind its length

    cdef size_t lay(self, const uint8_t* data, size_t size, uint32_t* roles, unit_t* sets, uint32_t* set_count) noexcept nogil
    cdef int look_at_sets(self, const unit_t* sets, uint32_t count, int64_t dts) except -1
