"""Transports with a queue of their own: is it more than they can carry?  Theory in overload.pyx."""
from libc.stdint cimport int64_t, uint32_t

from pushcast.counters cimport counters_t
from pushcast.transport cimport transport_t

cdef enum:
    LOAD_AS_BEFORE = 0
    LOAD_TOO_MUCH = 1
    LOAD_EASY_AGAIN = 2

ctypedef struct overload_t:
    int64_t look_at_ns           # when to look next
    uint32_t strained_looks      # in a row
    uint32_t easy_looks
    bint overloaded

cdef int look_for_overload(overload_t* overload, transport_t* transport, counters_t* row, int64_t now_ns) noexcept nogil
