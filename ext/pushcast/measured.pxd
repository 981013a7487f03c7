"""What a track is like, by the frames that came."""
from libc.stdint cimport int64_t, uint64_t

from pushcast.frame cimport Frame

ctypedef struct measured_t:     # of one track, since it began; times at 90 kHz
    uint64_t bytes
    uint64_t frames
    int64_t first_dts
    int64_t last_pts
    uint64_t window_bytes        # as of the beginning of the window, which ends a second later
    uint64_t window_frames
    int64_t window_dts
    uint64_t latest_bits_per_s   # of the last window that ended, 0 before
    uint64_t latest_milliframes_per_s
    uint64_t keys
    uint64_t first_key           # number of that frame
    uint64_t last_key
    uint64_t key_interval        # in frames, between the last two; 0 before there were two
    uint64_t reordered           # frames that are shown before one that came earlier

cdef void measure(measured_t* measured, const Frame* frame) noexcept nogil
cdef dict measured_of(const measured_t* measured, int64_t last_dts)
