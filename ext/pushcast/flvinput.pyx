"""FlvInput: the audio and video messages of one publisher to frames of one source (FLV 10.1, E.4.2 and E.4.3).

The chunk reader hands over messages in C; nothing here runs Python for a frame.  The 32-bit millisecond clock is
unwrapped by signed difference.  Codecs other than H.264 and AAC are refused with their FLV numbers.
"""
from libc.stdint cimport INT64_MIN, int32_t, int64_t, uint8_t, uint32_t

from pushcast.chunk cimport MediaSink
from pushcast.frame cimport FRAME_CONFIG, FRAME_KEY, Frame
from pushcast.source cimport Source
from pushcast.wire cimport get_u24

from pushcast.aac import parse_asc
from pushcast.errors import MediaError
from pushcast.media import Codec, Kind, Track
from pushcast.sps import sps_info
from pushcast.videoconfig import parse_avcc

cdef enum:
    TYPE_VIDEO = 9
    VIDEO_HEAD = 5                   # frame type and codec, packet type, composition time
    AUDIO_HEAD = 2
    MAX_CONFIG_BYTES = 65536         # a decoder configuration record beyond this is an attack, not a stream

cdef int64_t PROBE_MS = 1000         # how long a publisher that announced nothing may take to show its other track


cdef class FlvInput(MediaSink):
    """FlvInput(source): media messages of one publisher to frames of one Source.

    Track 0 is the video, track 1 the audio.  `ready` turns true when every track that onMetaData promised has its
    configuration (or, without promises, both kinds have, or one second of media passed); `freeze` then fixes the
    tracks.  MediaError: a codec that cannot be taken, a record that cannot be read.
    """

    def __cinit__(self, Source source not None):
        self.source = source
        self.tracks = ()
        self.metadata_values = {}
        self.last_ms = INT64_MIN

    def metadata(self, values):
        """onMetaData of the publisher: which tracks will come, and what they look like.  Hostile or odd values are
        passed over.
        """
        self.metadata_values = values
        expected = set()
        if "videocodecid" in values or "width" in values:
            expected.add(Kind.VIDEO)
        if "audiocodecid" in values or "audiosamplerate" in values:
            expected.add(Kind.AUDIO)
        self.expected = expected or None

    @property
    def ready(self):
        kinds = {track.kind for track in self.tracks}
        if not kinds:
            return False
        if kinds >= (self.expected or {Kind.VIDEO, Kind.AUDIO}):
            return True
        return self.last_ms - self.first_ms >= PROBE_MS

    def freeze(self):
        """The stream is announced with the tracks known so far; media of other kinds is counted in `late_tracks` and
        left out.
        """
        self.frozen = True

    cdef int message(self, uint32_t type, uint32_t message_stream_id, uint32_t timestamp_ms, const uint8_t* data, size_t size) except -1:
        cdef int64_t ms = self._unwrap(timestamp_ms)
        if size == 0:                # an empty message means silence
            return 0
        if type == TYPE_VIDEO:
            return self._video(ms, data, size)
        return self._audio(ms, data, size)

    cdef int64_t _unwrap(self, uint32_t timestamp_ms) noexcept:
        if self.last_ms == INT64_MIN:
            self.first_ms = timestamp_ms
            self.last_ms = timestamp_ms
        else:
            self.last_ms += <int32_t>(timestamp_ms - <uint32_t>self.last_ms)
        return self.last_ms

    cdef int _video(self, int64_t ms, const uint8_t* data, size_t size) except -1:
        cdef uint32_t frame_type = data[0] >> 4 & 7
        cdef int64_t composition_ms
        if data[0] & 0x80:
            raise MediaError(f"video: found an enhanced RTMP tag (FourCC {bytes(data[1:min(size, 5)])!r}), expected H.264 in the plain form")
        if data[0] & 0x0F != 7:
            raise MediaError(f"video: found FLV codec {data[0] & 0x0F}, expected 7 (H.264)")
        if frame_type == 5:          # a command for players, no picture
            return 0
        if size < VIDEO_HEAD:
            raise MediaError(f"video: found a tag of {size} bytes, expected at least {VIDEO_HEAD}")
        if data[1] == 0:
            self._configure(0, Codec.H264, (<const char*>data)[VIDEO_HEAD:size], ms)
            return 0
        if data[1] != 1:             # 2 is the end of the sequence
            return 0
        composition_ms = <int32_t>(get_u24(data + 2) << 8) >> 8
        return self._publish(0, ms, ms + composition_ms, FRAME_KEY if frame_type == 1 else 0, data + VIDEO_HEAD, size - VIDEO_HEAD)

    cdef int _audio(self, int64_t ms, const uint8_t* data, size_t size) except -1:
        if data[0] >> 4 != 10:
            raise MediaError(f"audio: found FLV format {data[0] >> 4}, expected 10 (AAC)")
        if size < AUDIO_HEAD:
            return 0
        if data[1] == 0:
            if size > AUDIO_HEAD:
                self._configure(1, Codec.AAC, (<const char*>data)[AUDIO_HEAD:size], ms)
            return 0
        return self._publish(1, ms, ms, FRAME_KEY, data + AUDIO_HEAD, size - AUDIO_HEAD)

    cdef int _publish(self, uint32_t track, int64_t ms, int64_t pts_ms, uint32_t flags, const uint8_t* data, size_t size) except -1:
        cdef Frame frame
        if size == 0:
            return 0
        frame.data = data
        frame.size = size
        frame.dts = ms * 90
        frame.pts = pts_ms * 90
        frame.track = track
        frame.flags = flags
        return self.source.publish(&frame)

    def _configure(self, uint32_t track_id, codec, bytes config, int64_t ms):
        """A sequence header: the track's first makes the track, a different one later is a change on the way."""
        if len(config) > MAX_CONFIG_BYTES - VIDEO_HEAD:
            raise MediaError(f"a decoder configuration record of {len(config)} bytes: at most {MAX_CONFIG_BYTES - VIDEO_HEAD} are taken")
        known = next((track for track in self.tracks if track.id == track_id), None)
        if known is None:
            if self.frozen:
                self.late_tracks += 1
                return
            self.tracks = tuple(sorted((*self.tracks, self._track(track_id, codec, config)), key=_track_id))
            self.source.set_tracks(self.tracks)
        elif known.config != config:
            track = self._track(track_id, codec, config)
            self.tracks = tuple(track if each.id == track_id else each for each in self.tracks)
            self.source.push(track_id, ms * 90, ms * 90, FRAME_CONFIG, config)

    def _track(self, uint32_t track_id, codec, bytes config):
        """The Track that a configuration record describes; onMetaData fills in what the record does not say."""
        if codec is Codec.AAC:
            audio = parse_asc(config)
            return Track(track_id, codec, config=config, sample_rate=audio.sample_rate, channels=audio.channels,
                         bitrate=int(self._number("audiodatarate") * 1000))
        avcc = parse_avcc(config)
        try:
            width, height, frame_rate = sps_info(codec, avcc.sps[0])
        except MediaError:           # a picture size that we cannot read is no reason to refuse what a decoder may well take
            width, height, frame_rate = int(self._number("width")), int(self._number("height")), 0.0
        return Track(track_id, codec, config=config, width=width, height=height, frame_rate=self._number("framerate") or frame_rate,
                     bitrate=int(self._number("videodatarate") * 1000))

    def _number(self, name):
        """A number of onMetaData within reason, else 0.0."""
        value = self.metadata_values.get(name)
        return float(value) if isinstance(value, (int, float)) and 0 < value < 1e9 else 0.0


def _track_id(track):
    return track.id
