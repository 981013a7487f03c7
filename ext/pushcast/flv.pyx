"""RtmpMuxer: frames to RTMP messages that all peers share (FLV 10.1, E.4.2 and E.4.3 as message bodies).

Every message in the ring is framed as fmt 1: the message stream id is inherited and the time is a delta to the track's message
before, so the bytes are the same for every connection, whatever its stream id and time zero, and the 24-bit limit of absolute times
never applies.  What a joining connection needs first (onMetaData, the sequence headers) stands before each key span as lead-in material: for each
message the time (ms, relative to a zero that the material begins with), csid, type and body.  A sequence header carries the time of its track's *last message before
the key span*, so that the first shared delta continues from it.  `rtmp_lead_in` turns the material into fmt 0 messages with the
peer's message stream id and the peer's own time zero.

Milliseconds are rounded from absolute 90 kHz values, never summed from rounded deltas.

Enhanced RTMP.  H.264, AAC and MP3 go out in the plain form unless everything is to be enhanced, other codecs under their
FourCCs.  The first video and the first audio are track 0; each further one is a OneTrack tag with a number of its own, on a
chunk stream of its own, so that its deltas are its own, too.  What stands beside the tracks (cue points, HDR colour) travels on
the chunk stream of a track, which keeps time for it.
"""
from libc.stdint cimport INT64_MIN, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from pushcast.chunk cimport HEADER_MAX, put_fmt0, put_fmt3
from pushcast.flvtag cimport AUDIO_MULTITRACK, TAG_CODED_FRAMES, TAG_METADATA, TAG_MOD_EX, TAG_MULTITRACK, TAG_SEQUENCE_START
from pushcast.frame cimport FRAME_BESIDE, FRAME_CONFIG, FRAME_DATA, FRAME_KEY, Frame
from pushcast.muxer cimport Muxer, peer_t
from pushcast.ring cimport SPAN_CONFIG, SPAN_KEY, Ring
from pushcast.wire cimport get_u24, get_u32, put_u8, put_u24, put_u32

from pushcast import __version__, fourcc, media
from pushcast.cuepoint import cue_point
from pushcast.errors import MediaError
from pushcast.media import Codec, Enhanced, Kind
from pushcast.rtmp import amf0

cdef enum:
    TYPE_AUDIO = 8
    TYPE_VIDEO = 9
    TYPE_DATA = 18
    CSID_AUDIO = 4
    CSID_DATA = 5
    CSID_VIDEO = 6
    CSID_MORE = 8                # of the tracks behind the first two
    LEAD_MESSAGE_HEAD = 9        # time(4) csid(1) type(1) length(3)
    MOD_EX_BYTES = 5             # with a nanosecond offset
    MAX_CONFIG_BYTES = 65531     # a decoder configuration record beyond this is an attack, not a stream

cdef int64_t AUDIO_KEY_MS = 400      # join points of a feed without video
cdef int64_t START_MARGIN_MS = 100   # how far a track's first message may lie before the feed's first without losing its exact time
cdef int64_t MAX_DELTA_MS = 0xFFFFFE # 4.6 h: no gap inside a feed is longer, and no extended delta is ever needed


cdef inline int64_t to_ms(int64_t ticks) noexcept nogil:
    """90 kHz to milliseconds, rounded to the nearest."""
    return (ticks + 45) // 90


cdef inline uint8_t* put_begin(uint8_t* p, const flv_track_t* track, uint32_t delta_ms, uint32_t length, uint32_t type) noexcept nogil:
    """put_fmt1, where the chunk stream id is below 64 and no delta is ever extended (MAX_DELTA_MS)."""
    p = put_u24(put_u8(p, 0x40 | track.csid), delta_ms)
    return put_u8(put_u24(p, length), type)


cdef inline uint8_t* put_head(uint8_t* p, const Frame* frame, const flv_track_t* track, int64_t ms) noexcept nogil:
    """The head of a frame's tag; HEAD_MOST bytes are written."""
    memcpy(p, &track.head[0], HEAD_MOST)
    if track.composed:
        put_u24(p + track.head_size - 3, <uint32_t>(to_ms(frame.pts) - ms) & 0xFFFFFF)
    if frame.flags & FRAME_KEY:
        p[0] = track.key_byte
    return p + track.head_size


