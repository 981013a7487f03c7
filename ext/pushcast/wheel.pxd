"""A wheel of slots: who has a turn when.  Theory in wheel.pyx."""
cimport cython
from libc.stdint cimport int64_t, uint32_t, uint64_t

cdef enum:
    SLOT_MS = 4
    MAX_SLOTS = 64               # of a turn: 256 ms

ctypedef struct seat_t:          # embedded first in what sits there, so that a seat's address is its owner's
    uint32_t slot
    uint32_t place

ctypedef struct wheel_t:
    uint64_t slots               # an interval is this many slots now; stored with release order
    int64_t slot_ns
    int64_t last_slot            # the last one that was run
    uint32_t least_slots         # as configured
    uint32_t most_slots          # it never grows beyond
    uint64_t population          # members of all slots; stored with release order
    int64_t interval_ns
    uint64_t busy_ns             # time spent in its turns since the load was last judged
    seat_t** members[MAX_SLOTS]
    uint32_t count[MAX_SLOTS]
    uint32_t room[MAX_SLOTS]


@cython.final
cdef class Wheel:
    cdef wheel_t c

cdef bint wheel_enter(wheel_t* wheel, seat_t* seat) noexcept nogil
cdef void wheel_leave(wheel_t* wheel, seat_t* seat) noexcept nogil
cdef int64_t next_turn_ns(const wheel_t* wheel) noexcept nogil
cdef int judge(wheel_t** wheels, int count, int64_t window_ns, uint32_t* calm_windows) noexcept nogil
