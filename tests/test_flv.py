"""RtmpMuxer: many connections read back exactly what went in, whatever their join, stream id and the stream's age."""

from __future__ import annotations

import base64
import itertools
import socket
import threading
import time
from dataclasses import replace

import pytest
from build_ts import crc32
from read_ts import HEVC_SETS
from streams import ASC, AUDIO, AVCC, CONFIG, VIDEO, TestFrame, av_frames
from ts_frames import ac3_frame, eac3_frame, mp3_frame, splice_insert

from pushcast import videoconfig
from pushcast.chunk import ChunkReader
from pushcast.destination import Destination
from pushcast.errors import MediaError
from pushcast.flv import RtmpMuxer
from pushcast.flvinput import FlvInput
from pushcast.media import Codec, Enhanced, Kind, Track
from pushcast.message import Message
from pushcast.opus import opus_head
from pushcast.ring import Ring
from pushcast.rtmp import amf0
from pushcast.sender import EVENT_RELEASED, EVENT_STARTED, Sender
from pushcast.source import Clock, Source
from pushcast.transport import TcpTransport

CHUNK_BYTES = 65536
DEADLINE_S = 10.0


class Peer:
    """One connection: what the far end read, as messages."""

    def __init__(self, muxer: RtmpMuxer, message_stream_id: int) -> None:
        near, self.far = socket.socketpair()
        near.setblocking(False)
        self.transport = TcpTransport(near.detach())
        self.destination = Destination(muxer.ring, muxer, self.transport, message_stream_id)
        self.message_stream_id = message_stream_id
        self.found: list[Message] = []
        self.thread = threading.Thread(target=self._read)
        self.thread.start()

    def _read(self) -> None:
        reader = ChunkReader()
        reader.receive(bytes.fromhex("02000000000004010000000000010000"))  # Set Chunk Size 65536
        with self.far:
            while data := self.far.recv(1 << 16):
                self.found += reader.receive(data)

    def messages(self) -> list[Message]:
        """Everything, once the near end is closed."""
        self.transport.close()
        self.thread.join(DEADLINE_S)
        assert not self.thread.is_alive()
        return self.found


class Wire:
    """A sender thread and what it reported."""

    def __init__(self) -> None:
        self.sender = Sender(tcp_ms=4)
        self.thread = threading.Thread(target=self.sender.run, daemon=True)
        self.thread.start()
        self.seen: list[tuple[Destination, int, int]] = []

    def wait(self, destination: Destination, kind: int) -> None:
        until = time.monotonic() + DEADLINE_S
        while not any(who is destination and what == kind for who, what, _ in self.seen):
            assert time.monotonic() < until
            self.seen += self.sender.events()
            threading.Event().wait(0.002)

    def join(self, peer: Peer) -> None:
        self.sender.attach(peer.destination)
        self.wait(peer.destination, EVENT_STARTED)

    def leave(self, peer: Peer) -> list[Message]:
        self.sender.detach(peer.destination)
        self.wait(peer.destination, EVENT_RELEASED)
        return peer.messages()

    def close(self) -> None:
        self.sender.stop()
        self.thread.join(DEADLINE_S)


def ms(ticks: int) -> int:
    return (ticks + 45) // 90


def check(peer: Peer, messages: list[Message], sent: list[TestFrame]) -> int:
    """Messages are metadata, sequence headers, then every frame from some keyframe on, whose index is returned."""
    assert {message.message_stream_id for message in messages} == {peer.message_stream_id}
    metadata, video_config, audio_config, *media = messages
    assert (metadata.type, metadata.timestamp_ms) == (18, 0)
    name, event, values = amf0.decode(metadata.payload)
    assert (name, event) == ("@setDataFrame", "onMetaData")
    assert (values["width"], values["height"], values["audiosamplerate"]) == (640.0, 360.0, 48000.0)
    assert (values["videocodecid"], values["audiocodecid"], values["stereo"]) == (7.0, 10.0, True)
    assert (video_config.type, video_config.payload) == (9, b"\x17\x00\x00\x00\x00" + AVCC)
    assert (audio_config.type, audio_config.payload) == (8, b"\xaf\x00" + ASC)
    assert min(video_config.timestamp_ms, audio_config.timestamp_ms) == 0
    first = next(
        index
        for index, frame in enumerate(sent)
        if frame.track == 0 and frame.flags & 1 and media[0].payload[5:] == frame.data
    )
    frames = sent[first:]
    assert len(media) == len(frames)
    distance = media[0].timestamp_ms - ms(frames[0].dts)
    for message, frame in zip(media, frames, strict=True):
        assert (message.timestamp_ms - ms(frame.dts)) % (1 << 32) == distance % (1 << 32)
        if frame.track == 0:
            composition = (ms(frame.pts) - ms(frame.dts)).to_bytes(3, "big")
            head = (b"\x17" if frame.flags & 1 else b"\x27") + b"\x01" + composition
            assert (message.type, message.payload) == (9, head + frame.data)
        else:
            assert (message.type, message.payload) == (8, b"\xaf\x01" + frame.data)
    return first


