"""RtmpMuxer: frames to RTMP messages that all peers share (FLV 10.1, E.4.2 and E.4.3 as message bodies).

Every message in the ring is framed as fmt 1: the message stream id is inherited and the time is a delta to the track's message
before, so the bytes are the same for every connection, whatever its stream id and time zero, and the 24-bit limit of absolute times
never applies.  What a joining connection needs first (onMetaData, the sequence headers) stands before each key span as lead-in material: for each
message the time (ms, relative to a zero that the material begins with), csid, type and body.  A sequence header carries the time of its track's *last message before
the key span*, so that the first shared delta continues from it.  `rtmp_lead_in` turns the material into fmt 0 messages with the
peer's message stream id and the peer's own time zero.

Milliseconds are rounded from absolute 90 kHz values, never summed from rounded deltas.
"""
from libc.stdint cimport INT64_MIN, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from pushcast.chunk cimport HEADER_MAX, put_fmt0, put_fmt1, put_fmt3
from pushcast.frame cimport FRAME_CONFIG, FRAME_KEY, Frame
from pushcast.muxer cimport Muxer, peer_t
from pushcast.ring cimport SPAN_CONFIG, SPAN_KEY, Ring
from pushcast.wire cimport get_u24, get_u32, put_u8, put_u24, put_u32

from pushcast import __version__
from pushcast.errors import MediaError
from pushcast.media import Codec, Kind
from pushcast.rtmp import amf0

cdef enum:
    TYPE_AUDIO = 8
    TYPE_VIDEO = 9
    TYPE_DATA = 18
    CSID_AUDIO = 4
    CSID_DATA = 5
    CSID_VIDEO = 6
    VIDEO_HEAD = 5               # frame type and codec, packet type, composition time
    AUDIO_HEAD = 2
    LEAD_MESSAGE_HEAD = 9        # time(4) csid(1) type(1) length(3)
    MAX_CONFIG_BYTES = 65536     # a decoder configuration record beyond this is an attack, not a stream

cdef int64_t AUDIO_KEY_MS = 400      # join points of a feed without video
cdef int64_t START_MARGIN_MS = 100   # how far a track's first message may lie before the feed's first without losing its exact time
cdef int64_t MAX_DELTA_MS = 0xFFFFFE # 4.6 h: no gap inside a feed is longer, and no extended delta is ever needed


cdef inline int64_t to_ms(int64_t ticks) noexcept nogil:
    """90 kHz to milliseconds, rounded to the nearest."""
    return (ticks + 45) // 90


cdef Py_ssize_t rtmp_lead_in(const uint8_t* lead, uint32_t lead_size, peer_t* peer, uint8_t* out, size_t cap) noexcept nogil:
    """Lead-in material as fmt 0 messages of one chunk each.  -1 when cap is too small."""
    cdef int64_t zero_ms
    cdef uint8_t* p = out
    cdef const uint8_t* at = lead + 8
    cdef const uint8_t* end = lead + lead_size
    cdef uint32_t timestamp_ms
    cdef uint32_t length
    memcpy(&zero_ms, lead, 8)
    if peer.zero_ms < 0:
        peer.zero_ms = zero_ms
    while at + LEAD_MESSAGE_HEAD <= end:
        timestamp_ms = <uint32_t>(get_u32(at) + <uint64_t>(zero_ms - peer.zero_ms))
        length = get_u24(at + 6)
        if <size_t>(p - out) + HEADER_MAX + length > cap:
            return -1
        p = put_fmt0(p, at[4], timestamp_ms, length, at[5], peer.message_stream_id)
        memcpy(p, at + LEAD_MESSAGE_HEAD, length)
        p += length
        at += LEAD_MESSAGE_HEAD + length
    return p - out


