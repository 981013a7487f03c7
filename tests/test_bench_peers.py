"""The comparison with rivals counts what it says: turns, ratios, marks of the sinks, whole trees of processes."""

from __future__ import annotations

import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))

from bench import build  # noqa: E402
from bench.clip import write_trace  # noqa: E402
from bench.peers import plan, report  # noqa: E402
from bench.peers.__main__ import measured_again  # noqa: E402
from bench.peers.clips import GRID_US, Rates  # noqa: E402
from bench.peers.participant import processes  # noqa: E402
from bench.peers.plan import Limit, Wanted  # noqa: E402
from bench.peers.processes import Machine, TreeSize, TreeTimes, cpu_s, tree  # noqa: E402
from bench.peers.sinks import Sink, sink  # noqa: E402
from pushcast.rtmp.client import WINDOW_BYTES, ClientConnection  # noqa: E402
from pushcast.rtmp.events import (  # noqa: E402
    Acknowledged,
    Connect,
    Connected,
    Event,
    HandshakeDone,
    Hello,
    Prepare,
    Publish,
    Started,
    StreamCreated,
)


def wanted(**changed: Any) -> Wanted:
    usual: dict[str, Any] = {"protocols": tuple(plan.ORDER), "destinations": (200,), "participants": ()}
    return Wanted(**{**usual, "rounds": 5, "window_s": 6.0, **changed})


def run(participant: str, number: int, cpu: float | None, **changed: Any) -> dict[str, Any]:
    usual = dict.fromkeys(report.METRICS, 1.0)
    del usual["pss_per_push_bytes"]
    marks = {"full_rate": 7, "settled": True, "disturbed": False, "errors": []}
    none = {"lost_packets": 0, "sink_drops": 0, "backlog_drops": 0, "other_cores": 0.1}
    key = {"protocol": "rtmp", "destinations": 7, "participant": participant, "round": number}
    return {**usual, **marks, **none, **key, "cpu_ms_per_gbit": cpu, **changed}


def test_who_is_measured_again_stands_instead_of_what_was_there() -> None:
    earlier = {"commit": "a", "runs": [run("x-40", 0, 1.0), run("y", 0, 2.0), run("x-40", 0, 3.0, destinations=9)]}
    now = {"commit": "b", "options": {"participants": ["x-40"]}}
    todo = [plan.Turn("rtmp", "x-40", 7, 0), plan.Turn("rtmp", "x-40", 7, 1)]
    merged = measured_again(earlier, now, todo)
    assert merged["commit"] == "a"
    assert merged["again"] == [now]
    assert [each["cpu_ms_per_gbit"] for each in merged["runs"]] == [2.0, 3.0]
    later = {"commit": "c", "options": {"participants": ("x-40",)}}
    assert [note["commit"] for note in measured_again(merged, later, todo)["again"]] == ["c"]
    other = {"commit": "d", "options": {"participants": ("y",)}}
    assert [note["commit"] for note in measured_again(merged, other, todo)["again"]] == ["b", "d"]


def test_each_round_has_everybody_who_is_compared_next_to_each_other() -> None:
    turns = list(plan.turns(wanted(rounds=3, destinations=(200, 400))))
    blocks = itertools.groupby(turns, key=lambda turn: (turn.round, turn.protocol, turn.destinations))
    places = {}
    for place, block in blocks:
        assert place not in places
        places[place] = [turn.participant for turn in block]
    assert set(places) == set(itertools.product(range(3), plan.ORDER, (200, 400)))
    for (_, protocol, _), names in places.items():
        assert names == [name for name in plan.ORDER[protocol] if name in names]
        assert {name.partition("-")[0] for name in names} >= {"pushcast", "floor"}


