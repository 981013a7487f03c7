"""Wheels: turns spread evenly, and intervals that follow the load within their bounds."""

from __future__ import annotations

import pytest

from pushcast.wheel import Seat, Wheel, judge_loads

WINDOW_NS = 1_000_000_000


def test_turns_are_spread_evenly():
    wheel = Wheel(20, 20)
    seats = [Seat(wheel) for _ in range(12)]
    assert wheel.interval_ms == 20
    assert wheel.turns() == [3, 3, 2, 2, 2]
    for seat in seats[:5]:
        seat.leave()
        seat.leave()
    assert wheel.population == 7
    seats += [Seat(wheel) for _ in range(3)]
    assert wheel.turns() == [2, 2, 2, 2, 2]


@pytest.mark.parametrize(
    ("interval_ms", "members", "used"),
    [
        (20, 1, [1, 0, 0, 0, 0]),
        (20, 5, [1] * 5),
        (40, 4, [1, 0, 1, 0, 1, 0, 1, 0, 0, 0]),
        (40, 50, [10, 0] * 5),
        (200, 7, ([2] + [0] * 9) * 2 + ([1] + [0] * 9) * 3),
    ],
)
def test_few_members_use_few_slots(interval_ms, members, used):
    """Each slot in use wakes the thread."""
    wheel = Wheel(interval_ms, interval_ms)
    seats = [Seat(wheel) for _ in range(members)]
    assert wheel.turns() == used
    assert len(seats) == wheel.population


def test_slots_in_use_grow_with_the_population():
    wheel = Wheel(200, 200)
    seats = []
    for members, used in ((50, 5), (500, 5), (1500, 20), (3200, 40), (6400, 40)):
        seats += [Seat(wheel) for _ in range(members - len(seats))]
        assert sum(map(bool, wheel.turns())) == used
        assert max(wheel.turns()) <= 2 * 128


@pytest.mark.parametrize(("asked_ms", "interval_ms"), [(1, 4), (5, 4), (6, 8), (20, 20), (256, 256), (1000, 256)])
def test_intervals_are_whole_slots(asked_ms, interval_ms):
    assert Wheel(asked_ms, asked_ms).interval_ms == interval_ms


def paces(wheel, busy_permille, windows):
    """The wheel's interval after each window in which it was busy for so long."""
    seen, calm_windows = [], 0
    for _ in range(windows):
        _, calm_windows = judge_loads([wheel], [busy_permille * WINDOW_NS // 1000], WINDOW_NS, calm_windows)
        seen.append(wheel.interval_ms)
    return seen


def test_a_busy_thread_lengthens_the_interval_up_to_its_bound():
    wheel = Wheel(40, 200)
    seats = [Seat(wheel) for _ in range(1000)]
    assert paces(wheel, 790, 3) == [40, 40, 40]
    assert paces(wheel, 810, 10) == [48, 60, 72, 88, 108, 132, 164, 200, 200, 200]
    assert wheel.turns() == ([100] + [0] * 4) * 10
    assert len({seat.slot for seat in seats}) == 10


def test_a_calm_thread_returns_to_what_was_configured_and_not_at_once():
    wheel = Wheel(40, 200)
    seats = [Seat(wheel) for _ in range(101)]
    paces(wheel, 900, 3)
    # Four slots of 18 fewer make it busy for 643 permille, which is not calm.
    assert paces(wheel, 530, 20) == [72] * 20
    assert paces(wheel, 100, 16) == [72] * 4 + [60] * 5 + [48] * 5 + [40] * 2
    assert sum(wheel.turns()) == 101
    assert sorted(set(wheel.turns())) == [0, 20, 21]
    for seat in seats:
        seat.leave()
    assert wheel.turns() == [0] * 10


def test_one_busy_window_ends_the_calm():
    wheel = Wheel(40, 200)
    paces(wheel, 900, 1)
    calm_windows = 0
    for busy in (100, 100, 100, 100, 700, 100, 100, 100, 100):
        _, calm_windows = judge_loads([wheel], [busy * WINDOW_NS // 1000], WINDOW_NS, calm_windows)
    assert wheel.interval_ms == 48


def test_the_wheel_that_costs_most_gives_way_first():
    udp, srt, tcp = wheels = [Wheel(20, 40), Wheel(20, 40), Wheel(40, 200)]
    for busy in ([500, 100, 250], [500, 100, 250], [400, 200, 250]):
        assert judge_loads(wheels, [each * WINDOW_NS // 1000 for each in busy], WINDOW_NS, 0) == (850, 0)
    assert [each.interval_ms for each in (udp, srt, tcp)] == [32, 20, 40]


def test_a_fixed_interval_stays():
    wheel = Wheel(40, 40)
    assert paces(wheel, 1000, 3) == [40, 40, 40]