cdef uint8_t* put_exact_head(uint8_t* p, const Frame* frame, const flv_track_t* track, int64_t ms) noexcept nogil:
    """With the milliseconds before the presentation time, and the nanoseconds behind them."""
    cdef uint8_t first = track.key_byte if frame.flags & FRAME_KEY else track.head[0]
    p = put_u8(p, first & 0xF0 | TAG_MOD_EX)
    p = put_u8(p, 2)
    p = put_u24(p, <uint32_t>(frame.pts % 90 * 1000000 // 90))
    p = put_u8(p, first & 0x0F)
    memcpy(p, &track.head[1], HEAD_MOST - 1)
    p += track.head_size - 1
    if track.composed:
        put_u24(p - 3, <uint32_t>(frame.pts // 90 - ms) & 0xFFFFFF)
    return p


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
    """RtmpMuxer(ring, tracks, chunk_size=65536, enhanced=Enhanced.AUTO, cues=())

    ``chunk_size``: what each peer is told with Set Chunk Size before media.  ``cues``: ids of tracks of splice information, whose
    sections go out as onCuePoint.  MediaError names the track that this container cannot carry, or not without enhanced RTMP.
    """

    def __cinit__(self, Ring ring not None, tracks, uint32_t chunk_size=65536, enhanced=Enhanced.AUTO, cues=()):
        if not 128 <= chunk_size <= 0xFFFFFF:
            raise ValueError(f"chunk_size: found {chunk_size}, expected 128 to 16777215")
        self.ring = ring
        self.lead_in = rtmp_lead_in
        self.chunk_size = chunk_size
        self.nanos = enhanced is Enhanced.ALWAYS
        self.key_ms = INT64_MIN
        self.carried = []
        self.configs = []
        self.colours = []
        self.cues = frozenset(cues)
        for track in tracks:
            self._add(track, enhanced)
        if not self.track_count:
            raise MediaError("no track for RTMP")
        self.metadata = _metadata_body(tracks, [number for _, number in self.carried])

    def _add(self, track, enhanced):
        cdef flv_track_t* own
        cdef bytes head
        cdef int index
        cdef bint video = track.kind is Kind.VIDEO
        number = sum([bool(self.tracks[index].video) == video for index in range(self.track_count)])
        plain = enhanced is not Enhanced.ALWAYS and number == 0 and track.codec in media.PLAIN_CODECS
        if track.codec not in fourcc.FOURCCS:
            raise MediaError(f"track {track.id} is {track.codec.name}: RTMP carries {', '.join([codec.name for codec in fourcc.FOURCCS])}")
        if enhanced is Enhanced.NEVER and not plain:
            if number:
                raise MediaError(f"track {track.id} is a second {track.kind.value.lower()} track: RTMP carries one unless it is enhanced")
            raise MediaError(f"track {track.id} is {track.codec.name}: RTMP carries {', '.join([codec.name for codec in media.PLAIN_CODECS])} unless it is enhanced")
        if self.track_count == MAX_FLV_TRACKS:
            raise MediaError(f"more than {MAX_FLV_TRACKS} tracks")
        own = &self.tracks[self.track_count]
        own.id = track.id
        own.video = video
        own.enhanced = not plain
        own.composed = video and (plain or track.codec in (Codec.H264, Codec.HEVC))
        own.csid = CSID_MORE + self.track_count if number else CSID_VIDEO if video else CSID_AUDIO
        own.type = TYPE_VIDEO if video else TYPE_AUDIO
        own.last_ms = INT64_MIN
        head = _head(track.codec, number, plain, TAG_CODED_FRAMES) + (b"\0\0\0" if own.composed else b"")
        memcpy(own.head, <const uint8_t*><const char*>head, <size_t>len(head))
        own.head_size = len(head)
        own.key_byte = own.head[0] & 0x8F | 0x10 if video else own.head[0]
        # The lowest id, as in Source: what is a join point there is one here.
        if video and (not self.has_video or track.id < self.tracks[self.key_index].id):
            self.key_index = self.track_count
        self.has_video = self.has_video or video
        self.track_count += 1
        self.carried.append((track.codec, number if not plain else 0))
        self.configs.append(_config_body(track.codec, number, plain, track.config))
        self.colours.append(_colour_body(track.codec, number, track.metadata) if not plain and track.metadata else b"")

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
        if track == NULL or frame.flags & FRAME_BESIDE:
            return self._write_other(frame, track)
        if frame.size == 0:
            return 0
        ms = to_ms(frame.dts)
        if track.last_ms == INT64_MIN:
            self._start(ms)
        head_size = track.head_size
        if self.nanos and frame.pts % 90:
            head_size += MOD_EX_BYTES
        if self._joins_at(frame, track, ms):
            flags = SPAN_KEY
            lead_bytes = self._lead_bytes()
        room = self.ring.reserve(lead_bytes + self._framed_bytes(head_size + frame.size))
        p = self._put_lead(room) if flags & SPAN_KEY else room
        lead_bytes = <size_t>(p - room)
        delta_ms = min(max(ms - track.last_ms, 0), MAX_DELTA_MS)
        track.last_ms += delta_ms
        p = put_begin(p, track, <uint32_t>delta_ms, <uint32_t>(head_size + frame.size), track.type)
        if head_size == track.head_size:
            p = put_head(p, frame, track, ms)
        else:
            p = put_exact_head(p, frame, track, ms)
        p = self._put_body(p, track.csid, head_size, frame.data, frame.size)
        self.ring.commit(<uint32_t>lead_bytes, <uint32_t>(p - room - lead_bytes), frame.dts, flags, frame.track)
        return 0

    cdef int _write_other(self, const Frame* frame, flv_track_t* track) except -1:
        """What is no frame of these tracks."""
        if frame.flags & FRAME_DATA:
            return self._write_beside(frame, &self.tracks[0], TYPE_DATA, (<const char*>frame.data)[:frame.size])
        if track == NULL:
            if frame.track in self.cues and not frame.flags & FRAME_BESIDE:
                self._write_beside(frame, &self.tracks[0], TYPE_DATA, cue_point((<const char*>frame.data)[:frame.size], frame.pts))
            return 0
        if frame.flags & FRAME_CONFIG:
            return self._write_config(frame, track, <int>(track - self.tracks))
        return self._write_colour(track - self.tracks, frame.dts, (<const char*>frame.data)[:frame.size])

    cdef int _write_beside(self, const Frame* frame, flv_track_t* track, uint32_t type, bytes body) except -1:
        """A message that is no frame, at its time, on the chunk stream of a track."""
        cdef int64_t delta_ms
        cdef size_t size = len(body)
        cdef uint8_t* room
        cdef uint8_t* p
        if track.last_ms == INT64_MIN or not body:
            return 0
        delta_ms = min(max(to_ms(frame.dts) - track.last_ms, 0), MAX_DELTA_MS)
        track.last_ms += delta_ms
        room = self.ring.reserve(self._framed_bytes(size))
        p = put_begin(room, track, <uint32_t>delta_ms, <uint32_t>size, type)
        p = self._put_body(p, track.csid, 0, <const uint8_t*><const char*>body, size)
        self.ring.commit(0, <uint32_t>(p - room), frame.dts, SPAN_CONFIG, frame.track)
        return 0

    def _write_colour(self, int index, int64_t dts, bytes metadata):
        """HDR colour of a video that is enhanced: for those who watch, and from now on for those who join."""
        cdef Frame frame
        codec, number = self.carried[index]
        if not self.tracks[index].enhanced:
            return 0
        self.colours[index] = _colour_body(codec, number, metadata)
        frame.dts = dts
        frame.track = self.tracks[index].id
        return self._write_beside(&frame, &self.tracks[index], TYPE_VIDEO, self.colours[index])

    cdef void _start(self, int64_t ms) noexcept nogil:
        """The feed's first frame: every track's deltas count from shortly before it."""
        cdef int index
        for index in range(self.track_count):
            self.tracks[index].last_ms = ms - START_MARGIN_MS

    cdef bint _joins_at(self, const Frame* frame, const flv_track_t* track, int64_t ms) noexcept nogil:
        """Whether a cursor may join here; without video that is so at every AUDIO_KEY_MS."""
        if self.has_video:
            return frame.flags & FRAME_KEY and track == &self.tracks[self.key_index]
        if self.key_ms != INT64_MIN and ms - self.key_ms < AUDIO_KEY_MS:
            return False
        self.key_ms = ms
        return True

    cdef int _write_config(self, const Frame* frame, flv_track_t* track, int index) except -1:
        """A new configuration: a sequence header for those who watch, and from now on for those who join."""
        codec, number = self.carried[index]
        body = _config_body(codec, number, not track.enhanced, (<const char*>frame.data)[:frame.size])
        if body == self.configs[index]:
            return 0
        self.configs[index] = body
        return self._write_beside(frame, track, track.type, body)

    cdef size_t _framed_bytes(self, size_t body) noexcept nogil:
        """Upper bound of a message with its chunk headers, and of a tag's head that is copied whole."""
        return HEADER_MAX + HEAD_MOST + body + (body // self.chunk_size if body > self.chunk_size else 0)

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
        for body in self.colours:
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
            p = put_of_track(p, &self.tracks[index], zero_ms, <bytes>self.configs[index])
            p = put_of_track(p, &self.tracks[index], zero_ms, <bytes>self.colours[index])
        return p


cdef uint8_t* put_of_track(uint8_t* p, const flv_track_t* track, int64_t zero_ms, bytes body) except NULL:
    """A message of lead-in material with the time of the track's last one, if there is one."""
    if not len(body):
        return p
    return put_lead_message(p, <uint32_t>(track.last_ms - zero_ms), track.csid, track.type, body)


cdef uint8_t* put_lead_message(uint8_t* p, uint32_t time_ms, uint32_t csid, uint32_t type, bytes body) except NULL:
    cdef size_t size = len(body)
    p = put_u32(p, time_ms)
    p = put_u8(p, csid)
    p = put_u8(p, type)
    p = put_u24(p, <uint32_t>size)
    memcpy(p, <const uint8_t*><const char*>body, size)
    return p + size


def _head(codec, int number, bint plain, uint32_t kind):
    """The head of a tag of this kind, up to its body or its composition time; of a video as if it were no keyframe."""
    cdef bint video = codec.kind is Kind.VIDEO
    if plain and video:
        return bytes((0x27, kind))
    if plain:
        return b"\x2f" if codec is Codec.MP3 else bytes((0xAF, kind))
    first = 0xA0 if video else 0x90
    code = fourcc.FOURCCS[codec]
    if number == 0:
        return bytes((first | kind,)) + code
    return bytes((first | <int>(TAG_MULTITRACK if video else AUDIO_MULTITRACK), kind)) + code + bytes((number,))


def _config_body(codec, int number, bint plain, bytes config):
    """Body of a sequence header message; empty while the configuration is unknown, and for codecs that have none."""
    if len(config) > MAX_CONFIG_BYTES:
        raise MediaError(f"a decoder configuration record of {len(config)} bytes: at most {MAX_CONFIG_BYTES} are taken")
    if not config or codec in (Codec.MP3, Codec.AC3, Codec.EAC3):
        return b""
    head = bytearray(_head(codec, number, plain, TAG_SEQUENCE_START))
    if codec.kind is Kind.VIDEO:
        head[0] = head[0] & 0x8F | 0x10
    if plain and codec.kind is Kind.VIDEO:
        head += b"\0\0\0"
    return bytes(head) + (fourcc.FLAC_SIGNATURE if codec is Codec.FLAC else b"") + config


def _colour_body(codec, int number, bytes metadata):
    head = bytearray(_head(codec, number, False, TAG_METADATA))
    head[0] = head[0] & 0x8F | 0x50  # the frame type means nothing here; libavformat takes any but a command for a picture
    return bytes(head) + metadata


def _metadata_body(tracks, numbers):
    """@setDataFrame onMetaData of these tracks (FLV 10.1, E.5; enhanced RTMP v2, "Enhancing onMetaData")."""
    values: dict[str, object] = {"duration": 0.0, "encoder": f"pushcast/{__version__}"}
    for track, number in zip(tracks, numbers):
        if number == 0:
            values |= _described(track)
        else:
            infos = values.setdefault(f"{track.kind.value.lower()}TrackIdInfoMap", {})
            infos[str(number)] = {**_described(track), **({"language": track.language} if track.language else {})}
    return amf0.encode("@setDataFrame", "onMetaData", amf0.EcmaArray(values))


def _described(track):
    plain = {Codec.H264: 7.0, Codec.AAC: 10.0, Codec.MP3: 2.0}
    codec = plain.get(track.codec, float(int.from_bytes(fourcc.FOURCCS[track.codec], "big")))
    if track.kind is Kind.VIDEO:
        values = {"videocodecid": codec}
        known = {"width": track.width, "height": track.height, "framerate": track.frame_rate, "videodatarate": track.bitrate / 1000}
    else:
        values = {"audiocodecid": codec, "audiosamplesize": 16.0, "stereo": track.channels != 1}
        known = {"audiosamplerate": track.sample_rate, "audiodatarate": track.bitrate / 1000}
    return values | {name: float(value) for name, value in known.items() if value}
