"""Waits between attempts: their range for each class of errors, a push's own policy, and giving up."""

from __future__ import annotations

from typing import Any

import pytest

from pushcast.errors import InvalidRequest, Retry
from pushcast.retry import DEFAULT, REJECTIONS, Backoff, RetryPolicy, read_retry


def longest() -> Backoff:
    return Backoff(uniform=lambda low, high: high)


def shortest() -> Backoff:
    return Backoff(uniform=lambda low, high: low)


@pytest.mark.parametrize(
    ("policy", "retry", "longest_s", "shortest_s"),
    [
        (DEFAULT, Retry.SOON, [2, 4, 8, 16, 30, 30, 30], [1] * 7),
        (DEFAULT, Retry.SLOWLY, [30, 60, 120, 120, 120], [15] * 5),
        (DEFAULT, Retry.NEVER, [None] * 3, [None] * 3),
        (RetryPolicy(2, 9, 2), Retry.SOON, [4, 8, 9, 9], [2] * 4),
        (RetryPolicy(2, 9, 2, jitter=0), Retry.SOON, [4, 8, 9, 9], [4, 8, 9, 9]),
        (RetryPolicy(2, 10, 2, jitter=0.5), Retry.SOON, [4, 8, 10], [3, 5, 6]),
        (RetryPolicy(5, 5, 1, jitter=0), Retry.SOON, [5, 5, 5], [5, 5, 5]),
        (RetryPolicy(200, 300), Retry.SLOWLY, [300, 300], [200, 200]),
        (RetryPolicy(give_up_after=3), Retry.SOON, [2, 4, None, None], [1, 1, None, None]),
        (RetryPolicy(give_up_after=20), Retry.SLOWLY, [30, 60] + [120] * 17 + [None], [15] * 19 + [None]),
    ],
)
def test_waits(policy: RetryPolicy, retry: Retry, longest_s: list[Any], shortest_s: list[Any]) -> None:
    for backoff, expected in ((longest(), longest_s), (shortest(), shortest_s)):
        assert [backoff.delay_s(policy, retry) for _ in expected] == expected
        assert backoff.failures == len(expected)
        backoff.reset()
        assert backoff.delay_s(policy, retry) == expected[0]


def test_chance_takes_the_whole_range() -> None:
    waits = [wait for _ in range(200) if (wait := Backoff().delay_s(DEFAULT, Retry.SOON)) is not None]
    assert 1 <= min(waits) < 1.2 < 1.8 < max(waits) <= 2


def test_waits_are_numbers_for_ever() -> None:
    backoff = longest()
    assert all(backoff.delay_s(RetryPolicy(3600, 86400, 10), Retry.SOON) == 36000 for _ in range(1))
    for _ in range(5000):
        assert backoff.delay_s(RetryPolicy(3600, 86400, 10), Retry.SOON) == 86400


def test_a_peer_that_says_no_is_not_asked_for_ever() -> None:
    backoff = shortest()
    for _ in range(REJECTIONS - 1):
        assert backoff.delay_s(DEFAULT, Retry.SLOWLY) is not None
    assert not backoff.gave_up(DEFAULT)
    assert backoff.delay_s(DEFAULT, Retry.SLOWLY) is None
    assert backoff.gave_up(DEFAULT) == f"the peer said no {REJECTIONS} times in a row"


def test_the_wait_is_for_the_most_hopeful_of_several_destinations() -> None:
    backoff = shortest()
    backoff.note(Retry.SOON)
    assert backoff.delay_s(DEFAULT, Retry.NEVER) == 1
    backoff.note(Retry.SLOWLY)
    assert backoff.delay_s(DEFAULT, Retry.NEVER) == 15
    assert backoff.delay_s(DEFAULT, Retry.NEVER) is None


def test_only_rejections_in_a_row_count() -> None:
    backoff = shortest()
    for _ in range(REJECTIONS):
        assert backoff.delay_s(DEFAULT, Retry.SLOWLY) is not None
        assert backoff.delay_s(DEFAULT, Retry.SOON) is not None
        if backoff.failures > REJECTIONS:
            break


def test_giving_up_says_how_often_it_was_tried() -> None:
    backoff = shortest()
    policy = RetryPolicy(give_up_after=2)
    backoff.delay_s(policy, Retry.SOON)
    backoff.delay_s(policy, Retry.SOON)
    assert backoff.gave_up(policy) == "failed 2 times in a row, as retry.giveUpAfter allows"


@pytest.mark.parametrize(
    ("member", "policy"),
    [
        ({}, DEFAULT),
        ({"initial": 2}, RetryPolicy(2)),
        ({"initial": 60}, RetryPolicy(60, 60)),
        ({"initial": 0.5, "max": 10, "factor": 1.5, "jitter": 0, "giveUpAfter": 7}, RetryPolicy(0.5, 10, 1.5, 0, 7)),
        (RetryPolicy(3, 4, 5, 0.5, 9).members(), RetryPolicy(3, 4, 5, 0.5, 9)),
    ],
)
def test_policies(member: dict[str, Any], policy: RetryPolicy) -> None:
    assert read_retry(member) == policy


@pytest.mark.parametrize(
    ("member", "words"),
    [
        (5, "retry: found int, allowed an object with initial, max, factor, jitter, giveUpAfter"),
        ({"delay": 1}, "retry.delay: not known, allowed are initial, max, factor, jitter, giveUpAfter"),
        ({"initial": "1"}, "retry.initial: found str, allowed: 0.1 to 3600 seconds"),
        ({"initial": True}, "retry.initial: found bool, allowed: 0.1 to 3600 seconds"),
        ({"initial": 0}, "retry.initial: found 0, allowed: 0.1 to 3600 seconds"),
        ({"initial": float("nan")}, "retry.initial: found nan, allowed: 0.1 to 3600 seconds"),
        ({"max": 100_000}, "retry.max: found 100000, allowed: 0.1 to 86400 seconds"),
        ({"initial": 5, "max": 4}, "retry.max: found 4, allowed: at least retry.initial, 5"),
        ({"factor": 0.5}, "retry.factor: found 0.5, allowed: 1 to 10"),
        ({"jitter": 2}, "retry.jitter: found 2, allowed: 0 to 1"),
        ({"giveUpAfter": 1.5}, "retry.giveUpAfter: found float, allowed: 0 to 10000 failures in a row, 0: never"),
    ],
)
def test_policies_that_are_none(member: object, words: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_retry(member)
    assert str(caught.value) == words
