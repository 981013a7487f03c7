"""Clocks of so many bits: what lies how far from what."""
from libc.stdint cimport int64_t


cdef inline int64_t nearest(int64_t distance, int64_t wrap) noexcept nogil:
    """The same distance, give or take whole wraps, that is nearest to 0."""
    distance %= wrap
    if distance < 0:
        distance += wrap
    return distance - wrap if distance >= wrap // 2 else distance