cdef class RtmpMuxer(Muxer):
    """RtmpMuxer(ring, tracks, chunk_size=65536)

    ``tracks``: at most one video and one audio Track, H.264 and AAC.  ``chunk_size``: what each peer is told with Set Chunk Size before media.
    MediaError names the track that this container cannot carry.
    """

    def __cinit__(self, Ring ring not None, tracks, uint32_t chunk_size=65536):
        if not 128 <= chunk_size <= 0xFFFFFF:
            raise ValueError(f"chunk_size: found {chunk_size}, expected 128 to 16777215")
        self.ring = ring
        self.lead_in = rtmp_lead_in
        self.chunk_size = chunk_size
        self.key_ms = INT64_MIN
        self.configs = []
        for track in tracks:
            self._add(track)
        if not self.track_count:
            raise MediaError("no track for RTMP")
        self.metadata = _metadata_body(tracks)

    def _add(self, track):
        cdef flv_track_t* own
        if track.codec not in (Codec.H264, Codec.AAC):
            raise MediaError(f"track {track.id} is {track.codec.name}: RTMP carries H264 and AAC")
        kinds = {self.tracks[index].video for index in range(self.track_count)}
        video = track.kind is Kind.VIDEO
        if video in kinds:
            raise MediaError(f"track {track.id} is a second {track.kind.value.lower()} track: RTMP carries one")
        own = &self.tracks[self.track_count]
        own.id = track.id
        own.video = video
        own.csid = CSID_VIDEO if video else CSID_AUDIO
        own.type = TYPE_VIDEO if video else TYPE_AUDIO
        own.last_ms = INT64_MIN
        self.has_video = self.has_video or video
        self.track_count += 1
        self.configs.append(_config_body(video, track.config))

    cdef flv_track_t* _track(self, uint32_t id) noexcept nogil:
        cdef int index
        for index in range(self.track_count):
            if self.tracks[index].id == id:
                return &self.tracks[index]
        return NULL

    cdef int write(self, const Frame* frame) except -1:
        """One frame becomes one message, one span.  FRAME_CONFIG becomes a sequence header message."""
        cdef flv_track_t* track = self._track(frame.track)
        cdef size_t head_size, lead_bytes = 0
        cdef int64_t ms, delta_ms
        cdef uint32_t flags = 0
        cdef uint8_t* room
        cdef uint8_t* p
        if track == NULL:
            return 0
        if frame.flags & FRAME_CONFIG:
            return self._write_config(frame, track, <int>(track - self.tracks))
        if frame.size == 0:
            return 0
        ms = to_ms(frame.dts)
        if track.last_ms == INT64_MIN:
            self._start(ms)
        head_size = VIDEO_HEAD if track.video else AUDIO_HEAD
        if self._joins_at(frame, track, ms):
            flags = SPAN_KEY
            lead_bytes = self._lead_bytes()
        room = self.ring.reserve(lead_bytes + self._framed_bytes(head_size + frame.size))
        p = self._put_lead(room) if flags & SPAN_KEY else room
        lead_bytes = <size_t>(p - room)
        delta_ms = min(max(ms - track.last_ms, 0), MAX_DELTA_MS)
        track.last_ms += delta_ms
        p = put_fmt1(p, track.csid, <uint32_t>delta_ms, <uint32_t>(head_size + frame.size), track.type)
        if track.video:
            p = put_u8(p, 0x17 if frame.flags & FRAME_KEY else 0x27)
            p = put_u8(p, 1)
            p = put_u24(p, <uint32_t>(to_ms(frame.pts) - ms) & 0xFFFFFF)
        else:
            p = put_u8(p, 0xAF)
            p = put_u8(p, 1)
        p = self._put_body(p, track.csid, head_size, frame.data, frame.size)
        self.ring.commit(<uint32_t>lead_bytes, <uint32_t>(p - room - lead_bytes), frame.dts, flags, frame.track)
        return 0

    cdef void _start(self, int64_t ms) noexcept nogil:
        """The feed's first frame: every track's deltas count from shortly before it."""
        cdef int index
        for index in range(self.track_count):
            self.tracks[index].last_ms = ms - START_MARGIN_MS

    cdef bint _joins_at(self, const Frame* frame, const flv_track_t* track, int64_t ms) noexcept nogil:
        """Whether a cursor may join here; without video that is so at every AUDIO_KEY_MS."""
        if self.has_video:
            return track.video and frame.flags & FRAME_KEY
        if self.key_ms != INT64_MIN and ms - self.key_ms < AUDIO_KEY_MS:
            return False
        self.key_ms = ms
        return True

    cdef int _write_config(self, const Frame* frame, flv_track_t* track, int index) except -1:
        """A new configuration: a sequence header for those who watch, and from now on for those who join."""
        body = _config_body(track.video, (<const char*>frame.data)[:frame.size])
        if body == self.configs[index]:
            return 0
        self.configs[index] = body
        if track.last_ms == INT64_MIN:
            return 0
        cdef size_t size = len(body)
        cdef uint8_t* room = self.ring.reserve(self._framed_bytes(size))
        cdef uint8_t* p = put_fmt1(room, track.csid, 0, <uint32_t>size, track.type)
        p = self._put_body(p, track.csid, 0, <const uint8_t*><const char*>body, size)
        self.ring.commit(0, <uint32_t>(p - room), frame.dts, SPAN_CONFIG, frame.track)
        return 0

    cdef size_t _framed_bytes(self, size_t body) noexcept nogil:
        """Upper bound of a message with its chunk headers."""
        return HEADER_MAX + body + (body // self.chunk_size if body > self.chunk_size else 0)

    cdef uint8_t* _put_body(self, uint8_t* p, uint32_t csid, size_t filled, const uint8_t* data, size_t size) noexcept nogil:
        """The rest of a message whose first chunk holds `filled` bytes: fmt 3 stands at each chunk boundary.

        No delta is so large that fmt 3 would repeat it (MAX_DELTA_MS).
        """
        cdef size_t piece = self.chunk_size - filled
        while size > piece:
            memcpy(p, data, piece)
            p = put_fmt3(p + piece, csid, 0)
            data += piece
            size -= piece
            piece = self.chunk_size
        memcpy(p, data, size)
        return p + size

    cdef size_t _lead_bytes(self) except 0:
        cdef size_t total = 8 + LEAD_MESSAGE_HEAD + len(self.metadata)
        for body in self.configs:
            total += LEAD_MESSAGE_HEAD + len(<bytes>body)
        return total

    cdef uint8_t* _put_lead(self, uint8_t* p) except NULL:
        cdef int64_t zero_ms = self.tracks[0].last_ms
        cdef int index
        for index in range(1, self.track_count):
            zero_ms = min(zero_ms, self.tracks[index].last_ms)
        memcpy(p, &zero_ms, 8)
        p = put_lead_message(p + 8, 0, CSID_DATA, TYPE_DATA, self.metadata)
        for index in range(self.track_count):
            body = <bytes>self.configs[index]
            if body:
                p = put_lead_message(p, <uint32_t>(self.tracks[index].last_ms - zero_ms), self.tracks[index].csid,
                                     self.tracks[index].type, body)
        return p


cdef uint8_t* put_lead_message(uint8_t* p, uint32_t time_ms, uint32_t csid, uint32_t type, bytes body) except NULL:
    cdef size_t size = len(body)
    p = put_u32(p, time_ms)
    p = put_u8(p, csid)
    p = put_u8(p, type)
    p = put_u24(p, <uint32_t>size)
    memcpy(p, <const uint8_t*><const char*>body, size)
    return p + size


def _config_body(bint video, bytes config):
    """Body of a sequence header message; empty while the configuration is unknown."""
    if len(config) > MAX_CONFIG_BYTES - VIDEO_HEAD:
        raise MediaError(f"a decoder configuration record of {len(config)} bytes: at most {MAX_CONFIG_BYTES - VIDEO_HEAD} are taken")
    if not config:
        return b""
    return (b"\x17\x00\x00\x00\x00" if video else b"\xaf\x00") + config


def _metadata_body(tracks):
    """@setDataFrame onMetaData of these tracks (FLV 10.1, E.5)."""
    values: dict[str, object] = {"duration": 0.0, "encoder": f"pushcast/{__version__}"}
    for track in tracks:
        if track.kind is Kind.VIDEO:
            values |= {"videocodecid": 7.0}
            known = {"width": track.width, "height": track.height, "framerate": track.frame_rate, "videodatarate": track.bitrate / 1000}
        else:
            values |= {"audiocodecid": 10.0, "audiosamplesize": 16.0, "stereo": track.channels != 1}
            known = {"audiosamplerate": track.sample_rate, "audiodatarate": track.bitrate / 1000}
        values |= {name: float(value) for name, value in known.items() if value}
    return amf0.encode("@setDataFrame", "onMetaData", amf0.EcmaArray(values))
