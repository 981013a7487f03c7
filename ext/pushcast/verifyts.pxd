"""MPEG-TS stream checker: what ISO/IEC 13818-1 asks of a transport stream, held against bytes as they come.

Sans-IO and of fixed size: no allocation, no clock, bounded numbers of PIDs and programs.
"""
from libc.stdint cimport uint8_t, uint64_t

from pushcast.tscheck cimport ts_check_t

cdef void ts_check_init(ts_check_t* c) noexcept nogil
# What was between is gone, and nobody is held to account for it.
cdef void ts_lost(ts_check_t* c) noexcept nogil
# One datagram: whole packets from its first byte on.
cdef void ts_check_datagram(ts_check_t* c, const uint8_t* data, size_t size) noexcept nogil
# Any piece of a byte stream.  Returns 0, or -1 when it is not MPEG-TS at all.
cdef int ts_check_stream(ts_check_t* c, const uint8_t* data, size_t size) noexcept nogil
cdef uint64_t ts_check_errors(const ts_check_t* c) noexcept nogil
# What was counted, as Python: the errors that occurred, and the figures.
cdef dict ts_check_error_counts(const ts_check_t* c)
cdef dict ts_check_figures(const ts_check_t* c)
