"""Source: frames of one input, written once to every feed that some push wants."""
cimport cython
from libc.stdint cimport int64_t, uint32_t, uint64_t

from pushcast.feed cimport Feed
from pushcast.frame cimport Frame
from pushcast.gopcache cimport GopCache
from pushcast.measured cimport measured_t
from pushcast.wakeup cimport pthread_mutex_t

cdef enum:
    MAX_TRACKS = 32

ctypedef struct track_clock_t:
    uint32_t id
    int64_t last_dts             # newest DTS handed on, INT64_MIN before the first
    measured_t measured


@cython.final
cdef class Clock:
    cdef readonly int64_t base   # 90 kHz: wall clock at creation
    cdef int64_t start_ns        # CLOCK_MONOTONIC at creation
    cdef int64_t held_ns         # what stands in its place once somebody advances the clock; 0: nobody does

    cdef int64_t read(self) noexcept nogil


cdef class FrameTap:
    cdef int take(self, Frame* frame) except -1


@cython.final
cdef class Source:
    cdef readonly Clock clock
    cdef readonly tuple tracks
    cdef readonly bint ended
    cdef dict feeds              # FeedKey -> Feed
    cdef list writers            # the feeds, replaced as a whole when they change
    cdef list taps               # likewise; None: there is none
    cdef pthread_mutex_t mutex   # of feeds, writers and tracks: frames come on one thread, pushes on another
    cdef GopCache cache          # so that a new feed starts with a keyframe
    cdef track_clock_t clocks[MAX_TRACKS]
    cdef int track_count
    cdef bint anchored           # False until the first frame set the offset
    cdef int64_t offset          # engine time minus input time
    cdef int64_t moved           # ... and what of it was added before it came: `rebased`
    cdef bint anew
    cdef int64_t floor_dts       # nothing goes out before this
    cdef int64_t newest_dts
    cdef readonly int64_t behind # 90 kHz: the engine clock minus the newest DTS, when that was measured last
    cdef int64_t measure_dts     # ... and when it will be again
    cdef readonly uint64_t frame_count
    cdef readonly uint64_t byte_count

    cdef int publish(self, Frame* frame) except -1
    cdef int take(self, Frame* frame) except -1
    cdef int _tell(self, list failed) except -1
    cdef int _pass_on(self, const Frame* frame) except -1
    cdef void _lock(self) noexcept
    cdef list _write(self, Frame* frame, track_clock_t* clock)
    cdef Feed _new_feed(self, key)
    cdef track_clock_t* _clock_of(self, uint32_t track) noexcept nogil
    cdef void _onto_engine_time(self, Frame* frame) noexcept
    cdef void rebased(self, int64_t distance) noexcept
    cdef void _put_in_order(self, Frame* frame, track_clock_t* clock) noexcept
    cdef _drop(self, Feed feed)