@pytest.mark.parametrize(
    "start_s", [0, 5 * 3600, 60 * 24 * 3600], ids=["new", "5 h: past 24 bits", "60 d: past 32 bits"]
)
def test_a_hundred_connections_read_back_every_frame(start_s: int) -> None:
    muxer = RtmpMuxer(Ring(), [VIDEO, AUDIO], CHUNK_BYTES)
    wire = Wire()
    frames = list(av_frames(4, picture_bytes=4000, start=start_s * 90000 + 12345, reorder=2))
    peers: list[Peer] = []
    for number, frame in enumerate(frames):
        muxer.write_frame(frame.track, frame.dts, frame.pts, frame.flags, frame.data)
        if number % 3 == 0 and len(peers) < 100:
            peers.append(Peer(muxer, 1 + number % 7))
            wire.join(peers[-1])
    muxer.ring.end()
    joins = [check(peer, wire.leave(peer), frames) for peer in peers]
    assert joins[0] == 0
    assert len(set(joins)) >= 3
    wire.close()


def test_messages_longer_than_a_chunk_are_split_and_read_back() -> None:
    muxer = RtmpMuxer(Ring(), [VIDEO, AUDIO], CHUNK_BYTES)
    wire = Wire()
    frames = list(av_frames(0.5, picture_bytes=50000))
    for frame in frames:
        muxer.write_frame(frame.track, frame.dts, frame.pts, frame.flags, frame.data)
    muxer.ring.end()
    peer = Peer(muxer, 9)
    wire.join(peer)
    assert check(peer, wire.leave(peer), frames) == 0
    wire.close()


def test_a_new_configuration_goes_to_those_who_watch_and_those_who_join() -> None:
    muxer = RtmpMuxer(Ring(), [VIDEO, AUDIO])
    wire = Wire()
    frames = list(av_frames(2, gop=25, picture_bytes=500))
    second_key = next(i for i, frame in enumerate(frames) if frame.track == 0 and frame.dts == 25 * 3600)
    other = AVCC[:-1] + b"\x81"
    early, late = Peer(muxer, 1), Peer(muxer, 1)
    for index, frame in enumerate(frames):
        if index == second_key:
            wire.join(early)
            muxer.write_frame(0, frame.dts, frame.dts, CONFIG, AVCC)  # the same again says nothing
            muxer.write_frame(0, frame.dts, frame.dts, CONFIG, other)
        muxer.write_frame(frame.track, frame.dts, frame.pts, frame.flags, frame.data)
    muxer.ring.end()
    wire.join(late)
    configs = [m.payload[5:] for m in wire.leave(early) if m.type == 9 and m.payload[1] == 0]
    assert configs == [AVCC, other]
    configs = [m.payload[5:] for m in wire.leave(late) if m.type == 9 and m.payload[1] == 0]
    assert configs == [other]
    wire.close()


def test_audio_alone_has_a_join_point_every_400_ms() -> None:
    muxer = RtmpMuxer(Ring(), [AUDIO])
    keys = []
    for number in range(200):
        muxer.write_frame(1, number * 1920, number * 1920, 1, bytes(20))
        if muxer.ring.last_key == muxer.ring.head - 1:
            keys.append(number * 1920 / 90)
    assert keys[0] == 0
    assert max(b - a for a, b in itertools.pairwise(keys)) <= 430


def test_times_are_rounded_from_absolute_values() -> None:
    """44.1 kHz and 29.97 fps do not divide into milliseconds; after an hour there is still no drift."""
    muxer = RtmpMuxer(Ring(spans=8192), [AUDIO])
    wire, peer = Wire(), None
    frames = 150_000
    for number in range(frames):
        dts = number * 1024 * 90000 // 44100
        muxer.write_frame(1, dts, dts, 1, b"\x01")
        if number == frames - 100:
            peer = Peer(muxer, 1)
            wire.join(peer)
    assert peer is not None
    muxer.ring.end()
    media = [message for message in wire.leave(peer) if message.payload[1] == 1]
    last = (frames - 1) * 1024 * 90000 // 44100
    first = (frames - len(media)) * 1024 * 90000 // 44100
    assert media[-1].timestamp_ms - media[0].timestamp_ms == ms(last) - ms(first)
    wire.close()


