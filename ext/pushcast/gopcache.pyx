"""GopCache: what a feed that is created later is filled from.

The frames of all tracks since before the newest keyframe lie in a ring of their own, so a push that starts in the middle of a GOP, or waited for the stream,
begins with a keyframe at once.  A stream without video has a join point every AUDIO_KEY_TICKS.

One thread at a time: whoever has the lock of the source.
"""
from libc.stdint cimport INT64_MIN, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from pushcast.frame cimport FRAME_KEY, Frame, frame_of
from pushcast.muxer cimport Muxer
from pushcast.ring cimport NO_SPAN, SPAN_KEY, Ring, Span, ring_span

cdef enum:
    CACHE_BYTES = 64 << 20
    CACHE_START_BYTES = 1 << 20
    CACHE_SPANS = 8192
    CACHE_MS = 2000
    HEAD_BYTES = 12              # in front of the data of each: PTS and flags
    HEAD_ROOM = 16

cdef int64_t AUDIO_KEY_TICKS = 400 * 90


cdef class GopCache:
    """GopCache(): empty, of a stream without video."""

    def __cinit__(self):
        self.forget()

    def joins_at(self, key_track):
        """Keyframes of this track are join points; None: there is no video."""
        self.has_video = key_track is not None
        self.key_track = key_track or 0

    cdef int remember(self, const Frame* frame) except -1:
        """MediaError for a frame that is larger than a quarter of the cache."""
        cdef uint32_t flags = frame.flags & ~<uint32_t>FRAME_KEY
        if self.has_video:
            if frame.flags & FRAME_KEY and frame.track == self.key_track:
                flags |= SPAN_KEY
        elif self.key_dts == INT64_MIN or frame.dts - self.key_dts >= AUDIO_KEY_TICKS:
            flags |= SPAN_KEY
            self.key_dts = frame.dts
        cdef uint8_t* room = self.ring.reserve(frame.size + HEAD_ROOM)
        memcpy(room, &frame.pts, 8)
        memcpy(room + 8, &frame.flags, 4)
        if frame.size:
            memcpy(room + HEAD_BYTES, frame.data, frame.size)
        self.ring.commit(0, <uint32_t>(frame.size + HEAD_BYTES), frame.dts, flags, frame.track)
        return 0

    cdef bint recall(self, uint64_t seq, Span* span, Frame* frame) noexcept:
        """Frame `seq`, which lies in the ring; False behind the newest one."""
        cdef const uint8_t* stored
        if not ring_span(&self.ring.c, seq, span):
            return False
        stored = self.ring.c.arena + span.offset
        memcpy(&frame.pts, stored, 8)
        memcpy(&frame.flags, stored + 8, 4)
        frame.data = stored + HEAD_BYTES
        frame.size = span.size - HEAD_BYTES
        frame.dts = span.dts
        frame.track = span.track
        return True

    cdef int replay(self, Muxer muxer) except -1:
        """Write what is there from the newest keyframe on."""
        cdef Span span
        cdef Frame frame
        if self.ring.c.last_key == NO_SPAN:
            return 0
        cdef uint64_t seq = max(self.ring.c.last_key, self.ring.c.tail)
        while self.recall(seq, &span, &frame):
            muxer.write(&frame)
            seq += 1
        return 0

    cdef int forget(self) except -1:
        """What is there is of a stream that nobody will see."""
        self.ring = Ring(CACHE_BYTES, CACHE_START_BYTES, CACHE_SPANS, CACHE_MS)
        self.key_dts = INT64_MIN
        return 0

    def push(self, uint32_t track, int64_t dts, int64_t pts, uint32_t flags, const uint8_t[::1] data not None):
        """`remember`, for those who have the frame in Python."""
        cdef Frame frame = frame_of(track, dts, pts, flags, &data[0] if data.shape[0] else NULL, <size_t>data.shape[0])
        self.remember(&frame)

    def fill(self, Muxer muxer not None):
        """`replay`, likewise."""
        self.replay(muxer)

    def recent(self):
        """What is there, oldest first: (track, dts, pts, flags, data) of each frame."""
        cdef uint64_t seq = self.ring.c.tail
        cdef Span span
        cdef Frame frame
        found = []
        while self.recall(seq, &span, &frame):
            found.append((frame.track, frame.dts, frame.pts, frame.flags, (<const char*>frame.data)[:frame.size]))
            seq += 1
        return found
