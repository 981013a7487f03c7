"""What a session is held against once a second.  Theory in health.py."""
cimport cython
from libc.stdint cimport int64_t, uint64_t

from pushcast.destination cimport Destination
from pushcast.transport cimport seen_t

ctypedef struct figures_t:       # of a destination's counters those that tell of its health
    uint64_t sent_bytes
    uint64_t jumps
    uint64_t refused
    uint64_t lag_ms
    int64_t last_send_ns
    int64_t blocked_ns


@cython.final
cdef class Pulse:
    cdef Destination destination
    cdef int64_t stalled_ns
    # of the look before:
    cdef int64_t at_ns
    cdef figures_t figures
    cdef seen_t seen
    cdef bint confirms                   # something was confirmed before
    cdef int64_t confirmed_ns            # when that changed, or nothing was owed
    cdef int trouble                     # what was lost, FOUND_WELL for nothing
    cdef double trouble_figure
    cdef int64_t trouble_ns
    # what it found:
    cdef readonly double bits_per_s
    cdef readonly double confirmed_time
    cdef readonly double figure

    cdef int weigh(self, const figures_t* figures, const seen_t* seen, bint overloaded, int64_t now_ns) noexcept nogil
    cdef double waits_s(self, const seen_t* seen, int64_t now_ns) noexcept nogil
    cdef void note_trouble(self, const figures_t* figures, const seen_t* seen, int64_t now_ns) noexcept nogil
