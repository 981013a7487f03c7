"""Pace: how much of what waits may leave now.  Theory in pace.pyx."""
from libc.stdint cimport int64_t, uint32_t, uint64_t

from pushcast.ring cimport ring_t

cdef enum:
    PACE_NONE = 0                # everything that is there
    PACE_CONSTANT = 1            # at a constant bit rate
    PACE_FRAME = 2               # each frame within the time until the next one

ctypedef struct pace_t:
    uint32_t kind                # PACE_*
    uint32_t track               # PACE_FRAME: whose frames give the time
    uint64_t bits_per_s          # PACE_CONSTANT
    uint64_t seen                # spans before this one are counted
    uint64_t waiting_bytes       # from the cursor up to there
    int64_t zero_ns              # PACE_CONSTANT: when bit 0 left; 0 while it gathers its stock
    int64_t gathered_ns          # when the stock is large enough; 0 while there is none
    int64_t sent_bits            # since zero_ns
    uint64_t least_bytes         # the smallest stock of the second that lasts
    int64_t frame_ns             # PACE_FRAME: from one frame to the next
    int64_t frame_dts            # of the newest frame seen, INT64_MIN before the first
    int64_t last_ns
    uint64_t bytes_per_s
    uint64_t batch_bytes         # what the rate was made for and has not left yet
    int64_t credit               # bytes

cdef void pace_constant(pace_t* pace, uint64_t bits_per_s) noexcept nogil
cdef void pace_by_frame(pace_t* pace) noexcept nogil
cdef void pace_from(pace_t* pace, uint64_t seq) noexcept nogil
cdef size_t pace_allows(pace_t* pace, const ring_t* ring, int64_t due_dts, int64_t now_ns) noexcept nogil
cdef void pace_took(pace_t* pace, size_t taken) noexcept nogil
