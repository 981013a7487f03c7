"""RTMP ingest: real publishers, names and vhosts, deadlines and limits, hostile bytes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from live import until
from rtmp_publishers import AUDIO_HEADER, VIDEO_HEADER, Publisher, ffmpeg_publishes, live, reasons

from pushcast.chunk import write_message
from pushcast.errors import ProtocolError, Rejected
from pushcast.ingest import rtmp, rtmp_publisher
from pushcast.ingest.gate import Gate
from pushcast.ingest.rtmp import RtmpIngest
from pushcast.media import Codec
from pushcast.rtmp import connection
from pushcast.rtmp.amf0 import EcmaArray, encode
from pushcast.rtmp.client import CHUNK_SIZE
from pushcast.rtmp.events import (
    Connect,
    Connected,
    HandshakeDone,
    Hello,
    Prepare,
    Publish,
    StreamCreated,
    Unpublish,
)
from pushcast.source import Clock
from pushcast.stream import Registry

VHOSTS = {"first": ("one", "two"), "127.0.0.1": ("one",), "Cams.Example": ("one",)}


@pytest.fixture
def registry() -> Registry:
    return Registry(VHOSTS, Clock())


@pytest_asyncio.fixture
async def ingest(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RtmpIngest]:
    monkeypatch.setattr(rtmp, "SWEEP_S", 0.02)
    made = RtmpIngest(registry, Gate(registry, {}), "127.0.0.1", 0)
    await made.start()
    yield made
    await made.close()


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    logging.getLogger("pushcast").propagate = True
    caplog.set_level("INFO", logger="pushcast")
    return caplog


async def test_ffmpeg_publishes_and_returns(
    ingest: RtmpIngest, registry: Registry, log: pytest.LogCaptureFixture
) -> None:
    url = f"rtmp://127.0.0.1:{ingest.port}/one/cam?token=h1dden"
    reached = 0
    for _ in range(2):
        ffmpeg = await ffmpeg_publishes(url, 0.8)
        stream = await live(registry, "127.0.0.1", "one", "cam")
        video, audio = stream.tracks
        assert (video.codec, video.width, video.height) == (Codec.H264, 320, 180)
        assert (audio.codec, audio.sample_rate) == (Codec.AAC, 44100)
        assert stream.source_type == "Rtmp"
        assert stream.source_url.endswith("/one/cam")
        _, errors = await asyncio.wait_for(ffmpeg.communicate(), 20)
        assert ffmpeg.returncode == 0, errors.decode()
        await asyncio.wait_for(stream.ended.wait(), 5)
        assert stream.source.frame_count >= 20 + 34 - 4
        assert stream.source.last_dts > reached
        reached = stream.source.last_dts
    await until(lambda: len(reasons(log)) == 2)
    assert reasons(log) == ["the publisher left"] * 2
    assert "h1dden" not in log.text


async def test_ffmpeg_is_refused_an_unknown_app(ingest: RtmpIngest, log: pytest.LogCaptureFixture) -> None:
    ffmpeg = await ffmpeg_publishes(f"rtmp://127.0.0.1:{ingest.port}/nowhere/cam", 1)
    _, errors = await asyncio.wait_for(ffmpeg.communicate(), 20)
    assert ffmpeg.returncode != 0
    assert b"Could not find the application: [127.0.0.1/nowhere]" in errors
    assert reasons(log) == ["refused: Could not find the application: [127.0.0.1/nowhere]"]


@pytest.mark.parametrize("size", [1 << 20, 700])
async def test_frames_reach_the_source(ingest: RtmpIngest, registry: Registry, size: int) -> None:
    publisher = await Publisher(ingest.port, size).publish("s")
    await publisher.headers()
    stream = await live(registry, "first", "one", "s")
    for number in range(12):
        await publisher.picture(number, 70_000 if number == 0 else 900)
    await until(lambda: stream.source.frame_count == 13)
    assert stream.source.byte_count == 1 + 70_004 + 11 * 904
    publisher.writer.close()
    await asyncio.wait_for(stream.ended.wait(), 5)
    assert stream.source.ended


NAMES = [
    # host, app, name as sent, vhost, app, stream
    ("127.0.0.1", "one", "a", "127.0.0.1", "one", "a"),
    ("127.0.0.1:1935", "one", "a", "127.0.0.1", "one", "a"),
    ("elsewhere.example", "two", "a", "first", "two", "a"),
    ("cams.example", "one", "a", "Cams.Example", "one", "a"),
    ("[::1", "one", "a", "first", "one", "a"),
    ("first", "one/_definst_", "a?key=v&x=/y", "first", "one", "a"),
    ("first", "/one/?vhost=x", "/a/", "first", "one", "a"),
    ("first", "one", "ünder däta", "first", "one", "ünder däta"),
]


@pytest.mark.parametrize(("host", "app", "sent", "vhost", "wanted_app", "name"), NAMES)
async def test_names(
    ingest: RtmpIngest, registry: Registry, host: str, app: str, sent: str, vhost: str, wanted_app: str, name: str
) -> None:
    publisher = await Publisher(ingest.port).publish(sent, app, host)
    await publisher.headers()
    stream = await live(registry, vhost, wanted_app, name)
    publisher.writer.close()
    await asyncio.wait_for(stream.ended.wait(), 5)


REFUSED = [
    ("a", "three", "NetStream.Publish.Denied", "Could not find the application: [first/three]"),
    ("?only=query", "one", "NetStream.Publish.BadName", "expected a stream name"),
    ("n" * 300, "one", "NetStream.Publish.BadName", "expected a stream name"),
    ("line\nbreak", "one", "NetStream.Publish.BadName", "expected a stream name"),
]


@pytest.mark.parametrize(("name", "app", "code", "words"), REFUSED)
async def test_refusals(
    ingest: RtmpIngest, log: pytest.LogCaptureFixture, name: str, app: str, code: str, words: str
) -> None:
    publisher = Publisher(ingest.port)
    with pytest.raises(Rejected, match=code):
        await publisher.publish(name, app)
    await publisher.closed()
    assert len(reasons(log)) == 1
    assert reasons(log)[0].startswith(f"refused: {words}")


async def test_a_name_in_use_is_refused_and_the_first_publisher_stays(
    ingest: RtmpIngest, registry: Registry, log: pytest.LogCaptureFixture
) -> None:
    first = await Publisher(ingest.port).publish("s")
    for _ in range(2):  # held by its publisher, then live
        second = Publisher(ingest.port)
        with pytest.raises(Rejected, match=r"NetStream\.Publish\.BadName"):
            await second.publish("s")
        await second.closed()
        await first.headers()
        stream = await live(registry, "first", "one", "s")
    await first.picture(0)
    await until(lambda: stream.source.frame_count == 3)
    assert len(reasons(log)) == 2
    first.writer.close()
    await asyncio.wait_for(stream.ended.wait(), 5)
    third = await Publisher(ingest.port).publish("s")
    third.writer.close()


async def test_unpublish_ends_the_stream_and_the_connection_may_publish_again(
    ingest: RtmpIngest, registry: Registry
) -> None:
    publisher = await Publisher(ingest.port).publish("s")
    await publisher.headers()
    stream = await live(registry, "first", "one", "s")
    await publisher.write(publisher.connection.send(Unpublish()))
    await asyncio.wait_for(stream.ended.wait(), 5)
    await publisher.media(9, 50, b"\x27\1\0\0\0late")  # belongs to nobody
    await publisher.write(write_message(3, 20, 1, 0, encode("publish", 9, None, "again", "live"), CHUNK_SIZE))
    await publisher.headers()
    await live(registry, "first", "one", "again")
    publisher.writer.close()


async def test_unsupported_media_ends_the_connection_with_the_reason(
    ingest: RtmpIngest, log: pytest.LogCaptureFixture
) -> None:
    publisher = await Publisher(ingest.port).publish("s")
    await publisher.media(8, 0, b"\x1f\xff\xfb")
    await publisher.closed()
    assert reasons(log) == ["audio: found FLV format 1, expected 10 (AAC), 2 (MP3) or a FourCC"]


async def test_a_track_that_comes_late_is_left_out_and_said_once(
    ingest: RtmpIngest, registry: Registry, log: pytest.LogCaptureFixture
) -> None:
    publisher = await Publisher(ingest.port).publish("s")
    await publisher.media(18, 0, encode("@setDataFrame", "onMetaData", EcmaArray(width=640.0)))
    await publisher.media(9, 0, VIDEO_HEADER)
    await publisher.picture(0)
    stream = await live(registry, "first", "one", "s")
    for _ in range(2):
        await publisher.media(8, 40, AUDIO_HEADER)
        await publisher.media(8, 40, b"\xaf\x01sound")
    await publisher.picture(1)
    await until(lambda: stream.source.frame_count == 2)
    assert [track.id for track in stream.tracks] == [0]
    await until(lambda: any("left out" in text for text in log.messages))
    late = [text for text in log.messages if "left out" in text]
    assert late == ["stream first/one/s: a track came after the stream was announced: left out"]
    publisher.writer.close()


HOSTILE = [
    (b"GET / HTTP/1.1\r\n\r\n", "RTMP handshake: expected version 3 from the client, got 71"),
    (b"\x03" + bytes(3072) + b"\xc5", "RTMP chunk stream 5: expected fmt 0 in its first chunk, got fmt 3"),
    (
        b"\x03" + bytes(3072) + b"\x06" + bytes(3) + b"\xff\xff\xff\x09" + bytes(4),
        "expected a message of at most 262144 bytes",
    ),
    (b"\x03" + bytes(3072) + write_message(3, 20, 0, 0, b"\x02\0\x09x", 128), "AMF0: expected 9 bytes"),
    (b"\x03" + bytes(3072) + write_message(3, 20, 0, 0, encode("play", 1), 128), "expected connect, got 'play'"),
    (
        b"\x03"
        + bytes(3072)
        + b"".join(write_message(csid, 9, 0, 0, bytes(9), 128) for csid in range(2, 90))
        + bytes(300),
        "expected at most 64 chunk stream ids, got one more: 66",
    ),
]


@pytest.mark.parametrize(("wire", "words"), HOSTILE, ids=[case[1] for case in HOSTILE])
async def test_hostile_bytes_cost_their_own_connection_and_one_line(
    ingest: RtmpIngest, registry: Registry, log: pytest.LogCaptureFixture, wire: bytes, words: str
) -> None:
    other = await Publisher(ingest.port).publish("other")
    await other.headers()
    stream = await live(registry, "first", "one", "other")
    log.clear()
    reader, writer = await asyncio.open_connection("127.0.0.1", ingest.port)
    writer.write(wire)
    with contextlib.suppress(ConnectionError):
        await asyncio.wait_for(reader.read(-1), 5)
    writer.close()
    assert len(log.messages) == 1
    assert words in reasons(log)[0]
    await other.picture(0)
    await until(lambda: stream.source.frame_count == 2)
    other.writer.close()


async def test_deadlines(
    ingest: RtmpIngest, registry: Registry, log: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rtmp_publisher, "PUBLISH_DEADLINE_S", 0.2)
    reader, writer = await asyncio.open_connection("127.0.0.1", ingest.port)
    assert await asyncio.wait_for(reader.read(-1), 5) == b""
    writer.close()
    publisher = await Publisher(ingest.port).publish("s")
    monkeypatch.setattr(rtmp_publisher, "TRACKS_DEADLINE_S", 0.2)
    await publisher.closed()
    publisher = await Publisher(ingest.port).publish("s")
    await publisher.headers()
    await live(registry, "first", "one", "s")
    monkeypatch.setattr(rtmp_publisher, "IDLE_DEADLINE_S", 0.2)
    await publisher.closed()
    assert reasons(log) == [
        "expected publish within 0.2 s, got none",
        "expected a track that can be decoded within 0.2 s, got none",
        "expected bytes within 0.2 s, got none",
    ]
    assert registry.get("first", "one", "s") is None


async def test_strangers_are_limited_and_publishers_are_not_strangers(
    ingest: RtmpIngest, log: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rtmp, "MAX_STRANGERS", 3)
    publishers = [await Publisher(ingest.port).publish(f"s{number}") for number in range(5)]
    strangers = [await asyncio.open_connection("127.0.0.1", ingest.port) for _ in range(4)]
    refused = 0
    for reader, _ in strangers:
        with contextlib.suppress(TimeoutError):
            with contextlib.suppress(ConnectionError):
                await asyncio.wait_for(reader.read(1), 0.2)
            refused += 1
    assert refused == 1
    await until(lambda: " connections refused: expected at most 3 that do not publish" in log.text)
    for _, writer in [*strangers, *((each.reader, each.writer) for each in publishers)]:
        writer.close()


async def test_a_peer_that_does_not_read_its_answers_is_dropped(
    ingest: RtmpIngest, log: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rtmp_publisher, "MAX_UNREAD_BYTES", 2000)
    monkeypatch.setattr(connection, "MAX_REPLY_BYTES", 1 << 30)
    publisher = await Publisher(ingest.port, receive_buffer_bytes=4096).publish("s")
    ping = write_message(2, 4, 0, 0, b"\0\6\1\2\3\4", CHUNK_SIZE) * 2000
    publisher.writer.transport.pause_reading()
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(10):
            while not reasons(log):
                publisher.writer.write(ping)
                await publisher.writer.drain()
                await asyncio.sleep(0)
    assert reasons(log) == ["expected the peer to read its answers, got 2000 bytes unread"]
    publisher.writer.close()


async def test_closing_the_server_ends_streams(registry: Registry, log: pytest.LogCaptureFixture) -> None:
    ingest = RtmpIngest(registry, Gate(registry, {}), "127.0.0.1", 0)
    await ingest.start()
    publisher = await Publisher(ingest.port).publish("s")
    await publisher.headers()
    stream = await live(registry, "first", "one", "s")
    await asyncio.wait_for(ingest.close(), 5)
    assert stream.ended.is_set()
    assert reasons(log) == ["the server stops"]
    await publisher.closed()
    await ingest.close()


async def test_media_right_behind_publish_is_not_lost(ingest: RtmpIngest, registry: Registry) -> None:
    """A publisher that does not wait for Publish.Start: everything from publish on in one write."""
    publisher = Publisher(ingest.port)
    publisher.reader, publisher.writer = await asyncio.open_connection("127.0.0.1", ingest.port)
    await publisher.ask(Hello(), HandshakeDone)
    await publisher.ask(Connect("one", "rtmp://first/one"), Connected)
    await publisher.ask(Prepare("s"), StreamCreated)
    publisher.writer.write(publisher.connection.send(Publish("s", 1)))
    await publisher.headers()
    await publisher.picture(0)
    stream = await live(registry, "first", "one", "s")
    await until(lambda: stream.source.frame_count == 2)
    publisher.writer.close()


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tail=st.binary(min_size=1, max_size=500))
def test_random_bytes_while_publishing_never_reach_further(tail: bytes) -> None:
    async def attack() -> None:
        registry = Registry(VHOSTS, Clock())
        ingest = RtmpIngest(registry, Gate(registry, {}), "127.0.0.1", 0)
        await ingest.start()
        try:
            publisher = await Publisher(ingest.port).publish("s")
            await publisher.headers()
            stream = await live(registry, "first", "one", "s")
            with contextlib.suppress(ConnectionError, ProtocolError):
                await publisher.write(tail)
                publisher.writer.write_eof()
                await publisher.closed()
            await asyncio.wait_for(stream.ended.wait(), 5)
            again = await Publisher(ingest.port).publish("s")
            again.writer.close()
        finally:
            await ingest.close()

    asyncio.run(attack())
