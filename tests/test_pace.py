"""Pace: what leaves when, by a clock that the test moves."""

from __future__ import annotations

import numpy as np
import pytest

from pushcast.pace import Pace
from pushcast.ring import Ring

MS = 1_000_000
SECOND = 1_000_000_000
FRAME_TICKS = 3600
BITS_PER_S = 8_000_000
A_MS = BITS_PER_S // 8000  # bytes
STOCK_MS = 200


def write(ring: Ring, number: int, size: int, track: int = 0) -> None:
    ring.write(bytes(size), number * FRAME_TICKS, 1 if number == 0 else 0, track)


def run(pace: Pace, start_ms: int, stop_ms: int) -> np.ndarray:
    """What is taken in each millisecond."""
    return np.array([pace.take(at * MS) for at in range(start_ms, stop_ms)])


def after_small_frames(count: int) -> tuple[Ring, Pace]:
    """A pace by frame that has let go of so many frames of 40 ms and 1000 bytes."""
    ring = Ring()
    pace = Pace(ring)
    for frame in range(count):
        write(ring, frame, 1000)
        run(pace, 40 * frame, 40 * frame + 40)
    return ring, pace


def test_a_constant_rate_begins_with_a_stock_and_is_exact() -> None:
    ring = Ring()
    pace = Pace(ring, BITS_PER_S)
    taken = []
    for frame in range(100):
        write(ring, frame, 40 * A_MS)
        taken.append(run(pace, 40 * frame, 40 * frame + 40))
    each = np.concatenate(taken)
    assert not each[:STOCK_MS].any()
    assert set(each[STOCK_MS + 1 :]) == {A_MS}


@pytest.mark.parametrize(("encoder_ppm", "bound_ppm"), [(40, 51), (-40, 51), (0, 1), (200, 400), (-200, 400)])
def test_the_clock_follows_the_encoder_slowly(encoder_ppm: int, bound_ppm: float) -> None:
    """An hour and a half: the stock neither runs out nor grows without end, and nobody measures what the rate moves."""
    ring = Ring()
    pace = Pace(ring, BITS_PER_S)
    seconds = 5400
    frames = 0
    taken = np.zeros(seconds)
    for turn in range(seconds * 100):
        now_ms = 10 * turn
        while frames * 40 * (1 - encoder_ppm * 1e-6) <= now_ms:
            write(ring, frames, 40 * A_MS)
            frames += 1
        taken[turn // 100] += pace.take(now_ms * MS)
    rates = taken[2:] * 8 / BITS_PER_S - 1
    assert abs(rates).max() * 1e6 < bound_ppm + 1e6 * 8 / BITS_PER_S
    stock_ms = (frames * 40 * A_MS - taken.sum()) / A_MS
    assert STOCK_MS / 2 - 60 < stock_ms < STOCK_MS * 3 / 2 + 90
    assert taken[2:].min() > 0.999 * BITS_PER_S / 8, "it never stopped"


def test_a_stock_that_ran_out_is_gathered_again() -> None:
    ring = Ring()
    pace = Pace(ring, BITS_PER_S)
    for frame in range(10):
        write(ring, frame, 40 * A_MS)
    assert run(pace, 0, 650).sum() == 400 * A_MS, "all that there is"
    run(pace, 650, 900)
    for frame in range(10, 20):
        write(ring, frame, 40 * A_MS)
    again = run(pace, 900, 1400)
    assert not again[:STOCK_MS].any()
    assert set(again[STOCK_MS + 1 : STOCK_MS + 390]) == {A_MS}, "no burst for the time that was lost"


def test_a_keyframe_is_spread_over_the_time_of_its_frame() -> None:
    ring, pace = after_small_frames(5)
    write(ring, 5, 500_000)
    each = run(pace, 200, 240)
    assert each.sum() >= 487_000
    assert each.max() <= 12_501


def test_audio_between_two_frames_does_not_draw_a_keyframe_out() -> None:
    ring, pace = after_small_frames(3)
    write(ring, 3, 400_000)
    first = run(pace, 120, 140)
    ring.write(bytes(300), 3 * FRAME_TICKS + 1800, 0, 1)
    second = run(pace, 140, 161)
    assert first.sum() + second.sum() >= 400_000
    assert max(first.max(), second.max()) <= 10_001


def test_the_rate_follows_the_frames_of_the_joined_track() -> None:
    ring = Ring()
    pace = Pace(ring)
    for number in range(5):
        ring.write(bytes(1000), number * 1800, 1 if number == 0 else 0, 7)
        run(pace, 20 * number, 20 * number + 20)
    ring.write(bytes(200_000), 5 * 1800, 0, 7)
    assert 200_000 <= run(pace, 100, 120).sum() + run(pace, 120, 121)[0] < 200_100
