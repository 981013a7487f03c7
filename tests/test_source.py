"""Source: one time line whatever the input's clock does, and feeds that begin with a keyframe at once."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from streams import AUDIO, AVCC, CONFIG, DISCONTINUITY, KEY, VIDEO, av_frames

from pushcast.errors import LocalProtocolError, MediaError
from pushcast.media import Codec, Container, FeedKey, Track
from pushcast.source import Clock, Source

RTMP_BOTH = FeedKey(Container.RTMP, (0, 1))
DISCONTINUITY_SPAN = DISCONTINUITY


def source(floor_dts: int = 0, tracks: tuple[Track, ...] = (VIDEO, AUDIO)) -> Source:
    made = Source(Clock(), floor_dts)
    made.set_tracks(tracks)
    return made


def spans(made: Source, key: FeedKey = RTMP_BOTH) -> list[tuple[int, int, int]]:
    """(track, dts, flags) of every span of a feed."""
    ring = made.feed(key).ring
    return [(track, dts, flags) for _, _, _, dts, flags, track in map(ring.span, range(ring.tail, ring.head))]


def test_the_clock_runs_in_whole_milliseconds() -> None:
    clock = Clock()
    first = clock.now()
    assert first % 90 == 0
    assert clock.now() >= first


@pytest.mark.parametrize(
    "start", [0, 7 * 90, 12345, -90000, (1 << 33) - 4000], ids=["0", "7 ms", "odd", "negative", "near 2**33"]
)
def test_a_source_begins_at_the_clock_and_keeps_all_distances(start: int) -> None:
    made = source()
    feed = made.feed(RTMP_BOTH)
    before = made.clock.now()
    frames = list(av_frames(2, start=start, reorder=2))
    for frame in frames:
        made.push(frame.track, frame.dts, frame.pts, frame.flags, frame.data)
    after = made.clock.now()
    sent = [feed.ring.span(seq)[3] for seq in range(feed.ring.head)]
    assert before <= sent[0] <= after + 90
    assert (sent[0] - frames[0].dts) % 90 == 0
    assert [each - sent[0] for each in sent] == [frame.dts - frames[0].dts for frame in frames]
    assert made.last_dts == max(sent)
    assert made.frame_count == len(frames)


@pytest.mark.parametrize("reordered", [False, True])
def test_tracks_are_measured(reordered: bool) -> None:
    made = source()
    nothing = made.measured()[0]
    assert not any(nothing.values())
    frames = list(av_frames(4))
    for frame in frames:
        late = 7200 if reordered and frame.dts % 10_800 == 0 else 0  # each third picture is shown after the next one
        made.push(frame.track, frame.dts, frame.pts + late, frame.flags, frame.data)
    video = [frame for frame in frames if frame.track == 0]
    keys = [number for number, frame in enumerate(video) if frame.flags & KEY]
    seconds = (video[-1].dts - video[0].dts) / 90_000
    measured = made.measured()[0]
    assert measured["frames_per_s"] == pytest.approx((len(video) - 1) / seconds)
    assert measured["latest_frames_per_s"] == pytest.approx(measured["frames_per_s"], rel=0.05)
    sent_bits = 8 * sum(len(frame.data) for frame in video) * (len(video) - 1) / len(video)
    assert measured["bits_per_s"] == pytest.approx(sent_bits / seconds, abs=1)
    assert measured["latest_key_interval"] == keys[-1] - keys[-2]
    assert measured["key_interval"] == (keys[-1] - keys[0]) / (len(keys) - 1)
    assert measured["frames_since_key"] == len(video) - 1 - keys[-1]
    assert measured["reordered"] is reordered
    assert made.measured()[1]["frames_per_s"] > 40


def test_a_returning_stream_continues_above_the_one_before() -> None:
    floor = Clock().now() + 3600 * 90000
    made = source(floor)
    made.push(0, 0, 0, KEY, b"\0\0\0\1\x65")
    assert made.last_dts >= floor


@pytest.mark.parametrize("jump_s", [-3600, -4, 11, 86400])
def test_a_jump_of_the_input_is_closed_and_marked(jump_s: int) -> None:
    made = source(tracks=(VIDEO,))
    feed = made.feed(FeedKey(Container.RTMP, (0,)))
    frames = [frame for frame in av_frames(1, gop=5) if frame.track == 0]
    for frame in frames:
        made.push(0, frame.dts, frame.pts, frame.flags, frame.data)
    later = jump_s * 90000 + 25 * 3600
    for frame in frames:
        made.push(0, frame.dts + later, frame.pts + later, frame.flags, frame.data)
    sent = [feed.ring.span(seq)[3] for seq in range(feed.ring.head)]
    steps = [b - a for a, b in itertools.pairwise(sent)]
    assert min(steps) > 0
    assert max(steps) <= 2 * 90000
    assert steps[len(frames) :] == [3600] * (len(frames) - 1)


def drifted(seconds: int, ppm: int) -> int:
    """So many seconds of ours by a publisher's clock, 90 kHz."""
    return seconds * (1_000_000 + ppm) * 9 // 100


