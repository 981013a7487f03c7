"""Clocks that wrap on the way: 24 and 32 bits of ms, 33 bits at 90 kHz.  No jump, no restart, receivers agree."""

from __future__ import annotations

from dataclasses import replace

import pytest
from read_ts import mux, shared
from serving import until
from streams import ASC, AUDIO, AVCC, VIDEO, TestFrame, av_frames
from test_flv import Peer, Wire

from pushcast.chunk import ChunkReader, write_message
from pushcast.flvinput import FlvInput
from pushcast.media import Container, FeedKey
from pushcast.source import Clock, Source
from pushcast.tsinput import TsInput
from pushcast.verify import TsChecker

# Where each clock wraps, in ms: 4.66 h, 49.7 days, 26.5 hours.
WRAPS_MS = {"24 bits of ms": 1 << 24, "32 bits of ms": 1 << 32, "33 bits at 90 kHz": (1 << 33) // 90}
SECONDS = 3


def through_rtmp(source: Source, frames: list[TestFrame], start_ms: int) -> None:
    """As a publisher sends them, whose clock began long ago."""
    reader = ChunkReader()
    reader.media = FlvInput(source)
    messages = [(9, 0, b"\x17\0\0\0\0" + AVCC), (8, 0, b"\xaf\0" + ASC)]
    for frame in frames:
        key = b"\x17" if frame.flags & 1 else b"\x27"
        head = key + b"\1\0\0\0" if frame.track == 0 else b"\xaf\1"
        messages.append((9 if frame.track == 0 else 8, frame.dts // 90, head + frame.data))
    for type, ms, body in messages:
        csid = 6 if type == 9 else 4
        assert reader.receive(write_message(csid, type, 1, (start_ms + ms) % (1 << 32), body, 128)) == []


def through_ts(source: Source, frames: list[TestFrame], start_ms: int) -> None:
    taken = TsInput(source)
    moved = [replace(each, dts=each.dts + 90 * start_ms, pts=each.pts + 90 * start_ms) for each in frames]
    taken.take(shared(mux([VIDEO, AUDIO], moved)))
    taken.flush()


@pytest.mark.parametrize("wrap", WRAPS_MS)
@pytest.mark.parametrize("through", [through_rtmp, through_ts])
def test_a_wrap_on_the_way_is_seen_by_nobody(wrap: str, through: object) -> None:
    frames = [frame for frame in av_frames(SECONDS, gop=1000) if frame.dts % 90 == 0]
    source = Source(Clock())
    through(source, frames, WRAPS_MS[wrap] - 1000 * SECONDS // 2)
    recent = [frame for frame in source.recent() if not frame[3] & 2]
    assert len(recent) == len(frames)
    zero = recent[0][1] - frames[0].dts
    assert sorted((track, dts - zero) for track, dts, *_ in recent) == sorted((each.track, each.dts) for each in frames)
    checker = TsChecker()
    checker.feed(shared(source.feed(FeedKey(Container.MPEGTS, (0, 1))).ring))
    assert not any(checker.errors().values())
    feed = source.feed(FeedKey(Container.RTMP, (0, 1)))
    wire, peer = Wire(), Peer(feed.muxer, 7)
    wire.join(peer)
    until("all is sent", lambda: len(peer.found) >= len(frames) + 3)
    media = [message for message in wire.leave(peer) if message.type in (8, 9)][2:]
    wire.close()
    times = {type: [message.timestamp_ms for message in media if message.type == type] for type in (8, 9)}
    wanted = {type: [frame.dts // 90 for frame in frames if frame.track == (type == 8)] for type in (8, 9)}
    for type, found in times.items():
        assert [each - found[0] for each in found] == [each - wanted[type][0] for each in wanted[type]]
    assert times[8][0] - times[9][0] == wanted[8][0] - wanted[9][0], "sound and picture keep their distance"
