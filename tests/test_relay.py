"""Relay: frames of several sources in one, aligned by when they come or by their time stamps."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
from streams import AUDIO, AVCC, CONFIG, KEY, VIDEO, av_frames

from pushcast.errors import MediaError
from pushcast.relay import Relay
from pushcast.source import Clock, Source

SECOND = 90_000
OTHER_AVCC = AVCC[:-1] + b"\x21"


def source(clock: Clock) -> Source:
    made = Source(clock)
    made.set_tracks((VIDEO, AUDIO))
    return made


class World:
    """Two sources of video and audio, and a target with the video of both and the audio of the second."""

    def __init__(self, *, by_stamps: bool = False, base: int = 0) -> None:
        clock = Clock()
        self.first, self.second, self.target = source(clock), source(clock), Source(clock)
        self.target.set_tracks((VIDEO, replace(VIDEO, id=1), replace(AUDIO, id=2)))
        self.group: list[Relay] | None = [] if by_stamps else None
        self.relays = [
            Relay(self.first, self.target, [(VIDEO, 0)], self.group, base),
            Relay(self.second, self.target, [(VIDEO, 1), (AUDIO, 2)], self.group, base),
        ]
        for each in self.relays:
            if self.group is not None:
                self.group.append(each)
            each.origin.add_tap(each)

    def times(self, track: int) -> list[int]:
        return [dts for own, dts, _, flags, _ in self.target.recent() if own == track and not flags & CONFIG]


def play(into: Source, seconds: float = 1, start: int = 0, **how: int) -> None:
    for frame in av_frames(seconds, start=start, **how):
        into.push(frame.track, frame.dts, frame.pts, frame.flags, frame.data)


def test_frames_go_on_byte_for_byte_and_keep_their_distances() -> None:
    world = World()
    play(world.first, reorder=2)
    sent = [frame for frame in av_frames(1, reorder=2) if frame.track == 0]
    got = [each for each in world.target.recent() if each[0] == 0]
    assert got[0][3:] == (CONFIG, AVCC), "a track begins with its configuration"
    assert [data for *_, data in got[1:]] == [frame.data for frame in sent]
    assert [(dts - got[1][1], pts - got[1][1]) for _, dts, pts, _, _ in got[1:]] == [
        (frame.dts, frame.pts) for frame in sent
    ]
    assert world.target.byte_count == sum(len(frame.data) for frame in sent) + len(AVCC)


def test_a_track_begins_with_a_keyframe_and_the_newest_configuration() -> None:
    world = World()
    frames = list(av_frames(2, gop=25))
    world.first.push(0, 0, 0, CONFIG, OTHER_AVCC)
    for frame in frames[10:]:
        world.first.push(frame.track, frame.dts, frame.pts, frame.flags, frame.data)
    got = [each for each in world.target.recent() if each[0] == 0]
    assert got[0][3:] == (CONFIG, OTHER_AVCC)
    assert got[1][3] & KEY
    assert len(got) == 26


@pytest.mark.parametrize("apart", [0, 3 * SECOND, -3 * SECOND, 1 << 33, -(1 << 33) + 90, (1 << 32) * 90], ids=str)
def test_equal_stamps_are_equal_times(apart: int) -> None:
    """The second one's first frame has another stamp, by seconds or by a wrap, and comes at the same moment."""
    world = World(by_stamps=True)
    play(world.first)
    play(world.second, start=apart)
    wraps = [0, 1 << 33, -(1 << 33), (1 << 32) * 90]
    nearest = min((apart - wrap for wrap in wraps), key=abs)
    assert world.times(1)[0] - world.times(0)[0] == nearest
    assert world.times(2)[0] == world.times(1)[0], "the tracks of an input stay together"
    assert [each.aligned for each in world.relays] == [False, True]


def test_stamps_that_agree_with_nobody_leave_the_time_of_arrival() -> None:
    world = World(by_stamps=True)
    play(world.first)
    play(world.second, start=11 * SECOND)
    assert abs(world.times(1)[0] - world.times(0)[0]) < SECOND
    assert not any(each.aligned for each in world.relays)


def test_an_encoder_that_began_anew_is_aligned_again() -> None:
    world = World(by_stamps=True)
    play(world.first, start=1000 * SECOND)
    play(world.second, start=1001 * SECOND)
    for frame in av_frames(1):  # all of it jumps back, one connection after the other
        world.first.push(frame.track, frame.dts, frame.pts, frame.flags, frame.data)
    for frame in av_frames(1, start=SECOND):
        world.second.push(frame.track, frame.dts, frame.pts, frame.flags, frame.data)
    assert world.times(1)[-1] - world.times(0)[-1] == SECOND
    assert [each.aligned for each in world.relays] == [False, True]


def test_by_arrival_each_keeps_its_own_time() -> None:
    world = World()
    play(world.first)
    play(world.second, start=3 * SECOND)
    assert abs(world.times(1)[0] - world.times(0)[0]) < SECOND


def test_what_runs_ahead_of_the_clock_is_held_back_a_millisecond_at_a_time() -> None:
    """Minutes of media at once are a publisher whose clock runs much too fast."""
    world = World()
    play(world.second, 60, picture_bytes=100)
    windows = 60 // 4 - 1
    assert -windows * 90 <= world.relays[1].shift <= -(windows - 2) * 90
    assert world.relays[0].shift == 0
    times = world.times(1)
    steps = {b - a for a, b in itertools.pairwise(times)}
    assert steps == {3600, 3600 - 90}


@pytest.mark.parametrize("ppm", [-200, 200])
def test_inputs_whose_clocks_drift_stay_together(ppm: int) -> None:
    """One has run for five days before the other comes, which is off to the other side; then both run for a day."""
    world = World()
    clock = world.first.clock
    world.first.remove_tap(world.relays[0])
    beat_s, day_s = 2, 86_400

    def beat(source: Source, second: int, ppm: int) -> None:
        dts = second * (1_000_000 + ppm) * 9 // 100
        source.push(0, dts, dts, KEY, b"\0\0\0\1\x65")

    for second in range(0, 5 * day_s, beat_s):
        beat(world.first, second, ppm)
        clock.advance(1000 * beat_s)
    assert abs(world.first.behind) > 80 * SECOND
    world.first.add_tap(world.relays[0])
    apart, late = [], []
    for second in range(0, day_s, beat_s):
        beat(world.first, 5 * day_s + second, ppm)
        beat(world.second, second, -ppm)
        if second % 200 == 20:
            apart.append(world.times(1)[-1] - world.times(0)[-1])
            late.append(clock.now() - world.target.last_dts)
        clock.advance(1000 * beat_s)
    assert max(map(abs, apart)) < SECOND * 60 // 1000
    assert max(map(abs, late)) < SECOND * 60 // 1000


def test_nothing_comes_before_what_was_there_already() -> None:
    world = World(base=5 * SECOND)
    before = world.first.clock.now()
    play(world.first, 0.1)
    assert world.times(0)[0] >= before + 5 * SECOND


def test_a_target_that_ended_costs_its_origin_nothing() -> None:
    world = World()
    world.target.end()
    play(world.first)
    assert world.first.frame_count == len(list(av_frames(1)))
    world.first.remove_tap(world.relays[0])
    world.first.remove_tap(world.relays[0])
    play(world.first, start=SECOND)


def test_more_tracks_than_a_stream_can_have() -> None:
    clock = Clock()
    with pytest.raises(MediaError, match="33 tracks: at most 32"):
        Relay(Source(clock), Source(clock), [(VIDEO, number) for number in range(33)])