@pytest.mark.parametrize(
    ("tracks", "sentence"),
    [
        ([], "no track for RTMP"),
        ([Track(7, Codec.MP2)], "track 7 is MP2: RTMP carries H264, HEVC"),
        ([replace(VIDEO, config=bytes(70000))], "a decoder configuration record of 70000 bytes"),
    ],
)
def test_what_rtmp_cannot_carry_is_said(tracks: list[Track], sentence: str) -> None:
    with pytest.raises(MediaError, match=sentence):
        RtmpMuxer(Ring(), tracks)


def test_frames_of_other_tracks_and_empty_frames_are_passed_over() -> None:
    muxer = RtmpMuxer(Ring(), [VIDEO])
    muxer.write_frame(1, 0, 0, 1, b"audio")
    muxer.write_frame(0, 0, 0, 1, b"")
    assert muxer.ring.head == 0


# ---- enhanced RTMP: what one side writes, the other reads ----

HVCC = videoconfig.build_hvcc(*[[unit] for unit in HEVC_SETS])
STREAMINFO = bytes.fromhex("10001000000000000000") + (48000 << 12 | 1 << 9 | 15 << 4).to_bytes(4, "big") + bytes(20)
VIDEOS = [
    VIDEO,
    Track(0, Codec.HEVC, config=HVCC, width=640),
    Track(0, Codec.AV1, config=b"\x81\x04\x0c\x00"),
    Track(0, Codec.VP9, config=b"\x01\0\0\0\0\x0a\x82\x02\x02\x02\0\0"),
]
AUDIOS = [
    AUDIO,
    Track(1, Codec.MP3, sample_rate=48000, channels=2),
    Track(1, Codec.OPUS, config=opus_head(6), channels=6),
    Track(1, Codec.FLAC, config=STREAMINFO, sample_rate=48000, channels=2),
    Track(1, Codec.AC3, sample_rate=48000, channels=6),
    Track(1, Codec.EAC3, sample_rate=48000, channels=6),
]


def sent_and_read(tracks: list[Track], frames: list[TestFrame], enhanced: Enhanced, **more: object) -> FlvInput:
    """Through a muxer, a sender, a socket, a chunk reader and an input."""
    muxer = RtmpMuxer(Ring(), tracks, 4096, enhanced, **more)
    wire, peer = Wire(), Peer(muxer, 7)
    for frame in frames:
        muxer.write_frame(frame.track, frame.dts, frame.pts, frame.flags, frame.data)
    wire.join(peer)
    messages = wire.leave(peer)
    wire.close()
    found = FlvInput(Source(Clock()))
    for message in messages:
        if message.type in (8, 9):
            found.receive(message)
        else:
            name, *values = amf0.decode(message.payload)
            if name == "@setDataFrame":
                found.metadata(dict(values[1]))
            else:
                found.data(message.timestamp_ms, message.payload)
    return found


def frames_of(tracks: list[Track], step: int = 3600) -> list[TestFrame]:
    """The first of each video is a keyframe; presentation times that no whole millisecond is."""
    heads = {Codec.AC3: ac3_frame(1)[:7], Codec.EAC3: eac3_frame(1)[:7], Codec.MP3: mp3_frame(1)[:7]}
    return [
        TestFrame(
            track.id,
            90_000 + number * step,
            90_000 + number * step + (7213 if track.codec in (Codec.H264, Codec.HEVC) else 0),
            1 if number == 0 or track.kind is Kind.AUDIO else 0,
            heads.get(track.codec, b"") + bytes((track.id, number)) * 300,
        )
        for number in range(12)
        for track in tracks
    ]


def check_read(found: FlvInput, tracks: list[Track], frames: list[TestFrame], tolerance: int) -> None:
    """Every frame of every track, in order, at one distance in time; tracks are numbered by the input."""
    assert [(track.codec, track.config) for track in found.tracks] == [(track.codec, track.config) for track in tracks]
    got = found.source.recent()
    for number, track in enumerate(tracks):
        sent = [frame for frame in frames if frame.track == track.id]
        own = [frame for frame in got if frame[0] == found.tracks[number].id]
        assert [(flags & 1, data) for _, _, _, flags, data in own] == [(frame.flags, frame.data) for frame in sent]
        distance = own[0][1] - sent[0].dts
        for (_, dts, pts, _, _), frame in zip(own, sent, strict=True):
            assert abs(dts - distance - frame.dts) <= 45
            assert abs(pts - distance - frame.pts) <= tolerance


