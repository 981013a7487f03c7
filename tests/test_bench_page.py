"""The page of figures says what its files say: which line holds, which does not, and what was not measured."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))

from bench.page import comparison, product, words  # noqa: E402
from bench.page.accepted import LINES, Judged, judged  # noqa: E402
from bench.page.figures import Figure, kind_of, label, over  # noqa: E402
from bench.page.files import File, Sources, named, newest  # noqa: E402
from bench.page.tables import counted, number, paragraph, spread, table, verdicts  # noqa: E402
from bench.peers import report  # noqa: E402

MACHINE = {"cpu": "Z80", "cores": 3, "kernel": "9.1", "memory_gib": 7.5, "python": "3.11.9", "load": [0.1, 0.2, 0.3]}
HEAD = {"commit": "abcdef0123", "time": "2031-05-06T07:08:09+0000", "machine": MACHINE}


def peers_run(protocol: str, participant: str, count: int, number: int, cpu: float, **changed: Any) -> dict[str, Any]:
    usual: dict[str, Any] = dict.fromkeys(report.METRICS, 1.0)
    del usual["pss_per_push_bytes"]
    usual |= {"full_rate": count, "settled": True, "disturbed": False, "errors": [], "repeat": False}
    usual |= {"lost_packets": 0, "sink_drops": 0, "backlog_drops": 0, "other_cores": 0.07}
    key = {"protocol": protocol, "participant": participant, "destinations": count, "round": number}
    return {**usual, **key, "cpu_ms_per_gbit": cpu, **changed}


def peers(*runs: dict[str, Any], limits: tuple[dict[str, Any], ...] = ()) -> Sources:
    options = {"protocols": ["rtmp", "udp", "srt"], "rounds": 5}
    about = {"clip": "a clip", "versions": {"ffmpeg": "ffmpeg version 5.9 Copyright (c)"}, "options": options}
    data = {**HEAD, **about, "limits": list(limits), "runs": list(runs), "summary": report.summary(list(runs))}
    return {"peers": File("peers-abcdef0123.json", data)}


def bench(name: str, *runs: dict[str, Any], **settings: Any) -> Sources:
    return {name: File(f"{name}-abc.json", {**HEAD, "bench": name, "settings": settings, "runs": list(runs)})}


def rounds(protocol: str, participant: str, count: int, *cpu: float, **changed: Any) -> list[dict[str, Any]]:
    return [peers_run(protocol, participant, count, each, cost, **changed) for each, cost in enumerate(cpu)]


def line(sources: Sources, *parts: str) -> Judged:
    """The one line whose subject or name has all these parts."""
    (found,) = (
        each for each in judged(sources) if all(part in f"{each.bound.subject}: {each.bound.name}" for part in parts)
    )
    return found


def test_the_api_shows_the_lines_that_its_benches_judged() -> None:
    verdict = {"name": "pairs", "found": 0.31, "allowed": 0.25, "unit": "", "at_least": True, "holds": True}
    found = bench("api", {"round": 0})
    found["api"].data["lines"] = [verdict, {**verdict, "name": "held", "at_least": False, "unit": "ms", "holds": False}]
    shown = words.page(found)
    assert "| `make bench-api` | pairs | ≥ 0.250 | **0.310** | yes |" in shown
    assert "| `make bench-api` | held | ≤ 0.250 ms | **0.310** ms | **no** |" in shown


def figure(judged_line: Judged) -> Figure:
    assert judged_line.figure is not None
    return judged_line.figure


def unwrapped(page: str) -> str:
    return " ".join(page.split())


def test_a_ratio_is_of_the_same_round_and_its_median_is_judged() -> None:
    ours = rounds("rtmp", "pushcast-40", 200, 80, 90, 300, 84, 86)
    theirs = rounds("rtmp", "nginx-rtmp", 200, 100, 100, 400, 100, 100)
    held = line(peers(*ours, *theirs), "pushcast 40 ms : nginx-rtmp", "N = 200")
    assert held.holds is True
    assert figure(held) == Figure(0.84, 0.75, 0.9, 5)
    theirs[1]["cpu_ms_per_gbit"], theirs[4]["cpu_ms_per_gbit"] = 90.0, 98.0
    broken = line(peers(*ours[1:], *theirs[1:]), "pushcast 40 ms : nginx-rtmp", "N = 200")
    assert broken.holds is False
    assert figure(broken).rounds == 4


def test_a_line_whose_figure_was_not_measured_neither_holds_nor_fails() -> None:
    lines = judged(peers(*rounds("rtmp", "pushcast-40", 200, 80), *rounds("rtmp", "nginx-rtmp", 200, 100)))
    assert [each.holds for each in lines].count(True) == 1
    assert [each.holds for each in lines].count(None) == len(LINES) - 1
    assert f"Of {len(LINES)} lines 1 hold, 0 do not, {len(LINES) - 1} were not measured. 1 rest on fewer" in counted(
        lines
    )


def test_a_line_is_judged_before_it_is_rounded() -> None:
    lines = peers(*rounds("udp", "pushcast-20", 400, 120.04), *rounds("udp", "floor-20", 400, 100))
    assert line(lines, "MPEG-TS/UDP", "floor 20 ms", "N = 400").holds is False


def test_the_cost_of_a_push_is_that_of_what_it_got() -> None:
    many = rounds("udp", "pushcast-20", 1000, 125, 175, full_rate=900, cpu_us_per_push_s=1.0)
    found = line(peers(*many, *rounds("udp", "pushcast-20", 100, 100, 100)), "MPEG-TS/UDP", "CPU per push")
    assert figure(found) == Figure(1.5, 1.25, 1.75, 2, "N = 1000: 900 of 1000 at full rate")
    assert found.holds is False


def test_the_next_number_stands_in_for_one_that_was_not_run_and_says_so() -> None:
    many, more = rounds("rtmp", "pushcast-40", 1000, 100), rounds("rtmp", "pushcast-40", 200, 100)
    less = rounds("rtmp", "pushcast-40", 50, 400)
    found = line(peers(*many, *more, *less), "RTMP", "CPU per push")
    assert figure(found) == Figure(1, 1, 1, 1, "beside N = 200, 100 was not run")


def test_one_bad_round_breaks_what_must_hold_in_every_round() -> None:
    good = rounds("srt", "pushcast-20", 400, 900, 900)
    assert line(peers(*good), "SRT", "full rate").holds is True
    assert line(peers(*good), "packets lost").holds is True
    bad = peers(*good, peers_run("srt", "pushcast-20", 400, 2, 900, full_rate=399, lost_packets=3))
    assert line(bad, "SRT", "full rate").holds is False
    assert figure(line(bad, "packets lost")).found == 3


def test_memory_of_a_push_is_the_slope_from_one_on() -> None:
    mib = 2**20
    alone = rounds("rtmp", "pushcast-40", 1, 50, 50, pss_bytes=60.0 * mib)
    many = rounds("rtmp", "pushcast-40", 400, 50, pss_bytes=60.0 * mib + 399 * 9 * 1024)
    found = line(peers(*alone, *many), "RTMP", "memory per push", "N = 400")
    assert figure(found).found == pytest.approx(9)
    assert found.holds is False


@pytest.mark.parametrize(("threads", "holds"), [(11, True), (12, False)])
def test_threads_may_grow_by_one_local_port(threads: float, holds: bool) -> None:
    few, many = (rounds("srt", "pushcast-20", *key, 900, threads=has) for *key, has in ((50, 9.0), (400, threads)))
    assert line(peers(*few, *many), "SRT", "threads").holds is holds


def test_latency_is_the_median_of_the_rounds_ranks() -> None:
    ranks = [50, 99, 99.9, 100]
    runs = [
        {"protocol": "udp", "pushes": 400, "missing": missing, "percentiles_ms": [9.0, p99, 40.0, 50.0]}
        for missing, p99 in ((0, 30.0), (2, 31.0), (0, 33.0))
    ]
    found = line(bench("latency", *runs, ranks=ranks), "MPEG-TS/UDP, 400 pushes")
    assert figure(found) == Figure(31, 30, 33, 3, "2 frames did not come")
    assert found.holds is True


def test_what_others_wait_in_a_storm_is_of_all_rounds_probes() -> None:
    runs = [
        {"kind": "storm", "starts": 1000, "protocols": "rtmp+udp", "pushing_s": took_s}
        | {"meanwhile": {"took_ms": waits, "p99_ms": waits[-1]}}
        for took_s, waits in ((2.5, [1.0] * 99), (3.5, [1.0] * 90 + [50.0] * 10), (2.8, [1.0]))
    ]
    sources = bench("control", *runs)
    assert line(sources, "rtmp+udp:", "others").holds is False
    assert figure(line(sources, "rtmp+udp:", "others")) == Figure(50, 1, 50, 3, "200 probes")
    assert figure(line(sources, "rtmp+udp:", "all pushing")) == Figure(2.8, 2.5, 3.5, 3)
    assert line(sources, "starts, rtmp:", "others").holds is None


def test_the_api_must_keep_its_share() -> None:
    run = {"kind": "api", "pushes": 400, "ratio": {"GET streams": 0.79}, "received": {"longest_gap_ms": 121.0}}
    sources = bench("control", run)
    assert line(sources, "GET streams").holds is False
    assert line(sources, "longest gap").holds is False
    assert line(sources, "POST :pushes").holds is None


def test_a_streams_own_memory_is_beside_its_rings() -> None:
    runs = [
        {"streams": 30, "steady": steady, "own_bytes_per_stream": kib * 1024.0}
        for steady, kib in ((True, 900), (False, 1100))
    ]
    found = line(bench("ingest", *runs), "Streams")
    assert figure(found) == Figure(1000, 900, 1100, 2, "30 streams; not yet steady")
    assert found.holds is True


def test_many_streams_show_what_each_protocols_receivers_got() -> None:
    got = {"median_mbps": 1.25, "least_mbps": 1.125, "longest_gap_ms": 44.0}
    numbers = ("us_per_stream_s", "us_per_push_s", "main_thread_cores", "other_threads_cores", "strangers_cores")
    run = {
        **dict.fromkeys(numbers, 0.5),
        "arena_bytes_per_stream": 3 << 20,
        "own_bytes_per_stream": 100 << 10,
        "steady": True,
        "each": "rtmp,udp",
        "streams": 200,
        "pushes": 400,
        "pushing": 400,
        "threads": 9,
        "threads_with_one_stream": 9,
        "received": {"rtmp": got, "udp": {**got, "median_mbps": 1.5}},
    }
    text = "\n".join(product.ingest(bench("ingest", run, kbit_per_s=1000)))
    assert "| RTMP: receivers' rate, Mbit/s | 1.25 |" in text
    assert "| MPEG-TS/UDP: receivers' rate, Mbit/s | 1.50 |" in text


def test_muxing_takes_the_ratios_of_its_rounds() -> None:
    ends = {"": 1.6, "_low": 1.4, "_high": 1.7}
    mux: dict[str, Any] = {f"rtmp_message_floor_ratio{end}": value for end, value in ends.items()} | {
        "rounds": [1, 2, 3]
    }
    mux |= {f"ts_packet_{beside}_ratio{end}": 0.2 for beside in ("floor", "ffmpeg") for end in ends}
    sources = {"muxing": File("abc.json", {**HEAD, "mux": mux})}
    assert figure(line(sources, "RTMP message")) == Figure(1.6, 1.4, 1.7, 3)
    assert line(sources, "RTMP message").holds is False


def test_the_newest_of_a_kind_is_the_one_whose_time_is_latest(tmp_path: Path) -> None:
    times = {"z": "2031-05-06T07:08:09+0000", "a": "2031-05-06T07:08:09-0100", "m": "2031-01-01T00:00:00+0000"}
    for name, time in times.items():
        data = {**HEAD, "time": time, "bench": "latency", "runs": [{}]}
        (tmp_path / f"{name}.json").write_text(json.dumps(data))
    (tmp_path / "old.json").write_text(json.dumps({**HEAD, "mux": {"ts_ratio": 1.7}}))
    found = newest(tmp_path)
    assert {kind: file.name for kind, file in found.items()} == {"latency": "a.json"}
    assert named("latency", tmp_path / "m.json").data["time"] == times["m"]
    with pytest.raises(ValueError, match=r"old\.json: no results of `make bench`"):
        named("muxing", tmp_path / "old.json")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (None, "–"),
        (0, "0"),
        (7.0, "7"),
        (0.2954, "0.295"),
        (1.1755, "1.18"),
        (56.04, "56.0"),
        (135.3, "135"),
        (6815.7, "6,816"),
    ],
)
def test_numbers_have_three_digits_or_all_before_the_point(value: float | None, said: str) -> None:
    assert number(value) == said


def test_participants_have_names_for_people() -> None:
    assert [kind_of(name) for name in ("pushcast-200", "nginx-rtmp", "ffmpeg-n")] == [
        "pushcast",
        "nginx-rtmp",
        "ffmpeg-n",
    ]
    assert [label(name) for name in ("floor-20", "ffmpeg-tee", "engine")] == ["floor 20 ms", "ffmpeg tee", "engine"]


def test_a_table_has_its_words_at_the_left() -> None:
    assert table(("a", "b", "c"), [("1", "2", "3")], words=(0, 2)).splitlines() == [
        "| a | b | c |",
        "| --- | --: | --- |",
        "| 1 | 2 | 3 |",
    ]
    assert spread(over([2.0, 4.0, 9.0])) == "4 (2..9)"
    assert spread(over([2.0])) == "2"
    assert paragraph("one\n   two") == "one two"


def test_the_table_of_lines_says_what_does_not_hold() -> None:
    sources = peers(*rounds("rtmp", "pushcast-200", 400, 36, disturbed=True), *rounds("rtmp", "nginx-rtmp", 400, 100))
    shown = verdicts(judged(sources)).splitlines()
    (row,) = (each for each in shown if "pushcast 200 ms : nginx-rtmp, N = 400" in each)
    assert row.endswith("| ≤ 0.35 | **0.360** | – | 1 | **no**, few rounds | pushcast 200 ms: disturbed 1x |")
    assert len([each for each in shown if "| not measured |" in each]) == len(LINES) - 1
    subjects = [each.split(" | ")[0] for each in shown[2:]]
    assert subjects == sorted(subjects, key=subjects.index)  # those of a subject together


def test_a_protocols_tables_show_everybody_who_ran() -> None:
    ours = rounds("udp", "pushcast-20", 200, 50, 60)
    theirs = rounds("udp", "ffmpeg-tee", 200, 300, 600, settled=False, full_rate=12, start_last_s=None)
    limit = {"protocol": "udp", "participant": "ffmpeg-n", "destinations": 400, "rounds": 0, "why": "too slow"}
    both = {**limit, "participant": "floor-20", "rounds": 1, "why": "enough"}
    everywhere = [
        {**both, "protocol": protocol, "participant": name}
        for protocol, name in (("rtmp", "floor-40"), ("srt", "floor-20"))
    ]
    sources = peers(*ours, *theirs, limits=(limit, both, *everywhere))
    parts = "\n".join(comparison.sections(sources["peers"].data)).splitlines()
    assert "| ffmpeg tee | 450 (300..600) \\* † |" in parts
    assert "| pushcast 20 ms : ffmpeg tee | 0.133 (0.100..0.167) |" in parts
    assert "| ffmpeg tee | 1 | 1 (1) | 0.0 | – | – | 12 of 200 | 1 |" in parts
    assert "| too slow | left out | N × ffmpeg at 400 (MPEG-TS over UDP) |" in parts
    assert "| enough | 1 | floor at 400 |" in parts


def test_a_section_without_its_file_is_left_out() -> None:
    sources = peers(*rounds("srt", "pushcast-20", 50, 900), *rounds("srt", "floor-20", 50, 890))
    page = words.page(sources)
    assert [each for each in page.splitlines() if each.startswith("## ")] == [
        *("## What was measured", "## How", "## What must hold", "## SRT", "## Memory and start"),
        *("## What this does not show", "## To run it again"),
    ]
    assert "3 cores of Z80, 7.5 GiB of memory, Linux 9.1, Python 3.11.9." in page
    assert "The rivals: ffmpeg 5.9." in page
    assert "`peers-abcdef0123.json`" in page
    assert "0.07 and 0.07 beside the rivals (2 runs, 0 with more than 0.3 cores; 0 were repetitions)" in unwrapped(page)


def test_the_sections_of_the_product_have_their_figures() -> None:
    latency = {"protocol": "rtmp", "pushes": 100, "count": 71, "missing": 0, "interval_ms": 50, "strangers_cores": 0.2}
    storm: dict[str, Any] = {
        "kind": "storm",
        "starts": 30,
        "connections": 5,
        "protocols": "rtmp+udp",
        "strangers_cores": 0.3,
    }
    storm |= {"answered_s": 0.5, "slowest_answer_ms": 41.0, "pushing_s": 0.7}
    waits = {"idle": {"took_ms": [0.5]}, "meanwhile": {"took_ms": [3.0, 3.0], "p99_ms": 3.0}}
    api: dict[str, Any] = {"kind": "api", "pushes": 40, "received": {"longest_gap_ms": 47.0}, "main_thread_cores": 0.6}
    ends = ("POST :pushes of one id", "GET streams")
    api |= {"ratio": dict.fromkeys(ends, 0.9), "strangers_cores": {"idle": 0.1, "busy": 0.4}}
    api |= {
        when: {end: {"per_s": rate, "p99_ms": 4.5} for end in ends}
        for when, rate in (("idle", 5000.0), ("busy", 4500.0))
    }
    ranks = [50, 90, 99, 99.9, 100]
    page = words.page(
        bench("latency", {**latency, "percentiles_ms": [21.0, 37.0, 41.0, 42.0, 43.0]}, ranks=ranks)
        | bench("control", {**storm, **waits}, api)
    )
    assert "| RTMP | 100 | 21 | 37 | 41 | 42 | 43 | 71 | 0 | 50 |" in page
    assert "| rtmp, udp | 30 | 1 | 0.500 | 41 | 0.700 | 3 | 3 | 3 | 0.500 | 0.300 |" in page
    assert "| `GET streams` | 40 | 1 | 5,000 | 4,500 | 0.900 | 4.50 | 4.50 | 47 |" in page
    assert "0.30 and 0.30 in storms of starts; 0.25 and 0.40 beside the API" in unwrapped(page)
    assert "the server's event loop then takes 0.600 of a core" in unwrapped(page)
    assert "## How" not in page
