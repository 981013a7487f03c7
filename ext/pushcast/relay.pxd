"""Relay: frames of one source to another one, whose tracks come from several."""
cimport cython
from libc.stdint cimport int64_t, uint32_t

from pushcast.frame cimport Frame
from pushcast.source cimport MAX_TRACKS, FrameTap, Source

ctypedef struct relayed_t:
    uint32_t source          # id of the track there
    uint32_t target          # and here
    bint is_video
    bint begun               # False until the first frame that can be decoded by itself


@cython.final
cdef class Relay(FrameTap):
    cdef readonly Source origin
    cdef Source target
    cdef list group              # the relays of the target, this one too, when time stamps say what belongs together; else None
    cdef relayed_t relayed[MAX_TRACKS]
    cdef int track_count
    cdef list configs            # bytes | None of each track: what its decoder needs, said before the first frame
    cdef readonly int64_t shift  # 90 kHz: time here minus engine time there
    cdef readonly bint aligned   # its time stamps agree with those of another relay of the group
    cdef int64_t known_offset    # the origin's, when the shift was made
    cdef bint placed
    cdef int64_t base            # the shift of who belongs to nobody
    cdef int64_t window_end      # engine time, as the origin has it
    cdef int64_t least_late      # in this window, by the engine clock
    cdef int64_t usual_late      # in the first window

    cdef int _begin(self, relayed_t* track, int index, const Frame* frame) except -1
    cdef void _place(self) noexcept
    cdef void _follow_clock(self, int64_t dts) noexcept
