"""RTMP pushes to servers that do what no other server does: media arrives, and every question is answered."""

from __future__ import annotations

import contextlib
import random
from collections.abc import AsyncIterator
from itertools import pairwise

import pytest
from live import LiveStream, engine, settings, until, within
from odd_rtmp_server import BLOCK_BYTES, Habits, OddServer
from rtmp_peer import SECRET, served

from pushcast.push_state import PushState
from pushcast.rtmp import amf0
from pushcast.rtmp.messages import Type

PING = (4, b"\0\6\x0a\x0b\x0c\x0d")
SMALL_SIZES = (1, 2, 3, 7, 31, 64, 127, 128)
# A value of AMF3, which no command of ours asks for: the marker, and an object that names itself.
AMF3 = b"\x11\x0a\x0b\x01\x03a\x04\x05\x01"
# What a server may say at any time, as (type, payload).
CHATTER = {
    "ping": PING,
    "ping without a time": (4, b"\0\6"),
    "stream events": (4, b"\0\1\0\0\0\3"),
    "SWF verification": (4, b"\0\x1a"),
    "buffer events": (4, b"\0\x1f\0\0\0\3"),
    "unknown event": (4, b"\xff\xfe" + bytes(300)),
    "type 0": (0, b""),
    "type 7": (7, bytes(200)),
    "type 99": (99, b"\xff" * 500),
    "type 255": (255, bytes(1)),
    "shared objects": (19, b"\x00\x04room" + bytes(40)),
    "abort of nothing": (2, b"\0\0\0\x3d"),
    "acknowledgement out of the air": (3, b"\xff\xff\xff\xfe"),
    "audio": (8, b"\xaf\x01" + bytes(150)),
    "video": (9, b""),
    "empty aggregate": (22, b""),
    "onBWDone": (20, amf0.encode("onBWDone", 0.0, None, 8192.0)),
    "a call": (20, amf0.encode("getWeather", 77.0, {"place": "here"}, "now" * 90)),
    "a call in AMF3": (17, b"\0" + amf0.encode("onMystery", 0.0) + AMF3),
    "a call with AMF3 in it": (20, amf0.encode("onMystery", 0.0, None) + AMF3),
    "a call without a number": (20, amf0.encode("onMystery", "three")),
    "a call without a name": (20, b""),
    "result of no call": (20, amf0.encode("_result", 321.0, None, 6.0)),
    "error of no call": (20, amf0.encode("_error", 322.0, None, {"level": "error", "code": "NetStream.Failed"})),
    "warning": (20, amf0.encode("onStatus", 0.0, None, {"level": "warning", "code": "NetStream.Play.InsufficientBW"})),
    "sample access": (18, amf0.encode("|RtmpSampleAccess", True, True)),
    "data that is none": (18, b"\x0e\xff\x00garbage"),
    "data in AMF3": (15, b"\0" + amf0.encode("onCuePoint") + AMF3),
}


@contextlib.asynccontextmanager
async def pushed(habits: Habits) -> AsyncIterator[OddServer]:
    """The server after 40 frames arrived there, still live; at the end the push stops as wanted."""
    server = OddServer(habits)
    async with served(server.script) as target, engine() as world:
        live = LiveStream(world.registry)
        live.up()
        live.feed()
        push = world.scheduler.start(settings("p", f"rtmp://127.0.0.1:{target.port}/app", key=SECRET))
        await until(lambda: server.frames >= 1)
        for _ in range(13):
            before = server.frames
            live.feed(3)
            await until(lambda before=before: server.frames >= before + 3)
        assert push.state is PushState.PUSHING
        yield server
        world.scheduler.stop("v", "a", "p")
        await within(server.left.wait())
    assert server.connections == 1
    assert server.checker.errors() == {}
    assert not server.checker.cut
    assert server.frames == 40
    assert server.checker.stats()["metadata"] == 1
    message_stream_id = habits.message_stream_id
    assert server.commands("publish") == [(int(message_stream_id), (SECRET, "live"))]
    assert server.commands("deleteStream") == [(0, (message_stream_id,))]


def garbage(block: bytes) -> bytes:
    return random.Random(31).randbytes(len(block))


SERVERS = {
    "S2 is garbage": Habits(echo=garbage),
    "S2 is zeros": Habits(echo=lambda block: bytes(BLOCK_BYTES)),
    "message stream 0": Habits(message_stream_id=0.0),
    "message stream 0 in answer to call 0": Habits(message_stream_id=0.0, transaction_id=0.0),
    "createStream answered as call 0": Habits(transaction_id=0.0),
    "the last message stream": Habits(message_stream_id=4294967295.0),
    "chunks of 1 byte": Habits(chunk_sizes=(1,), chatter=(PING,)),
    "small chunks that change within each message": Habits(chunk_sizes=SMALL_SIZES, chatter=(PING,)),
    "huge chunks and small ones": Habits(chunk_sizes=(0x7FFFFFFF, 1, 65536), chatter=(PING,)),
    "bytes one by one": Habits(piece_bytes=1, chatter=(PING,)),
    "all of that": Habits(
        echo=garbage,
        message_stream_id=0.0,
        transaction_id=0.0,
        chunk_sizes=SMALL_SIZES,
        chatter=tuple(CHATTER.values()),
        piece_bytes=1,
        window_bytes=1,
    ),
}


@pytest.mark.parametrize("case", SERVERS)
async def test_media_arrives(case: str) -> None:
    async with pushed(SERVERS[case]) as server:
        await until(lambda: pongs(server) == server.told[PING])


@pytest.mark.parametrize("case", CHATTER)
async def test_what_is_said_between_the_answers_ends_nothing(case: str) -> None:
    async with pushed(Habits(chatter=(CHATTER[case], PING))) as server:
        assert server.told[CHATTER[case]] > 20
        await until(lambda: pongs(server) == server.told[PING])


def pongs(server: OddServer) -> int:
    return server.payloads(Type.USER_CONTROL).count(b"\0\7\x0a\x0b\x0c\x0d")


@pytest.mark.parametrize("window_bytes", [0, 1, 200])
async def test_a_tiny_window_is_acknowledged(window_bytes: int) -> None:
    """Also a window of 0, which asks for nothing that can be: each read is acknowledged then."""
    async with pushed(Habits(window_bytes=window_bytes, chatter=(PING,))) as server:
        await until(lambda: server.said_bytes - acknowledged(server)[-1] < max(window_bytes, 1))
        said = acknowledged(server)
        assert all(later - one >= max(window_bytes, 1) for one, later in pairwise(said))
        assert said[-1] <= server.said_bytes


def acknowledged(server: OddServer) -> list[int]:
    return [int.from_bytes(payload) for payload in server.payloads(Type.ACKNOWLEDGEMENT)]