@pytest.mark.parametrize("enhanced", [Enhanced.AUTO, Enhanced.ALWAYS])
@pytest.mark.parametrize("video", VIDEOS, ids=lambda track: track.codec.name)
@pytest.mark.parametrize("audio", AUDIOS, ids=lambda track: track.codec.name)
def test_every_codec_is_read_back(video: Track, audio: Track, enhanced: Enhanced) -> None:
    frames = frames_of([video, audio])
    found = sent_and_read([video, audio], frames, enhanced)
    assert found.ready
    check_read(found, [video, audio], frames, 1 if enhanced is Enhanced.ALWAYS else 45)


def test_tracks_without_end() -> None:
    tracks = [replace(VIDEOS[0], id=0), replace(AUDIO, id=1), replace(VIDEOS[1], id=2), replace(VIDEOS[2], id=3)]
    tracks += [replace(AUDIOS[2], id=4), replace(AUDIO, id=5, language="deu")]
    frames = frames_of(tracks)
    check_read(sent_and_read(tracks, frames, Enhanced.AUTO), tracks, frames, 45)


@pytest.mark.parametrize(
    ("tracks", "sentence"),
    [
        ([VIDEO, replace(VIDEO, id=4)], "track 4 is a second video track: RTMP carries one unless it is enhanced"),
        ([VIDEOS[1]], "track 0 is HEVC: RTMP carries H264, AAC, MP3 unless it is enhanced"),
    ],
)
def test_what_plain_rtmp_cannot_carry(tracks: list[Track], sentence: str) -> None:
    with pytest.raises(MediaError, match=sentence):
        RtmpMuxer(Ring(), tracks, 4096, Enhanced.NEVER)


def test_a_plain_stream_is_the_same_bytes_unless_all_is_enhanced() -> None:
    rings = []
    for enhanced in (Enhanced.AUTO, Enhanced.NEVER, Enhanced.ALWAYS):
        muxer = RtmpMuxer(Ring(), [VIDEO, AUDIO], 4096, enhanced)
        for frame in av_frames(1):
            muxer.write_frame(frame.track, frame.dts, frame.pts, frame.flags, frame.data)
        rings.append([muxer.ring.read(seq) for seq in range(muxer.ring.head)])
    assert rings[0] == rings[1] != rings[2]


def test_colour_and_cue_points_go_along() -> None:
    """HDR metadata is read back and is there for whoever joins later; AMF data and splices come at their time."""
    hevc = VIDEOS[1]
    colour = amf0.encode("colorInfo", {"colorConfig": {"bitDepth": 10.0}})
    cue = amf0.encode("onTextData", {"text": "hello"})
    frames = frames_of([hevc, AUDIO])
    frames[4:4] = [
        TestFrame(0, frames[4].dts, frames[4].dts, 8, colour),
        TestFrame(0, frames[4].dts, frames[4].dts, 16, cue),
        TestFrame(9, frames[4].dts, frames[4].dts, 1, splice_insert(5, -frames[4].dts)),
    ]
    found = sent_and_read([hevc, AUDIO], frames, Enhanced.AUTO, cues=[9])
    assert found.source.tracks[0].metadata == colour
    data = [data for _, _, _, flags, data in found.source.recent() if flags & 16]
    name, values = amf0.decode(data[1])
    assert data[0] == cue
    assert (name, values["name"], values["type"]) == ("onCuePoint", "scte35", "splice_insert")
    section = base64.b64decode(values["cue"])
    assert (section[0], crc32(section)) == (0xFC, 0)
    assert values["time"] == frames[4].dts / 90_000
    media = [frame for frame in frames if frame.flags < 8 and frame.track != 9]
    plain = [frame for frame in found.source.recent() if not frame[3] & 24]
    assert [frame[4] for frame in plain] == [frame.data for frame in media]
    late = RtmpMuxer(Ring(), [replace(hevc, metadata=colour)], 4096, Enhanced.AUTO)
    late.write_frame(0, 0, 0, 1, b"picture")
    wire, peer = Wire(), Peer(late, 7)
    wire.join(peer)
    types = [message.payload[:5] for message in wire.leave(peer)]
    wire.close()
    assert types[1:] == [b"\x90hvc1", b"\xd4hvc1", b"\x91hvc1"]
