"""How many failed logins pass: by time, by address, and for how many addresses."""

from __future__ import annotations

import pytest

from pushcast.login_limit import LoginLimit, TooManyLogins

START = 4711.5  # a monotonic clock begins anywhere


def failures(limit: LoginLimit, remote: str, moments: list[float]) -> list[int]:
    return [limit.fail(remote, START + moment) for moment in moments]


@pytest.mark.parametrize(
    ("moments", "waits"),
    [
        ([0.0] * 3, [0, 0, 0]),
        ([0.0] * 6, [0, 0, 0, 2, 2, 2]),
        ([0.0] * 4 + [1.0, 2.0, 2.0], [0, 0, 0, 2, 1, 0, 2]),
        ([0.0] * 4 + [4.0] * 3, [0, 0, 0, 2, 0, 0, 2]),
        ([0.0] * 4 + [6.0] * 4, [0, 0, 0, 2, 0, 0, 0, 2]),
        ([0.0] * 4 + [900.0] * 4, [0, 0, 0, 2, 0, 0, 0, 2]),
        ([0.0, 0.0, 0.0, 0.5], [0, 0, 0, 2]),
        ([0.0, 2.0, 4.0, 6.0, 8.0, 10.0], [0, 0, 0, 0, 0, 0]),
    ],
)
def test_a_few_at_once_then_one_each_interval(moments: list[float], waits: list[int]) -> None:
    assert failures(LoginLimit(at_once=3, interval_s=2.0), "192.0.2.7", moments) == waits


def test_who_does_not_stop_waits_no_longer_than_who_does() -> None:
    limit = LoginLimit(at_once=1, interval_s=2.0)
    assert failures(limit, "192.0.2.7", [0.0] * 1000)[-1] == 2
    assert limit.fail("192.0.2.7", START + 2.0) == 0


@pytest.mark.parametrize(
    ("first", "second", "together"),
    [
        ("192.0.2.7", "192.0.2.7", True),
        ("192.0.2.7", "192.0.2.8", False),
        ("192.0.2.7", "::ffff:192.0.2.7", True),
        ("192.0.2.7", "::ffff:192.0.2.8", False),
        ("2001:db8:1:2::7", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::7", "2001:db8:1:3::7", False),
        ("fe80::7%eth0", "fe80::8%eth1", True),
        ("unix", "unix", True),
        ("", "unix", False),
        ("\udcff", "\udcff", True),
    ],
)
def test_whose_failures_count_together(first: str, second: str, together: bool) -> None:
    limit = LoginLimit(at_once=1, interval_s=5.0)
    assert limit.fail(first, START) == 0
    assert (limit.fail(second, START) > 0) is together


def test_memory_is_bounded_and_the_oldest_failure_goes_first() -> None:
    limit = LoginLimit(at_once=1, interval_s=60.0, addresses=3)
    for host in ("1", "2", "3", "1", "4"):  # 2 is now the one that failed longest ago, and goes for 4
        limit.fail(f"192.0.2.{host}", START)
    assert len(limit._full_at) == 3
    assert [limit.fail(f"192.0.2.{host}", START) > 0 for host in ("1", "3", "4")] == [True, True, True]
    assert limit.fail("192.0.2.2", START) == 0


def test_the_error_says_when_to_come_back() -> None:
    error = TooManyLogins(7)
    assert (error.status, error.retry_after_s, str(error)) == (429, 7, "Too many failed logins, try again in 7 s")
