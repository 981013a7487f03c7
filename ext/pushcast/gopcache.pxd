"""GopCache: the frames since before the newest keyframe.  Theory in gopcache.pyx."""
cimport cython
from libc.stdint cimport int64_t, uint32_t, uint64_t

from pushcast.frame cimport Frame
from pushcast.muxer cimport Muxer
from pushcast.ring cimport Ring, Span


@cython.final
cdef class GopCache:
    cdef Ring ring
    cdef bint has_video
    cdef uint32_t key_track      # the track whose keyframes are join points
    cdef int64_t key_dts         # of the newest join point without video, INT64_MIN before the first

    cdef int remember(self, const Frame* frame) except -1
    cdef bint recall(self, uint64_t seq, Span* span, Frame* frame) noexcept
    cdef int replay(self, Muxer muxer) except -1
    cdef int forget(self) except -1
