"""FlvInput: the audio and video messages of one publisher to frames of one source (flvtag).

The chunk reader hands over messages in C; nothing here runs Python for a frame.  The 32-bit millisecond clock is
unwrapped by signed difference.  A codec that is not carried is refused with its name, as a publisher that sends it
means it to be seen.
"""
from libc.stdint cimport INT64_MIN, int32_t, int64_t, uint8_t, uint32_t

from pushcast.flvtag cimport (
    AVC1, MP4A, TAG_CODED_FRAMES, TAG_METADATA, TAG_SEQUENCE_START, begin_tags, flv_cursor_t, flv_tag_t, next_tag,
)
from pushcast.frame cimport FRAME_CONFIG, FRAME_DATA, FRAME_KEY, FRAME_METADATA, Frame
from pushcast.message cimport MediaSink
from pushcast.source cimport Source
from pushcast.wire cimport get_u24

from pushcast import fourcc
from pushcast.errors import MediaError
from pushcast.flvcodecs import described, needs_config
from pushcast.media import Codec, Kind, Track

cdef enum:
    TYPE_VIDEO = 9
    MAX_CONFIG_BYTES = 65531         # a decoder configuration record beyond this is an attack, not a stream
    MAX_DATA_BYTES = 65536

cdef int64_t PROBE_MS = 1000         # how long a publisher that announced nothing may take to show its other track


