"""The bench of bad paths: when the truth was told, when a push had healed, which lines hold, and what the page says."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))

from bench.reliability.network import Passage  # noqa: E402
from bench.reliability.page import page  # noqa: E402
from bench.reliability.troubles import TROUBLES  # noqa: E402
from bench.reliability.verdict import NAMES, lines  # noqa: E402
from bench.reliability.watch import Sample, healed_s, ok_s, told  # noqa: E402

NAMED = {trouble.name: trouble for trouble in TROUBLES}


def sample(at_s: float, state: str = "pushing", health: str = "ok", media_bytes: int = 0, **more: Any) -> Sample:
    push = {"state": state, "health": health, "statistics": {"lagMs": more.pop("lag_ms", 0)}, **more}
    return Sample.of(at_s, push, media_bytes)


def test_the_truth_is_told_by_the_first_that_is_not_well() -> None:
    looks = [sample(0, health="degraded"), sample(1), sample(2, health="stalled", healthReason="it hangs"), sample(3)]
    first = told(looks, 1)
    assert first is not None
    assert (first.at_s, first.health, first.reason) == (2, "stalled", "it hangs")
    assert told(looks, 2.5) is None


def test_an_error_is_told_with_its_reason() -> None:
    first = told([sample(1, "error", "", lastError={"reason": "it is gone"})], 0)
    assert first is not None
    assert (first.state, first.reason) == ("error", "it is gone")


@pytest.mark.parametrize(
    ("looks", "healed", "ok"),
    [
        ([sample(9, media_bytes=5), sample(10, media_bytes=5), sample(11, media_bytes=6)], 1, 1),
        ([sample(10, media_bytes=6), sample(11, "error"), sample(12, media_bytes=7)], 2, 2),
        ([sample(10, media_bytes=6), sample(11, health="degraded", media_bytes=7)], 0, None),
        ([sample(10, media_bytes=6), sample(11, health="stalled", media_bytes=7)], None, None),
        ([sample(10, health="degraded", lag_ms=1500, media_bytes=6), sample(12, media_bytes=9)], 2, 2),
        ([sample(10, health="degraded", overload="much", media_bytes=6)], None, None),
        ([sample(9, media_bytes=5), sample(10, media_bytes=5)], None, None),
        ([], None, None),
    ],
)
def test_healed_counts_from_the_last_moment_that_was_not(
    looks: list[Sample], healed: float | None, ok: float | None
) -> None:
    assert healed_s(looks, 10) == healed
    assert ok_s(looks, 10) == ok


def run(name: str, **changed: dict[str, Any]) -> dict[str, Any]:
    """What was measured of a trouble that went well; ``changed``: figures of a protocol."""
    usual = {"told_s": 1.0, "told": "degraded", "reason": "it is slow", "healed_s": 0.5, "ok_s": 2.0, "lost_bytes": 0}
    received = {"srt_lost": 0, "continuity_errors": 0}
    return {
        "trouble": name,
        "bytes_per_s": 300_000,
        "pushes": {each: {**usual, "received": received, **changed.get(each, {})} for each in NAMES},
        "others": {each: {"longest_gap_ms": 40.0} for each in ("rtmp", "udp", "srt")},
    }


def broken(*runs: dict[str, Any]) -> list[str]:
    return [line.name for line in lines(runs) if not line.holds]


def test_what_goes_well_holds() -> None:
    told_of_all = [run(name) for name in NAMED if name != "nothing"]
    quiet: dict[str, dict[str, Any]] = {name: {"told_s": None} for name in NAMES}
    assert broken(run("nothing", **quiet), *told_of_all) == []


@pytest.mark.parametrize(
    ("changed", "name"),
    [
        ({"rtmp": {"told_s": 20.0}}, "10 % loss, RTMP: told after"),
        ({"srt": {"told_s": None, "lost_bytes": 1}}, "10 % loss, SRT: lost where nothing was told"),
        ({"rtmps": {"healed_s": None}}, "10 % loss, RTMPS: healed after"),
        ({"udp": {"ok_s": 99.0}}, "10 % loss, UDP: ok again after"),
        ({"srt": {"received": {"srt_lost": 1}}}, "10 % loss, SRT, latency of four round trips: packets lost"),
    ],
)
def test_what_does_not_hold_is_named(changed: dict[str, Any], name: str) -> None:
    assert broken(run("10 % loss", **changed)) == [name]


def test_udp_cannot_know_what_is_lost() -> None:
    assert broken(run("10 % loss", udp={"told_s": None, "lost_bytes": 500_000})) == []


def test_times_are_the_worst_of_all_rounds_and_gaps_the_median() -> None:
    good, bad = run("1 % loss"), run("1 % loss", rtmp={"healed_s": 50.0})
    bad["others"]["udp"]["longest_gap_ms"] = 500.0
    assert broken(good, bad, good) == ["1 % loss, RTMP: healed after"]


def test_the_relay_is_told_in_its_own_words() -> None:
    assert Passage(delay_ms=50, jitter_ms=20).line == "50000 20000 0 0 0"
    assert Passage(cut=True, held_permille=20, held_ms=30).line == "20000 0 20 30000 1"


def test_the_page_shows_what_was_measured(tmp_path: Path) -> None:
    runs = [run(name) for name in NAMED]
    runs[1]["pushes"]["udp"] |= {"told_s": None, "lost_bytes": 90_000}
    data = {
        "commit": "abcdef0123",
        "time": "2031-05-06T07:08:09+0000",
        "machine": {"cpu": "Z80", "cores": 3, "kernel": "9.1", "memory_gib": 7.5, "python": "3.11.9", "load": [0.1]},
        "settings": {"rounds": 1, "others": 100},
        "runs": runs,
        "lines": [line.as_json() for line in lines(runs)],
    }
    text = page(json.loads(json.dumps(data)), "reliability-abcdef0123.json")
    assert all(f"| {trouble.name}" in text for trouble in TROUBLES)
    assert "nothing: it cannot know" in text
    assert "90 kB (0.300 s)" in text
    assert "3 cores of Z80" in text
    assert max(map(len, text.splitlines())) < 400
