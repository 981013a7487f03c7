"""RtmpMuxer: frames to RTMP messages."""
cimport cython
from libc.stdint cimport int64_t, uint8_t, uint32_t

from pushcast.frame cimport Frame
from pushcast.muxer cimport Muxer

cdef enum:
    MAX_FLV_TRACKS = 2           # FLV 10.1 has one video and one audio track

ctypedef struct flv_track_t:
    uint32_t id                  # Track.id
    bint video
    uint32_t csid
    uint32_t type                # message type: 8 audio, 9 video
    int64_t last_ms              # engine time of the track's last message, as it was sent; INT64_MIN before the first


@cython.final
cdef class RtmpMuxer(Muxer):
    cdef flv_track_t tracks[MAX_FLV_TRACKS]
    cdef int track_count
    cdef bint has_video
    cdef uint32_t chunk_size
    cdef bytes metadata                        # body of the onMetaData message
    cdef list configs                          # body of each track's sequence header message, by track index
    cdef int64_t key_ms                        # of the newest key span without video

    cdef flv_track_t* _track(self, uint32_t id) noexcept nogil
    cdef size_t _lead_bytes(self) except 0
    cdef size_t _framed_bytes(self, size_t body) noexcept nogil
    cdef uint8_t* _put_lead(self, uint8_t* p) except NULL
    cdef void _start(self, int64_t ms) noexcept nogil
    cdef bint _joins_at(self, const Frame* frame, const flv_track_t* track, int64_t ms) noexcept nogil
    cdef uint8_t* _put_body(self, uint8_t* p, uint32_t csid, size_t filled, const uint8_t* data, size_t size) noexcept nogil
    cdef int _write_config(self, const Frame* frame, flv_track_t* track, int index) except -1