def test_what_runs_less_often_is_listed_with_a_reason_and_nothing_else_is_missing() -> None:
    everything = wanted(destinations=plan.DESTINATIONS)
    limited = {
        (row["protocol"], row["participant"], row["destinations"]): row["rounds"] for row in plan.shortened(everything)
    }
    assert all(row["why"] for row in plan.shortened(everything))
    turns = list(plan.turns(everything))
    for protocol, names in plan.ORDER.items():
        for name, count in itertools.product(names, plan.DESTINATIONS):
            rounds = [
                turn.round
                for turn in turns
                if (turn.protocol, turn.participant, turn.destinations) == (protocol, name, count)
            ]
            assert rounds == list(range(limited.get((protocol, name, count), 5))), (protocol, name, count)


def test_at_200_and_400_only_the_slowest_runs_are_fewer() -> None:
    limited = plan.shortened(wanted(destinations=(200, 400)))
    assert {(row["protocol"], row["participant"], row["destinations"]) for row in limited} == {
        ("srt", "ffmpeg-tee", 400),
        *itertools.product(("rtmp", "udp", "srt"), ["ffmpeg-n"], [200, 400]),
    }


def test_a_full_run_takes_less_than_75_minutes() -> None:
    everything = wanted(destinations=plan.DESTINATIONS)
    assert sum(plan.expected_s(turn, everything.window_s) for turn in plan.turns(everything)) < 75 * 60


def test_the_tightest_limit_counts_and_a_limit_names_a_kind_or_one() -> None:
    limit = Limit(("udp",), "floor", 50, 100, 2, "because")
    assert limit.holds("udp", "floor-20", 50)
    assert limit.holds("udp", "floor-20", 100)
    assert not limit.holds("udp", "floor-20", 101)
    assert not limit.holds("rtmp", "floor-40", 50)
    assert not limit.holds("udp", "engine-20", 50)
    assert Limit(("udp",), "floor-20", 1, 9, 2, "").holds("udp", "floor-20", 9)
    assert wanted(participants=("pushcast",)).takes("pushcast-40")
    assert not wanted(participants=("pushcast-200",)).takes("pushcast-40")


def test_ratios_are_of_the_same_round_only() -> None:
    runs = [run("pushcast-40", 0, 10), run("nginx-rtmp", 0, 20), run("pushcast-40", 1, 30), run("nginx-rtmp", 2, 1)]
    runs += [run("pushcast-40", 3, 12), run("nginx-rtmp", 3, 40), run("floor-40", 3, 8), run("floor-200", 3, 1)]
    ratios = [ratio for ratio in report.summary(runs)["ratios"] if ratio["metric"] == "cpu_ms_per_gbit"]
    assert {ratio["rival"]: ratio["each"] for ratio in ratios} == {"nginx-rtmp": [0.5, 0.3], "floor-40": [1.5]}
    assert ratios[0]["median"] == 0.4
    assert (ratios[0]["low"], ratios[0]["high"], ratios[0]["rounds"]) == (0.3, 0.5, 2)


def test_of_a_disturbed_run_and_its_repetition_the_quieter_one_counts() -> None:
    for first, second, counts in ((0.9, 0.2, 22.0), (0.4, 0.7, 11.0)):
        runs = [run("nginx-rtmp", 0, 11, other_cores=first), run("nginx-rtmp", 0, 22, other_cores=second, repeat=True)]
        [row] = report.summary(runs)["rows"]
        assert row["cpu_ms_per_gbit"] == {"median": counts, "low": counts, "high": counts}
        assert row["rounds"] == 1


def test_memory_of_a_push_is_the_slope_from_one_on() -> None:
    runs = [
        run("nginx-rtmp", 0, 1, destinations=1, pss_bytes=1000),
        run("nginx-rtmp", 1, 1, destinations=1, pss_bytes=2000),
    ]
    runs += [
        run("nginx-rtmp", 0, 1, destinations=11, pss_bytes=3500),
        run("nginx-rtmp", 1, 1, destinations=11, pss_bytes=4500),
    ]
    rows = {row["destinations"]: row for row in report.summary(runs)["rows"]}
    assert rows[1]["pss_per_push_bytes"] is None
    assert rows[11]["pss_per_push_bytes"] == {"median": 250.0, "low": 200.0, "high": 300.0}