@pytest.mark.parametrize("ppm", [-200, 200])
def test_a_jump_makes_no_step_of_what_clocks_have_come_apart(ppm: int) -> None:
    """Ten days of 200 ppm are 173 s."""
    made = source(tracks=(VIDEO,))
    for second in range(0, 10 * 86_400, 4):
        made.push(0, drifted(second, ppm), drifted(second, ppm), KEY, b"\0\0\0\1\x65")
        made.clock.advance(4000)
    assert made.behind == pytest.approx(-172.8 * 90_000 * ppm / 200, abs=90_000)
    before = made.last_dts
    made.push(0, 0, 0, KEY, b"\0\0\0\1\x65")
    assert made.last_dts - before == pytest.approx(4 * 90_000, abs=90_000)
    made.clock.advance(5000)
    returned = Source(made.clock, made.last_dts, made.behind)
    returned.set_tracks((VIDEO,))
    returned.push(0, 77, 77, KEY, b"\0\0\0\1\x65")
    assert returned.last_dts - made.last_dts == pytest.approx(5 * 90_000, abs=90_000), "the pause, and no more"


@pytest.mark.parametrize("ppm", [-200, 200])
def test_drift_leaves_stamps_delay_and_buffers_as_they_are(ppm: int) -> None:
    """Ten days, by a publisher's clock that is not ours."""
    made = source(tracks=(VIDEO,))
    feed = made.feed(FeedKey(Container.RTMP, (0,)), 30_000)
    first, sizes = 0, set()
    for second in range(0, 10 * 86_400, 4):
        dts = drifted(second, ppm)
        made.push(0, dts, dts, KEY, b"\0\0\0\1\x65")
        first = first or made.last_dts
        assert made.last_dts == first + dts, "stamps pass as they are"
        made.clock.advance(4000)
        if second % 10_000 == 0 and second:
            sizes.add(feed.ring.capacity_bytes)
            newest = feed.ring.span(feed.ring.head - 1)[3]
            ages_ms = [(newest - feed.ring.span(feed.ring.head - 1 - back)[3]) // 90 for back in range(9)]
            assert ages_ms[8] == pytest.approx(32_000, abs=10)
    assert len(sizes) == 1, "the ring does not grow"


def test_dts_grows_strictly_and_pts_never_precedes_it() -> None:
    made = source(tracks=(VIDEO,))
    feed = made.feed(FeedKey(Container.RTMP, (0,)))
    for dts, pts in [(0, 0), (3600, 0), (3600, 3600), (1800, 7200), (7200, 7200)]:
        made.push(0, dts, pts, KEY, b"\0\0\0\1\x65")
    sent = [feed.ring.span(seq)[3] for seq in range(feed.ring.head)]
    assert [each - sent[0] for each in sent] == [0, 3600, 3601, 3602, 7200]
    for seq in range(feed.ring.head):
        composition = int.from_bytes(feed.ring.read(seq)[10:13], "big")
        assert composition < 1 << 22, "a negative composition time"


def test_a_late_feed_begins_with_the_newest_keyframe() -> None:
    made = source()
    frames = list(av_frames(2.5, gop=25))
    for frame in frames:
        made.push(frame.track, frame.dts, frame.pts, frame.flags, frame.data)
    last_key = max(index for index, frame in enumerate(frames) if frame.track == 0 and frame.flags & KEY)
    got = spans(made)
    assert [track for track, *_ in got] == [frame.track for frame in frames[last_key:]]
    assert [dts - got[0][1] for _, dts, _ in got] == [frame.dts - frames[last_key].dts for frame in frames[last_key:]]
    assert got[0][2] & KEY


def test_a_late_feed_knows_its_rate_at_once() -> None:
    """Destinations are paced by it, and a cache of less than a second tells none."""
    made = source()
    for frame in av_frames(3.2, gop=25):
        made.push(frame.track, frame.dts, frame.pts, frame.flags, frame.data)
    ring = made.feed(RTMP_BOTH).ring
    assert ring.span(ring.head - 1)[3] - ring.span(0)[3] < 90000
    assert ring.bytes_per_s == made.bytes_per_s > 0


def test_pushes_of_one_selection_share_a_feed_until_the_last_lets_go() -> None:
    made = source()
    one, two, other = made.feed(RTMP_BOTH), made.feed(RTMP_BOTH), made.feed(FeedKey(Container.RTMP, (0,)))
    assert one is two
    assert one is not other
    assert (one.users, made.feed_count) == (2, 2)
    made.release(one)
    assert made.feed(RTMP_BOTH) is one
    made.release(one)
    made.release(one)
    made.release(other)
    assert made.feed_count == 0
    assert made.feed(RTMP_BOTH) is not one


def test_a_configuration_change_reaches_feeds_of_now_and_later() -> None:
    made = source()
    for frame in av_frames(1):
        made.push(frame.track, frame.dts, frame.pts, frame.flags, frame.data)
    feed = made.feed(RTMP_BOTH)
    head = feed.ring.head
    other = AVCC[:-1] + b"\x81"
    made.push(0, 90000, 90000, CONFIG, other)
    assert feed.ring.head == head + 1
    assert feed.ring.span(head)[4] & CONFIG
    assert other in feed.ring.read(head)
    assert made.tracks[0] == replace(VIDEO, config=other)
    made.push(0, 90000, 90000, KEY, b"\0\0\0\1\x65")
    late = made.feed(FeedKey(Container.RTMP, (0,)))
    assert other in late.ring.read_lead(late.ring.last_key)


def test_a_feed_that_cannot_go_on_fails_alone() -> None:
    """AAC at a rate that ADTS has no index for: MPEG-TS ends, RTMP goes on."""
    made = source()
    rtmp, mpegts = made.feed(RTMP_BOTH), made.feed(FeedKey(Container.MPEGTS, (0, 1)))
    heard: list[MediaError] = []
    mpegts.on_failure(heard.append)
    made.push(0, 0, 0, KEY, b"\0\0\0\1\x65")
    odd_rate = bytes.fromhex("17803e8090")  # AAC-LC, 32001 Hz, stereo
    made.push(1, 0, 0, CONFIG, odd_rate)
    made.push(1, 0, 0, KEY, b"sound")
    assert [str(error) for error in heard] == [str(mpegts.failure)]
    assert str(mpegts.failure).startswith("track 1 (AAC): ")
    again: list[MediaError] = []
    mpegts.on_failure(again.append)
    assert again == heard
    assert rtmp.failure is None
    assert rtmp.ring.head == 3
    assert made.feed_count == 1
    made.release(mpegts)
    assert made.feed_count == 1
    with pytest.raises(MediaError, match=r"track 1 \(AAC\)"):
        made.feed(FeedKey(Container.MPEGTS, (0, 1)))


def test_an_ended_source_ends_its_feeds_and_takes_no_more() -> None:
    made = source()
    made.end()
    assert made.ended
    with pytest.raises(LocalProtocolError, match="has ended"):
        made.push(0, 0, 0, KEY, b"x")


def test_frames_of_unknown_tracks_are_passed_over() -> None:
    made = source(tracks=(VIDEO,))
    made.push(9, 0, 0, KEY, b"x")
    assert made.frame_count == 0


@pytest.mark.parametrize(
    ("tracks", "sentence"),
    [
        (tuple(replace(AUDIO, id=number) for number in range(33)), "33 tracks: at most 32"),
        ((VIDEO, replace(AUDIO, id=0)), "two tracks with one id"),
    ],
)
def test_track_lists_are_checked(tracks: tuple[Track, ...], sentence: str) -> None:
    with pytest.raises(MediaError, match=sentence):
        source(tracks=tracks)


def test_a_track_that_became_another_leaves_no_frames_behind() -> None:
    """A transport stream may get another PMT before it is announced."""
    made = source()
    made.push(0, 0, 0, KEY, b"\0\0\0\2\x65\x88")
    made.push(1, 0, 0, KEY, b"sound")
    made.set_tracks([replace(VIDEO, width=320), AUDIO])
    assert len(made.recent()) == 2, "the same codecs are the same tracks"
    made.set_tracks([AUDIO, replace(VIDEO, codec=Codec.HEVC)])
    assert made.recent() == []
    made.push(1, 3600, 3600, KEY, b"sound")
    made.set_tracks([replace(VIDEO, codec=Codec.HEVC)])
    assert made.recent() == []


@given(
    st.lists(st.tuples(st.integers(0, 1), st.integers(-(1 << 40), 1 << 40), st.integers(-90_000, 90_000)), max_size=30)
)
def test_any_times_come_out_growing(times: list[tuple[int, int, int]]) -> None:
    made = source()
    for track, dts, composition in times:
        made.push(track, dts, dts + composition, KEY, b"\0\0\0\2\x65\x88")
    for track in (0, 1):
        seen = [(dts, pts) for number, dts, pts, _, _ in made.recent() if number == track]
        assert all(before[0] < after[0] for before, after in itertools.pairwise(seen))
        assert all(dts <= pts for dts, pts in seen)
