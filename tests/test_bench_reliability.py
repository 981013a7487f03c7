"""The bench of bad paths: paths do what they are told, samples say when the truth was told, lines and page say so."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))

from bench.reliability import watch  # noqa: E402
from bench.reliability.network import Passage  # noqa: E402
from bench.reliability.page import page  # noqa: E402
from bench.reliability.receivers import Received  # noqa: E402
from bench.reliability.troubles import TROUBLES  # noqa: E402
from bench.reliability.verdict import NAMES, lines  # noqa: E402
from bench.reliability.watch import Sample  # noqa: E402

SENT = 60  # as bad_paths.py sends


@pytest.fixture(scope="module")
def paths() -> dict[str, dict[str, Any]]:
    """What became of datagrams over a path in trouble, by trouble."""
    command = ["unshare", "--user", "--map-root-user", sys.executable, str(ROOT / "tests" / "bad_paths.py")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, dict[str, Any]] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize(
    ("trouble", "least_ms", "most_ms"),
    [("good", 40, 60), ("late", 40, 120), ("healed", 10, 30), ("healed again", 10, 30)],
)
def test_a_path_takes_its_time_and_keeps_the_order(
    paths: dict[str, dict[str, Any]], trouble: str, least_ms: float, most_ms: float
) -> None:
    took_ms = paths[trouble]["took_ms"]
    assert paths[trouble]["numbers"] == list(range(SENT))
    assert min(took_ms) >= least_ms
    assert sorted(took_ms)[SENT // 2] <= most_ms


def test_a_path_that_jitters_does_not_always_take_the_same_time(paths: dict[str, dict[str, Any]]) -> None:
    took_ms = paths["late"]["took_ms"]
    assert max(took_ms) - min(took_ms) > 5


def test_packets_that_are_held_back_are_overtaken_and_not_lost(paths: dict[str, dict[str, Any]]) -> None:
    numbers = paths["overtaken"]["numbers"]
    assert sorted(numbers) == list(range(SENT))
    assert numbers != list(range(SENT))


def test_what_is_lost_refused_or_cut_does_not_arrive(paths: dict[str, dict[str, Any]]) -> None:
    assert paths["cut"]["numbers"] == paths["refused"]["numbers"] == []
    assert 5 < len(paths["lossy"]["numbers"]) < SENT - 5
    assert paths["refused"]["refused"] > 0
    assert paths["cut"]["refused"] == 0


def test_a_narrow_path_queues_and_then_loses(paths: dict[str, dict[str, Any]]) -> None:
    slow = paths["slow"]
    assert 0 < len(slow["numbers"]) < 300
    assert max(slow["took_ms"]) > 100


def test_a_passage_is_said_in_microseconds() -> None:
    assert Passage(50, 20, 30, 1.5, cut=True).line == "50000 20000 30 1500 1"


def sample(at_s: float, media_bytes: int, **changed: Any) -> Sample:
    usual: dict[str, Any] = {"state": "pushing", "health": "ok", "reason": "", "lag_ms": 0, "overloaded": False}
    return Sample(at_s=at_s, media_bytes=media_bytes, **(usual | changed))


LOST = {"health": "degraded", "reason": "something was lost"}
CUT = [
    sample(1, 100, **LOST),  # before the trouble, and none of its
    sample(2, 100),
    sample(3, 150),
    sample(4, 150, health="stalled", reason="nothing for 2 s", lag_ms=2000),
    sample(5, 150, state="error"),
    # it ends here, at 6 s
    sample(7, 150),  # accepted, and no media yet
    sample(8, 180),
    sample(9, 180, state="error"),
    sample(10, 200, lag_ms=1400),
    sample(11, 220, **LOST),
    sample(12, 240),
]


def test_the_truth_is_told_by_the_first_sample_of_the_trouble_that_is_not_well() -> None:
    first = watch.told(CUT, 2)
    assert first is not None
    assert (first.at_s, first.reason) == (4, "nothing for 2 s")
    assert watch.told(CUT[1:3], 2) is None


def test_it_has_healed_when_media_comes_in_time_for_good() -> None:
    assert watch.healed_s(CUT, 6) == 5
    assert watch.ok_s(CUT, 6) == 6
    assert watch.healed_s(CUT[:-3], 6) is None
    assert watch.ok_s([*CUT, sample(13, 260, overloaded=True), sample(14, 280, health="stalled")], 6) is None


def test_a_sample_is_what_the_api_says_of_a_push() -> None:
    said = {"state": "error", "lastError": {"reason": "gone"}, "statistics": {}}
    assert Sample.of(3, said, 7) == sample(3, 7, state="error", health="", reason="gone")
    said = {"state": "pushing", "health": "degraded", "healthReason": "late", "overload": "much waits"}
    found = Sample.of(3, said | {"statistics": {"lagMs": 11}}, 7)
    assert found == sample(3, 7, health="degraded", reason="late", overloaded=True, lag_ms=11)


def test_what_came_over_all_connections_is_added_up() -> None:
    rows = [
        {"media_bytes": 70, "video_frames": 3, "errors": {"srt_drop": 4}},
        {"media_bytes": 0, "video_frames": 0, "errors": {"continuity": 9}},
        {"media_bytes": 5, "video_frames": 1, "errors": {"continuity": 2, "srt_drop": 1}},
    ]
    assert Received.of(rows) == Received(75, 4, 5, 2, 2)


def push(**changed: Any) -> dict[str, Any]:
    received = {"media_bytes": 1, "video_frames": 1, "srt_lost": 0, "continuity_errors": 0, "connections": 1}
    usual = {"told_s": None, "told": "", "reason": "", "healed_s": 0.01, "ok_s": 0.02, "lost_bytes": 0}
    return {**usual, "received": {**received, **changed.pop("received", {})}, **changed}


def run(trouble: str, gap_ms: float = 41, **pushes: dict[str, Any]) -> dict[str, Any]:
    others = {protocol: {"longest_gap_ms": gap_ms} for protocol in ("rtmp", "udp", "srt")}
    usual = {protocol: push() for protocol in NAMES}
    return {"trouble": trouble, "bytes_per_s": 330_000, "pushes": usual | pushes, "others": others}


def broken(*runs: dict[str, Any]) -> list[str]:
    return [line.name for line in lines(runs) if not line.holds]


@pytest.mark.parametrize(
    ("runs", "names"),
    [
        ([run(trouble.name) for trouble in TROUBLES], []),
        ([run("1 % loss", rtmp=push(lost_bytes=1))], ["1 % loss, RTMP: lost where nothing was told"]),
        ([run("1 % loss", udp=push(lost_bytes=1))], []),
        ([run("a cut of 5 s", srt=push(told_s=3.9, lost_bytes=9))], []),
        ([run("a cut of 5 s", srt=push(told_s=4.1))], ["a cut of 5 s, SRT, 4 round trips: told after"]),
        ([run("a reset", udp=push(healed_s=None))], ["a reset, UDP: healed after"]),
        ([run("a reset"), run("a reset", udp=push(healed_s=11, ok_s=99))],
         ["a reset, UDP: healed after", "a reset, UDP: ok again after"]),
        ([run("10 % loss", **{"srt-patient": push(received={"srt_lost": 1})})],
         ["10 % loss, SRT, 12 round trips: packets lost"]),
        ([run("5 % loss", **{"srt-patient": push(received={"srt_lost": 1})})], []),
        ([run("5 % loss", 65)], ["5 % loss, others: longest gap udp", "5 % loss, others: longest gap srt"]),
        ([run("5 % loss", 65), run("5 % loss", 42), run("5 % loss", 41)], []),
    ],
)  # fmt: skip
def test_lines_hold_what_the_runs_say(runs: list[dict[str, Any]], names: list[str]) -> None:
    assert broken(*runs) == names


def test_every_trouble_goes_on_until_its_last_step() -> None:
    for trouble in TROUBLES:
        times = [step.at_s for step in trouble.steps]
        assert times == sorted(times)
        assert times[-1] > times[0]


def test_the_page_shows_the_worst_and_what_does_not_hold() -> None:
    told = {"told_s": 3.25, "told": "error", "reason": "rtmps 10.82.2.2:443: the server is lost: reset"}
    measured = [
        run("a reset", 63, rtmps=push(lost_bytes=660_000, healed_s=None, **told), udp=push(lost_bytes=33_000)),
        run("2 % reordered", 65, udp=push(received={"continuity_errors": 37})),
    ]
    machine = {
        "cpu": "Z80",
        "cores": 3,
        "kernel": "9.1",
        "memory_gib": 7.5,
        "python": "3.11.9",
        "load": [0.1, 0.2, 0.3],
    }
    data = {
        "commit": "abcdef0123", "time": "2031-05-06T07:08:09+0000", "machine": machine, "runs": measured,
        "settings": {"rounds": 1, "others": 77}, "lines": [line.as_json() for line in lines(measured)],
    }  # fmt: skip
    text = page(data, "reliability-abcdef0123.json")
    assert "| a reset | RTMPS | 3.25 s | error: reset | never | at once | 660 kB (2 s) |" in text
    assert "| a reset | UDP | – | nothing: it cannot know | at once | at once | 33 kB (0.100 s) |" in text
    assert "| 2 % reordered | UDP | – | nothing, and nothing was lost | at once | at once |" in text
    assert "0, but out of order in 37 places" in text
    assert "| a reset | 63 ms | 63 ms | 63 ms |" in text
    assert "| 2 % reordered, others: longest gap srt | 60 ms | 65 ms |" in text
    assert "| a reset, RTMPS: healed after | 10 s | never |" in text
    assert "a cut of 5 s" not in text