def test_a_run_in_which_nothing_arrived_is_in_the_table_and_in_no_ratio() -> None:
    runs = [run("pushcast-40", 0, 10), run("nginx-rtmp", 0, None, full_rate=0, errors=["gone"], settled=False)]
    summary = report.summary(runs)
    assert not [ratio for ratio in summary["ratios"] if ratio["metric"] == "cpu_ms_per_gbit"]
    text = report.text(summary)
    assert "catching up, errors 1" in text
    assert max(map(len, text.splitlines())) <= 150


def test_the_leanest_stretch_of_a_clip_is_found_across_its_end() -> None:
    lap = np.ones(50)
    lap[:3] = lap[-2:] = 0.5
    rates = Rates({}, lap / lap.sum())
    assert rates.leanest(5 * GRID_US / 1e6) == pytest.approx(0.5 / lap.mean())
    assert rates.leanest(50 * GRID_US / 1e6) == pytest.approx(1)
    assert rates.leanest(200 * GRID_US / 1e6) == pytest.approx(1)
    assert rates.leanest(55 * GRID_US / 1e6) == pytest.approx((lap.sum() + 2.5) / 55 / lap.mean())


def until_marked(receiving: Sink, total_bytes: int) -> Any:
    """The first mark that has all bytes."""
    pause, mark = threading.Event(), receiving.mark()
    for _ in range(500):
        if mark.total_bytes >= total_bytes:
            break
        pause.wait(0.01)
        mark = receiving.mark()
    return mark


def test_datagrams_are_counted_by_the_port_they_were_sent_to() -> None:
    with sink("udp", 3, plain=False) as receiving, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for index, size in ((0, 100), (2, 30), (2, 7)):
            sender.sendto(bytes(size), ("127.0.0.1", receiving.ports[index]))
        mark = until_marked(receiving, 137)
        assert list(mark.bytes) == [100, 0, 37]
        assert list(mark.first_ns > 0) == [True, False, True]
        assert (mark.started, mark.sink_drops) == (2, 0)


def test_what_the_kernel_drops_at_the_sink_is_counted() -> None:
    with sink("udp", 1, plain=False) as receiving, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        os.kill(receiving.pid, signal.SIGSTOP)
        sent = 30_000  # each takes 4 KiB or so of the 16 MiB that a buffer of 8 is
        for _ in range(sent):
            sender.sendto(bytes(2000), ("127.0.0.1", receiving.ports[0]))
        os.kill(receiving.pid, signal.SIGCONT)
        dropped = receiving.mark().sink_drops
        assert 0 < dropped < sent
        assert until_marked(receiving, (sent - dropped) * 2000).total_bytes == (sent - dropped) * 2000


def test_a_silence_that_lasts_until_the_mark_is_a_gap_and_the_next_mark_begins_anew() -> None:
    with sink("udp", 1, plain=False) as receiving, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"a", ("127.0.0.1", receiving.ports[0]))
        first = until_marked(receiving, 1)
        sender.sendto(b"b", ("127.0.0.1", receiving.ports[0]))
        second = until_marked(receiving, 2)
        later = receiving.mark()
        assert second.first_ns[0] == first.first_ns[0]
        assert first.gap_ns[0] <= first.at_ns - first.first_ns[0]
        assert 0 < later.gap_ns[0] <= later.at_ns - first.at_ns


