"""GopCache: what a feed that is created later gets to see."""

from __future__ import annotations

import pytest
from streams import AUDIO, KEY, VIDEO, av_frames

from pushcast.errors import MediaError
from pushcast.feed import feed_muxer
from pushcast.gopcache import GopCache
from pushcast.media import Container, FeedKey
from pushcast.ring import Ring

MILLISECOND = 90
JOIN_MS = 400  # how far apart join points of a stream without video are


def filled(cache: GopCache) -> Ring:
    """The ring of a feed that is filled from it."""
    muxer = feed_muxer(FeedKey(Container.RTMP, (0, 1)), (VIDEO, AUDIO))
    cache.fill(muxer)
    return muxer.ring


def test_nothing_is_there_at_first() -> None:
    cache = GopCache()
    assert cache.recent() == []
    assert filled(cache).head == 0


@pytest.mark.parametrize("size", [0, 1, 70_000])
def test_what_was_remembered_is_whole(size: int) -> None:
    cache = GopCache()
    cache.joins_at(0)
    frames = [
        (0, 90 * number, 90 * number + 45, KEY if number % 3 == 0 else 0, bytes([number]) * size) for number in range(9)
    ]
    for frame in frames:
        cache.push(*frame)
    assert cache.recent() == frames


def test_a_feed_is_filled_from_the_newest_keyframe_of_the_key_track() -> None:
    cache = GopCache()
    cache.joins_at(0)
    frames = list(av_frames(2.5, gop=25))
    for frame in frames:
        cache.push(frame.track, frame.dts, frame.pts, frame.flags, frame.data)
    last_key = max(index for index, frame in enumerate(frames) if frame.track == 0 and frame.flags & KEY)
    assert filled(cache).head == len(frames) - last_key


def test_without_video_a_feed_begins_less_than_a_join_ago() -> None:
    cache = GopCache()
    for number in range(100):
        cache.push(1, number * 20 * MILLISECOND, number * 20 * MILLISECOND, KEY, b"sound")
    assert 1 <= filled(cache).head <= JOIN_MS // 20


def test_without_a_keyframe_there_is_nothing_to_begin_with() -> None:
    cache = GopCache()
    cache.joins_at(0)
    cache.push(1, 0, 0, KEY, b"sound")
    cache.push(0, 0, 0, 0, b"picture")
    assert len(cache.recent()) == 2
    assert filled(cache).head == 0


def test_a_frame_that_leaves_no_room_for_others_is_refused() -> None:
    cache = GopCache()
    with pytest.raises(MediaError, match="a frame of"):
        cache.push(0, 0, 0, KEY, bytes(17 << 20))
    assert cache.recent() == []
