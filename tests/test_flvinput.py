"""FlvInput: a publisher's messages to frames, its announcements to tracks, its nonsense to one sentence."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from streams import ASC, AVCC

from pushcast.chunk import ChunkReader, write_message
from pushcast.errors import MediaError
from pushcast.flvinput import FlvInput
from pushcast.media import Codec, Container, FeedKey, Kind
from pushcast.source import Clock, Source

AUDIO, VIDEO = 8, 9
AVC_CONFIG = b"\x17\x00\x00\x00\x00" + AVCC
AAC_CONFIG = b"\xaf\x00" + ASC
NAL = b"\x00\x00\x00\x05\x65hell"


class Publisher:
    def __init__(self) -> None:
        self.source = Source(Clock())
        self.input = FlvInput(self.source)
        self.reader = ChunkReader()
        self.reader.media = self.input

    def say(self, type: int, ms: int, body: bytes) -> None:
        """One message; the chunk size is the default of 128 bytes."""
        assert self.reader.receive(write_message(6 if type == VIDEO else 4, type, 1, ms % (1 << 32), body, 128)) == []


def picture(ms_composition: int, key: bool, data: bytes = NAL) -> bytes:
    return (b"\x17" if key else b"\x27") + b"\x01" + (ms_composition % (1 << 24)).to_bytes(3, "big") + data


def test_tracks_come_from_their_sequence_headers() -> None:
    publisher = Publisher()
    publisher.input.metadata({"framerate": 25.0, "videodatarate": 1500.0, "audiocodecid": 10.0, "videocodecid": 7.0})
    publisher.say(VIDEO, 0, AVC_CONFIG)
    assert not publisher.input.ready
    publisher.say(AUDIO, 0, AAC_CONFIG)
    assert not publisher.input.ready, "further tracks may follow until the first frame"
    publisher.say(AUDIO, 0, b"\xaf\x01\x21")
    assert publisher.input.ready
    video, audio = publisher.input.tracks
    assert (video.id, video.codec, video.config, video.width, video.height) == (0, Codec.H264, AVCC, 640, 360)
    assert (video.frame_rate, video.bitrate, video.variant_name) == (25.0, 1_500_000, "Video")
    assert (audio.id, audio.codec, audio.config, audio.sample_rate, audio.channels) == (1, Codec.AAC, ASC, 48000, 2)


@pytest.mark.parametrize(
    ("metadata", "configs", "elapsed_ms", "ready"),
    [
        ({"videocodecid": 7.0}, [(VIDEO, AVC_CONFIG)], 0, True),
        ({"audiocodecid": 10.0}, [(AUDIO, AAC_CONFIG)], 0, True),
        ({}, [(VIDEO, AVC_CONFIG)], 999, False),
        ({}, [(VIDEO, AVC_CONFIG)], 1000, True),
        ({}, [(VIDEO, AVC_CONFIG), (AUDIO, AAC_CONFIG)], 0, True),
        ({"videocodecid": 7.0}, [], 5000, False),
        ({"width": "wide", "audiocodecid": None}, [(VIDEO, AVC_CONFIG)], 0, False),
    ],
)
def test_ready_when_what_was_promised_is_there(
    metadata: dict[str, object], configs: list[tuple[int, bytes]], elapsed_ms: int, ready: bool
) -> None:
    publisher = Publisher()
    publisher.input.metadata(metadata)
    for type, body in configs:
        publisher.say(type, 0, body)
    publisher.say(VIDEO, elapsed_ms, picture(0, True))
    assert publisher.input.ready is ready


def test_frames_carry_their_times_over_the_wrap_of_32_bits() -> None:
    publisher = Publisher()
    start = (1 << 32) - 100
    publisher.say(VIDEO, start, AVC_CONFIG)
    feed = publisher.source.feed(FeedKey(Container.RTMP, (0,)))
    for number in range(10):
        publisher.say(VIDEO, start + 40 * number, picture(80, number == 0))
    dts = [feed.ring.span(seq)[3] for seq in range(feed.ring.head)]
    assert [each - dts[0] for each in dts] == [3600 * number for number in range(10)]
    body = feed.ring.read(3)[8:]
    assert body == picture(80, False)


def test_a_changed_configuration_is_a_change_and_the_same_again_is_none() -> None:
    publisher = Publisher()
    publisher.say(VIDEO, 0, AVC_CONFIG)
    publisher.say(VIDEO, 0, picture(0, True))
    feed = publisher.source.feed(FeedKey(Container.RTMP, (0,)))
    publisher.say(VIDEO, 40, AVC_CONFIG)
    assert feed.ring.head == 1
    other = AVC_CONFIG[:-1] + b"\x81"
    publisher.say(VIDEO, 40, other)
    assert feed.ring.head == 2
    assert publisher.input.tracks[0].config == other[5:]


def test_late_tracks_are_counted_and_left_out() -> None:
    publisher = Publisher()
    publisher.say(VIDEO, 0, AVC_CONFIG)
    publisher.input.freeze()
    publisher.say(AUDIO, 2000, AAC_CONFIG)
    publisher.say(AUDIO, 2000, b"\xaf\x01sound")
    assert publisher.input.late_tracks == 1
    assert [track.kind for track in publisher.input.tracks] == [Kind.VIDEO]


@pytest.mark.parametrize(
    ("type", "body", "sentence"),
    [
        (VIDEO, b"\x12\x00", r"video: found FLV codec 2, expected 7 \(H.264\) or a FourCC"),
        (VIDEO, b"\x90vvc1\x01", "video: found vvc1, expected avc1, hvc1, av01, vp09"),
        (VIDEO, b"\x90hvc1\x01", r"video \(HEVC\): hvcC"),
        (VIDEO, b"\x90hvc", "video: found a tag of 4 bytes that begins 90687663 and cannot be read"),
        (VIDEO, b"\x17\x00\x00", "video: found a tag of 3 bytes that begins 170000 and cannot be read"),
        (AUDIO, b"\x90fLaC\x01", r"audio \(FLAC\): found 1 bytes of STREAMINFO, expected 34"),
        (AUDIO, b"\x95\x00mp4a\x03\xff", r"audio track 3 \(AAC\): AudioSpecificConfig"),
        (VIDEO, b"\x17\x00\x00\x00\x00\x01\x02", "avcC"),
        (VIDEO, b"\x17\x00\x00\x00\x00" + bytes(70000), "a decoder configuration record of 70000 bytes"),
        (VIDEO, b"\x17\0\0\0\0\x01\x42\0\x1e\xff\xe0\0", r"video \(H264\): found a configuration without a sequence"),
        (VIDEO, b"\x90hvc1\x01" + bytes(20) + b"\x03\0", r"video \(HEVC\): found a configuration without a sequence"),
        (AUDIO, b"\x1f\x00", r"audio: found FLV format 1, expected 10 \(AAC\), 2 \(MP3\) or a FourCC"),
        (AUDIO, b"\xaf\x00\xff", "AudioSpecificConfig"),
    ],
)
def test_what_cannot_be_taken_is_said_in_one_sentence(type: int, body: bytes, sentence: str) -> None:
    publisher = Publisher()
    with pytest.raises(MediaError, match=sentence):
        publisher.say(type, 0, body)


@pytest.mark.parametrize(
    ("type", "body"),
    [
        (AUDIO, b""),
        (VIDEO, b""),
        (VIDEO, b"\x57\x00"),
        (VIDEO, b"\x17\x02\x00\x00\x00"),
        (AUDIO, b"\xaf"),
        (VIDEO, b"\x27\x01\0\0\0"),
    ],
    ids=["silence", "nothing", "command frame", "end of sequence", "half a tag", "empty picture"],
)
def test_what_carries_no_frame_is_passed_over(type: int, body: bytes) -> None:
    publisher = Publisher()
    publisher.say(VIDEO, 0, AVC_CONFIG)
    publisher.say(type, 40, body)
    assert publisher.source.frame_count == 0


@given(
    st.lists(
        st.tuples(
            st.sampled_from([VIDEO, AUDIO]), st.integers(0, (1 << 32) - 1), st.binary(max_size=60), st.booleans()
        ),
        max_size=20,
    )
)
def test_any_messages_are_frames_or_refused(messages: list[tuple[int, int, bytes, bool]]) -> None:
    """Behind a configuration; bodies are plain pictures and sound, or anything."""
    publisher = Publisher()
    publisher.say(VIDEO, 0, AVC_CONFIG)
    publisher.say(AUDIO, 0, AAC_CONFIG)
    said = 0
    for type, ms, body, plain in messages:
        head = (b"\x27\1\0\0\0" if type == VIDEO else b"\xaf\1") if plain else b""
        try:
            publisher.say(type, ms, head + body)
        except MediaError:
            break
        said += len(body)
    for kind in (0, 1):
        times = [dts for track, dts, *_ in publisher.source.recent() if track == kind]
        assert times == sorted(set(times))
    assert publisher.source.byte_count <= said + len(AVC_CONFIG)