def test_a_publisher_of_ours_is_answered_and_acknowledged() -> None:
    connection, size = ClientConnection(), 6_000_000

    def next_event(sender: socket.socket) -> Event:
        while (event := connection.next_event()) is None:
            received = sender.recv(65536)
            assert received, "the sink closed the connection"
            connection.receive_data(received)
        return event

    with sink("rtmp", 1, plain=False) as receiving:
        with socket.create_connection(("127.0.0.1", receiving.ports[0]), 10) as sender:
            for said, answer in (
                (Hello(), HandshakeDone),
                (Connect("app-of-a-test", f"rtmp://127.0.0.1:{receiving.ports[0]}/app-of-a-test"), Connected),
                (Prepare("key-of-a-test"), StreamCreated),
                (Publish("key-of-a-test", 1), Started),
            ):
                sender.sendall(connection.send(said))
                assert isinstance(next_event(sender), answer)
            assert receiving.mark().total_bytes == 0  # neither handshake nor commands
            sender.sendall(bytes(size))
            acknowledged = next_event(sender)
            assert isinstance(acknowledged, Acknowledged)
            assert WINDOW_BYTES <= acknowledged.received_bytes <= size + 8192
        assert until_marked(receiving, size).total_bytes == size


def test_ffmpeg_publishes_to_the_sink() -> None:
    with sink("rtmp", 1, plain=False) as receiving:
        url = f"rtmp://127.0.0.1:{receiving.ports[0]}/bench/one"
        source = ["-f", "lavfi", "-i", "sine=duration=2", "-c:a", "aac", "-b:a", "64k"]
        command = ["ffmpeg", "-v", "error", "-nostdin", *source, "-f", "flv", url]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert until_marked(receiving, 5_000).total_bytes > 5_000


@pytest.mark.parametrize(
    ("protocol", "before", "program"),
    [
        ("rtmp", [], "raw_tcp"),
        ("rtmp", [sys.executable, "-m", "bench.raw_rtmp"], "raw_tcp"),
        ("srt", [], "raw_srt"),
    ],
    ids=["rtmp", "rtmp, published first", "srt"],
)
def test_a_floor_is_marked_connection_by_connection(
    protocol: str, before: list[str], program: str, tmp_path: Path
) -> None:
    trace = tmp_path / "test.trace"
    write_trace(trace, [(n * 20_000, bytes(13_160)) for n in range(40)])
    with sink(protocol, 2, plain=not before) as receiving:
        ports = ",".join(map(str, receiving.ports))
        command = [*before, str(build.program(program)), "--trace", str(trace), "--ports", ports, "--destinations", "2"]
        command += ["--tick-ms", "40", "--warm-s", "0.2", "--window-s", "0.5"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30, check=True)
        mark = until_marked(receiving, json.loads(done.stdout)["total_bytes"])
        assert mark.total_bytes == json.loads(done.stdout)["total_bytes"]
        assert mark.bytes[0] == mark.bytes[1] > 0
        assert mark.lost_packets == 0
        assert len(mark.gap_ns) == 2


def test_a_participant_ends_with_all_its_descendants(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "alive")
    with processes([["sh", "-c", "sh -c 'exec sleep 1000 > alive' & wait"]], tmp_path, "test") as [root]:
        alive = (tmp_path / "alive").open("rb")  # waits for the grandchild
        members = tree([root.pid])
        assert {root.pid} < members
        size = TreeSize.of(members)
        assert size.processes == size.threads == len(members)
        assert size.pss_bytes > 0
        assert TreeTimes.of([root.pid]).processes == members
    with alive:
        assert alive.read() == b""  # ends when the grandchild does


def test_cpu_time_of_a_tree_is_that_of_its_processes() -> None:
    before, machine = TreeTimes.of([os.getpid()]), Machine.now()
    start = cpu_s(os.getpid())
    while cpu_s(os.getpid()) - start < 0.05:
        pass
    after, later = TreeTimes.of([os.getpid()]), Machine.now()
    assert 0.05 <= after.cpu_s - before.cpu_s <= (after.at_s - before.at_s) * max(1, os.cpu_count() or 1)
    assert machine.busy_s(later) <= (later.at_s - machine.at_s) * (os.cpu_count() or 1)