cdef class FlvInput(MediaSink):
    """FlvInput(source): media messages of one publisher to frames of one Source.

    Track 0 is the first video, track 1 the first audio, others follow as they come.  `ready` turns true when media flows
    and every track that onMetaData promised is known (or, without promises, both kinds are, or one second of media
    passed); `freeze` then fixes the tracks.  MediaError: a codec that cannot be taken, a record that cannot be read.
    """

    def __cinit__(self, Source source not None):
        self.source = source
        self.tracks = ()
        self.metadata_values = {}
        self.plain_video = self.plain_audio = -1
        self.last_ms = INT64_MIN

    def metadata(self, values):
        """onMetaData of the publisher: which tracks will come, and what they look like.  Hostile or odd values are
        passed over.
        """
        self.metadata_values = values
        expected = set()
        if "videocodecid" in values or "width" in values:
            expected.add((True, 0))
        if "audiocodecid" in values or "audiosamplerate" in values:
            expected.add((False, 0))
        for video, name in ((True, "videoTrackIdInfoMap"), (False, "audioTrackIdInfoMap")):
            ids = values.get(name)
            if isinstance(ids, dict):
                expected.update((video, int(each)) for each in ids if str(each).isdecimal() and len(str(each)) < 4)
        self.expected = expected or None

    @property
    def ready(self):
        cdef int index
        if not self.has_frames or not self.tracks:
            return False
        if self.last_ms - self.first_ms >= PROBE_MS:
            return True
        known = {(bool(self.inputs[index].video), self.inputs[index].track_id) for index in range(self.input_count) if self.inputs[index].known}
        if self.expected is None:
            return {track.kind for track in self.tracks} >= {Kind.VIDEO, Kind.AUDIO}
        return known >= self.expected

    def freeze(self):
        """The stream is announced with the tracks known so far; media of other tracks is counted in `late_tracks` and
        left out.
        """
        self.frozen = True

    def data(self, uint32_t timestamp_ms, const uint8_t[::1] body not None):
        """An AMF data message (cue points, captions): it goes out as it is where a container can carry it."""
        cdef Frame frame
        if not self.tracks or body.shape[0] == 0 or body.shape[0] > MAX_DATA_BYTES:
            return
        frame.data = &body[0]
        frame.size = <size_t>body.shape[0]
        frame.dts = frame.pts = 90 * self._unwrap(timestamp_ms)
        frame.track = self.tracks[0].id
        frame.flags = FRAME_DATA
        self.source.publish(&frame)

    cdef int message(self, uint32_t type, uint32_t message_stream_id, uint32_t timestamp_ms, const uint8_t* data, size_t size) except -1:
        cdef int64_t ms = self._unwrap(timestamp_ms)
        cdef bint video = type == TYPE_VIDEO
        cdef flv_cursor_t cursor
        cdef flv_tag_t tag
        cdef int step
        if size == 0:                # an empty message means silence
            return 0
        if self._plain(video, ms, data, size):
            return 0
        if begin_tags(&cursor, video, data, size) < 0:
            raise self._refusal(video, cursor.refused, (<const char*>data)[:min(size, <size_t>8)], size)
        step = next_tag(&cursor, &tag)
        while step == 1:
            self._take(video, ms, &tag)
            step = next_tag(&cursor, &tag)
        if step < 0:
            raise self._refusal(video, 0, (<const char*>data)[:min(size, <size_t>8)], size)
        return 0

    cdef int _plain(self, bint video, int64_t ms, const uint8_t* data, size_t size) except -1:
        """A frame of a known H.264 or AAC track in the plain form, which nearly all are; False when it is something else."""
        cdef Frame frame
        cdef int index = self.plain_video if video else self.plain_audio
        cdef size_t head = 5 if video else 2
        cdef int64_t composition_ms = 0
        if index < 0 or size <= head or data[1] != 1:
            return False
        if not video:
            if data[0] >> 4 != 10:
                return False
        elif data[0] & 0x8F != 7 or data[0] >> 4 == 5:
            return False
        else:
            composition_ms = <int32_t>(get_u24(data + 2) << 8) >> 8
        frame.data = data + head
        frame.size = size - head
        frame.dts = ms * 90
        frame.pts = (ms + composition_ms) * 90
        frame.track = self.inputs[index].id
        frame.flags = FRAME_KEY if not video or data[0] >> 4 == 1 or data[0] >> 4 == 4 else 0
        self.has_frames = True
        self.source.publish(&frame)
        return True

    def _refusal(self, video, refused, head, size):
        if refused and video:
            return MediaError(f"video: found FLV codec {refused - 1}, expected 7 (H.264) or a FourCC")
        if refused:
            return MediaError(f"audio: found FLV format {refused - 1}, expected 10 (AAC), 2 (MP3) or a FourCC")
        return MediaError(f"{'video' if video else 'audio'}: found a tag of {size} bytes that begins {head.hex()} and cannot be read")

    cdef int64_t _unwrap(self, uint32_t timestamp_ms) noexcept:
        if self.last_ms == INT64_MIN:
            self.first_ms = timestamp_ms
            self.last_ms = timestamp_ms
        else:
            self.last_ms += <int32_t>(timestamp_ms - <uint32_t>self.last_ms)
        return self.last_ms

    cdef int _take(self, bint video, int64_t ms, const flv_tag_t* tag) except -1:
        cdef input_track_t* track
        if tag.kind != TAG_SEQUENCE_START and tag.kind != TAG_CODED_FRAMES and (tag.kind != TAG_METADATA or not video):
            return 0
        track = self._input(video, tag)
        if tag.kind == TAG_SEQUENCE_START:
            if tag.size or not needs_config(int(tag.fourcc)):
                self._configure(track - self.inputs, (<const char*>tag.body)[:tag.size], b"", ms)
            return 0
        if tag.size == 0:
            return 0
        if tag.kind == TAG_METADATA:
            if not track.known:
                return 0
            return self._publish(track, ms, tag, FRAME_METADATA)
        if not track.known and not needs_config(int(track.fourcc)):
            self._configure(track - self.inputs, b"", (<const char*>tag.body)[:min(tag.size, <size_t>64)], ms)
        self._publish(track, ms, tag, FRAME_KEY if tag.key else 0)
        self.has_frames = True
        return 0

    cdef input_track_t* _input(self, bint video, const flv_tag_t* tag) except NULL:
        """The publisher's track, new if need be; MediaError for a codec that is not carried, or another one than before."""
        cdef input_track_t* track
        cdef int index
        for index in range(self.input_count):
            track = &self.inputs[index]
            if track.video == video and track.track_id == tag.track_id:
                if track.fourcc != tag.fourcc:
                    raise MediaError(f"{_said(video, tag.track_id)}: found {_text(tag.fourcc)} where {_text(track.fourcc)} was")
                return track
        if int(tag.fourcc) not in fourcc.CODECS or (fourcc.CODECS[int(tag.fourcc)].kind is Kind.VIDEO) != video:
            carried = ", ".join([_text(code) for code, codec in fourcc.CODECS.items() if (codec.kind is Kind.VIDEO) == video])
            raise MediaError(f"{_said(video, tag.track_id)}: found {_text(tag.fourcc)}, expected {carried}")
        if self.input_count == INPUT_TRACKS_MOST:
            raise MediaError(f"a stream has at most {INPUT_TRACKS_MOST} tracks")
        track = &self.inputs[self.input_count]
        track.video = video
        track.track_id = tag.track_id
        track.fourcc = tag.fourcc
        track.id = self._free_id(video)
        track.known = False
        self.input_count += 1
        return track

    def _free_id(self, bint video):
        """0 and 1 are the first video and the first audio."""
        cdef int index
        taken = {self.inputs[index].id for index in range(self.input_count)}
        first = 0 if video else 1
        return first if first not in taken else next(number for number in range(2, INPUT_TRACKS_MOST + 2) if number not in taken)

    cdef int _publish(self, const input_track_t* track, int64_t ms, const flv_tag_t* tag, uint32_t flags) except -1:
        cdef Frame frame
        frame.data = tag.body
        frame.size = tag.size
        frame.dts = ms * 90
        frame.pts = (ms + tag.composition_ms) * 90 + (<int64_t>tag.nanos * 9 + 50000) // 100000
        frame.track = track.id
        frame.flags = flags
        return self.source.publish(&frame)

    def _configure(self, int index, bytes config, bytes frame, int64_t ms):
        """A sequence header, or the first frame of a codec that needs none: the track's first makes the track, a different
        one later is a change on the way.
        """
        cdef input_track_t* track = &self.inputs[index]
        if len(config) > MAX_CONFIG_BYTES:
            raise MediaError(f"a decoder configuration record of {len(config)} bytes: at most {MAX_CONFIG_BYTES} are taken")
        codec = fourcc.CODECS[int(track.fourcc)]
        try:
            config, facts = described(codec, config, frame)
        except MediaError as error:
            raise MediaError(f"{_said(track.video, track.track_id)} ({codec.name}): {error}") from None
        made = Track(track.id, codec, config=config, **self._filled(codec, facts) if track.track_id == 0 else facts)
        if track.track_id == 0 and track.fourcc == AVC1:
            self.plain_video = index
        elif track.track_id == 0 and track.fourcc == MP4A:
            self.plain_audio = index
        known = next((each for each in self.tracks if each.id == track.id), None)
        if known is None:
            if self.frozen:
                self.late_tracks += not track.known
                track.known = True
                return
            track.known = True
            self.tracks = tuple(sorted((*self.tracks, made), key=_track_id))
            self.source.set_tracks(self.tracks)
        elif known.config != config:
            self.tracks = tuple(made if each.id == track.id else each for each in self.tracks)
            self.source.push(track.id, ms * 90, ms * 90, FRAME_CONFIG, config)

    def _filled(self, codec, facts):
        """What onMetaData says of the first video and the first audio fills in what the record does not say."""
        if codec.kind is Kind.AUDIO:
            return {**facts, "bitrate": int(self._number("audiodatarate") * 1000)}
        return {
            "width": facts.get("width") or int(self._number("width")),
            "height": facts.get("height") or int(self._number("height")),
            "frame_rate": self._number("framerate") or facts.get("frame_rate", 0.0),
            "bitrate": int(self._number("videodatarate") * 1000),
        }

    def _number(self, name):
        """A number of onMetaData within reason, else 0.0."""
        value = self.metadata_values.get(name)
        return float(value) if isinstance(value, (int, float)) and 0 < value < 1e9 else 0.0


def _said(video, track_id):
    return f"{'video' if video else 'audio'}{f' track {track_id}' if track_id else ''}"


def _text(code):
    raw = int(code).to_bytes(4, "big")
    return raw.decode("ascii") if raw.isascii() and raw.decode("ascii").isprintable() else raw.hex()


def _track_id(track):
    return track.id
