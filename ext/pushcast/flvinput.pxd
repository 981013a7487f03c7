"""FlvInput: a publisher's media messages to frames."""
cimport cython
from libc.stdint cimport int64_t, uint8_t, uint32_t

from pushcast.flvtag cimport flv_tag_t
from pushcast.message cimport MediaSink
from pushcast.source cimport Source

cdef enum:
    INPUT_TRACKS_MOST = 32       # what a Source takes

ctypedef struct input_track_t:
    bint video
    uint32_t track_id            # the publisher's
    uint32_t fourcc
    uint32_t id                  # Track.id
    bint known                   # a decoder could be made


@cython.final
cdef class FlvInput(MediaSink):
    cdef readonly Source source
    cdef readonly tuple tracks                 # what was announced so far
    cdef set expected                          # (is video, track id) that onMetaData promised, None when it did not say
    cdef dict metadata_values
    cdef input_track_t[INPUT_TRACKS_MOST] inputs
    cdef int input_count
    cdef int plain_video                       # place of the H.264 and the AAC that come in the plain form, -1: none yet
    cdef int plain_audio
    cdef int64_t last_ms                       # unwrapped; INT64_MIN before the first message
    cdef int64_t first_ms
    cdef bint has_frames
    cdef readonly bint frozen                  # the stream was announced: its tracks are fixed
    cdef readonly int late_tracks              # tracks of media that came after that

    cdef int64_t _unwrap(self, uint32_t timestamp_ms) noexcept
    cdef input_track_t* _input(self, bint video, const flv_tag_t* tag) except NULL
    cdef int _plain(self, bint video, int64_t ms, const uint8_t* data, size_t size) except -1
    cdef int _take(self, bint video, int64_t ms, const flv_tag_t* tag) except -1
    cdef int _publish(self, const input_track_t* track, int64_t ms, const flv_tag_t* tag, uint32_t flags) except -1
