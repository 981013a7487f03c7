"""What stands behind an input while it is fuzzed: a source, and a feed of each container once the stream is ready.

So muxers see what parsers let through.  What must hold of every source and every feed is checked at the end.  What
would cost more than what is tested is made cheap: the CRC of the tables that a muxer writes, and the index of its ring.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Protocol

from pushcast import feed as feed_module
from pushcast import psi, psisection
from pushcast.chunk import ChunkReader, write_message
from pushcast.errors import MediaError
from pushcast.feed import Feed
from pushcast.media import Container, FeedKey, Track
from pushcast.source import Clock, Source

TS_BYTES = 188
CONFIG, METADATA, DATA = 2, 8, 16
SET_CHUNK_SIZE, CHUNK_BYTES = 1, 65536  # of RtmpMuxer
_TICKS_MOST = 1 << 62  # times are unwrapped differences of short clocks: nothing honest or hostile comes near

# Of a feed: room for the longest input, where a real one has room for ten minutes.
FEED = {"RING_SPANS": 1 << 12, "RING_BYTES": 64 << 20, "RING_START_BYTES": 1 << 16}


def make_cheap(set: Callable[[object, str, object], None]) -> None:
    """The same CRC in C, and small feeds."""
    set(psi, "crc32", psisection.crc32)
    for name, value in FEED.items():
        set(feed_module, name, value)


class Input(Protocol):
    """TsInput and FlvInput."""

    @property
    def source(self) -> Source: ...
    @property
    def tracks(self) -> tuple[Track, ...]: ...
    @property
    def ready(self) -> bool: ...
    @property
    def frozen(self) -> bool: ...
    def freeze(self) -> None: ...


def new_source() -> Source:
    return Source(Clock())


def feeds_of(source: Source) -> list[Feed]:
    """A feed of all tracks in each container that can carry them."""
    made = []
    for container in Container:
        try:
            made.append(source.feed(FeedKey(container, tuple(track.id for track in source.tracks))))
        except MediaError:
            continue
    return made


class Receiver:
    """Announces an input as soon as it may be, as an ingest does."""

    def __init__(self, input: Input) -> None:
        self.input = input
        self.feeds: list[Feed] = []

    def attend(self) -> None:
        if self.input.ready and not self.input.frozen:
            self.input.freeze()
            self.feeds = feeds_of(self.input.source)

    def check(self) -> None:
        check_source(self.input.source)
        for feed in self.feeds:
            check_feed(feed)


def check_source(source: Source) -> None:
    """DTS grow in each track, no PTS is before its DTS, and no track is one that nobody knows."""
    times: dict[int, list[int]] = {track.id: [] for track in source.tracks}
    for track, dts, pts, flags, _ in source.recent():
        assert dts <= pts < _TICKS_MOST, f"track {track}: DTS {dts}, PTS {pts}"
        if not flags & (DATA | CONFIG | METADATA):
            times[track].append(dts)
    for track, found in times.items():
        assert all(before < after for before, after in pairwise(found)), f"track {track}: DTS {found}"
    source.measured()


def check_feed(feed: Feed) -> None:
    """Spans of a transport stream are whole packets; those of RTMP are chunks that a reader puts together."""
    ring = feed.ring
    first = ring.tail
    if feed.key.container is Container.MPEGTS:
        for number in range(first, ring.head):
            span = ring.read(number)
            assert len(span) % TS_BYTES == 0, f"a span of {len(span)} bytes"
            assert set(span[::TS_BYTES]) <= {0x47}, "a packet without its sync byte"
        return
    reader = ChunkReader()
    reader.receive(write_message(2, SET_CHUNK_SIZE, 0, 0, CHUNK_BYTES.to_bytes(4, "big"), 128))
    for number in range(first, ring.head):
        assert reader.receive(ring.read(number)), "a span that does not end a message"
