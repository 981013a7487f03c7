"""RtmpMuxer: frames to RTMP messages."""
cimport cython
from libc.stdint cimport int64_t, uint8_t, uint32_t

from pushcast.frame cimport Frame
from pushcast.muxer cimport Muxer

cdef enum:
    MAX_FLV_TRACKS = 32          # what a Source has
    HEAD_MOST = 16               # of a tag, before its body

ctypedef struct flv_track_t:
    uint32_t id                  # Track.id
    bint video
    bint enhanced                # its tags begin with FourCCs
    bint composed                # the head ends with a composition time
    uint32_t csid
    uint32_t type                # message type: 8 audio, 9 video
    uint8_t[HEAD_MOST] head      # of a frame's tag, as of no keyframe and composition time 0
    uint32_t head_size
    uint8_t key_byte             # its first byte for a keyframe; of audio the same
    int64_t last_ms              # engine time of the track's last message, as it was sent; INT64_MIN before the first


@cython.final
cdef class RtmpMuxer(Muxer):
    cdef flv_track_t tracks[MAX_FLV_TRACKS]
    cdef int track_count
    cdef bint has_video
    cdef int key_index                         # of the video whose keyframes are join points
    cdef uint32_t chunk_size
    cdef bint nanos                            # presentation times between two milliseconds are said
    cdef bytes metadata                        # body of the onMetaData message
    cdef list carried                          # (codec, track id of the messages) by track index
    cdef list configs                          # body of each track's sequence header message, by track index
    cdef list colours                          # body of each track's metadata message, by track index
    cdef frozenset cues                        # tracks of splice information
    cdef int64_t key_ms                        # of the newest key span without video

    cdef flv_track_t* _track(self, uint32_t id) noexcept nogil
    cdef size_t _lead_bytes(self) except 0
    cdef size_t _framed_bytes(self, size_t body) noexcept nogil
    cdef uint8_t* _put_lead(self, uint8_t* p) except NULL
    cdef void _start(self, int64_t ms) noexcept nogil
    cdef bint _joins_at(self, const Frame* frame, const flv_track_t* track, int64_t ms) noexcept nogil
    cdef uint8_t* _put_body(self, uint8_t* p, uint32_t csid, size_t filled, const uint8_t* data, size_t size) noexcept nogil
    cdef int _write_config(self, const Frame* frame, flv_track_t* track, int index) except -1
    cdef int _write_other(self, const Frame* frame, flv_track_t* track) except -1
    cdef int _write_beside(self, const Frame* frame, flv_track_t* track, uint32_t type, bytes body) except -1
