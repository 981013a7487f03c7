"""The sinks and ``pushcast sink``: real senders are verified, hostile ones are counted and closed, and that is all."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sink_senders import DEADLINE_S, HOST, TS, closing_sinks, connect, is_closed, until

from pushcast.sink.command import sink as sink_command
from pushcast.sink.srt import open_sockets as open_srt
from pushcast.sink.tcp import open_listeners
from pushcast.sink.udp import open_sockets
from pushcast.sinks import Sink, UdpSink
from pushcast.sinksrt import SrtSink
from pushcast.sinktcp import TsStreamSink
from pushcast.srt import SrtCaller


@pytest.fixture
def made() -> Iterator[Callable[[Sink], Any]]:
    with closing_sinks() as keep:
        yield keep


# ---- UDP ----


def test_udp_senders_are_told_apart_by_address_and_port_of_ours(made):
    sockets = open_sockets(HOST, [0, 0])
    ports = [sock.getsockname()[1] for sock in sockets]
    sink = made(UdpSink(sockets))
    senders = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(3)]
    for at in range(0, len(TS), 1316):
        for sender in senders[:2]:
            sender.sendto(TS[at : at + 1316], (HOST, ports[0]))
    senders[0].sendto(TS[:1316], (HOST, ports[1]))
    senders[2].sendto(bytes(188) + b"short", (HOST, ports[0]))
    until(sink, lambda: sink.totals()[3] == 2 * len(TS) + 1316 + 193)
    rows = {(row["peer"], row["port"]): row for row in sink.rows()}
    names = [f"{HOST}:{sender.getsockname()[1]}" for sender in senders]
    assert set(rows) == {(names[0], ports[0]), (names[1], ports[0]), (names[0], ports[1]), (names[2], ports[0])}
    for name in names[:2]:
        assert rows[name, ports[0]]["errors"] == {}
        assert rows[name, ports[0]]["bytes"] == len(TS)
        assert rows[name, ports[0]]["video_frames"] == 24
    assert rows[names[2], ports[0]]["errors"] == {"sync": 1, "datagram_size": 1}
    came, _, active, _, errors = sink.totals()
    assert (came, active, errors) == (4, 4, 2)
    assert sink.receiver_drops == 0
    for sender in senders:
        sender.close()


def test_datagrams_that_the_kernel_put_together_are_checked_one_by_one(made):
    sockets = open_sockets(HOST, [0])
    port = sockets[0].getsockname()[1]
    sink = made(UdpSink(sockets))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.IPPROTO_UDP, 103, 1316)  # UDP_SEGMENT
        for at in range(0, len(TS), 10 * 1316):
            sender.sendto(TS[at : at + 10 * 1316], (HOST, port))
        until(sink, lambda: sink.totals()[3] == len(TS))
        # Whole packets, but not in whole segments: what was lost shows, because segments are not joined.
        sender.sendto(TS[:100] + TS[:1500], (HOST, port))
        until(sink, lambda: sink.totals()[3] == len(TS) + 1600)
    (row,) = sink.rows()
    assert row["errors"].pop("sync") > 1
    assert row["errors"].pop("datagram_size") == 1


def test_longest_gap_and_rate_come_from_arrivals(made):
    sockets = open_sockets(HOST, [0])
    port = sockets[0].getsockname()[1]
    sink = made(UdpSink(sockets))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        began = time.monotonic()
        for at in (0, 1316, 2632):
            sender.sendto(TS[at : at + 1316], (HOST, port))
            until(sink, lambda at=at: sink.totals()[3] == at + 1316)
            if at == 1316:
                sink.run(0.15)
        took_ms = (time.monotonic() - began) * 1000
    (row,) = sink.rows()
    assert 150 <= row["longest_gap_ms"] <= took_ms
    assert row["mbps"] == pytest.approx(3 * 1316 * 8e-6 / row["seconds"], rel=0.02)
    assert row["first_ms"] < row["last_ms"] - 150


def test_too_many_udp_senders_are_refused_and_counted(made):
    sockets = open_sockets(HOST, [0])
    port = sockets[0].getsockname()[1]
    sink = made(UdpSink(sockets, max_senders=3))
    senders = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(5)]
    for sender in senders:
        sender.sendto(TS[:188], (HOST, port))
    until(sink, lambda: sink.refused == 2)
    assert len(sink.rows()) == 3
    for sender in senders:
        sender.close()


# ---- TCP ----


def test_tcp_stream_in_pieces_and_a_new_connection_is_a_new_sender(made):
    listeners = open_listeners(HOST, [0])
    port = listeners[0].getsockname()[1]
    sink = made(TsStreamSink(listeners))
    for whole in (True, False):
        with connect(port) as sender:
            for at in range(0, len(TS), 777):
                sender.sendall(TS[at : at + 777])
                sink.run(0.0)
            if not whole:
                sender.sendall(TS[:5])
        until(sink, lambda left=2 - whole: sink.totals()[1] == left)
    first, second = sink.rows()
    assert first["errors"] == second["errors"] == {}
    assert (first["cut"], second["cut"]) == (False, True)
    assert first["left"]
    assert first["peer"] != second["peer"]


def test_garbage_over_tcp_is_counted_and_closed_and_others_go_on(made):
    listeners = open_listeners(HOST, [0])
    port = listeners[0].getsockname()[1]
    sink = made(TsStreamSink(listeners))
    with connect(port) as good, connect(port) as bad, connect(port) as probe:
        good.sendall(TS)
        bad.sendall(b"POST / HTTP/1.1\r\n\r\n" * 2000)
        until(sink, lambda: is_closed(bad))
        probe.close()
        until(sink, lambda: sink.totals()[3] >= len(TS) + 188 * 100)
        rows = sink.rows()
    assert sorted(tuple(row["errors"]) for row in rows) == [(), ("sync",)]
    assert sink.totals()[0] == 2  # the probe sent nothing


def test_too_many_connections_are_turned_away(made):
    listeners = open_listeners(HOST, [0])
    port = listeners[0].getsockname()[1]
    sink = made(TsStreamSink(listeners, max_senders=1))
    with connect(port) as first:
        first.sendall(TS)
        until(sink, lambda: sink.totals()[3] == len(TS))
        with connect(port) as second:
            until(sink, lambda: is_closed(second))
    until(sink, lambda: sink.totals()[1] == 1)
    assert sink.refused == 1


# ---- SRT ----


def test_srt_listener_takes_stream_ids_and_gives_its_socket_away(made):
    sockets, (port,) = open_srt(HOST, [0], "", 80)
    sink = made(SrtSink(sockets, immediate=True))
    assert sockets[0].closed
    callers = [SrtCaller([("streamid", f"#!::r=stage/{i}")]) for i in range(2)]
    for caller in callers:
        caller.connect(socket.AF_INET, (HOST, port))
    until(sink, lambda: sink.totals()[0] == 2)
    assert {row["stream"] for row in sink.rows()} == {"#!::r=stage/0", "#!::r=stage/1"}
    for caller in callers:
        caller.close()
    until(sink, lambda: sink.totals()[1] == 2)


# ---- the command, with real senders ----

CODECS = "-c:v libx264 -preset ultrafast -tune zerolatency -g 20 -c:a aac -b:a 64k"
INPUTS = "-f lavfi -i testsrc2=size=320x180:rate=20 -f lavfi -i sine=sample_rate=44100"
SECRET = "a-passphrase-of-tests"
SECONDS = 3


def start(*arguments: str, **options: Any) -> tuple[subprocess.Popen[str], int]:
    """A sink process that listens, and its port."""
    process = subprocess.Popen(
        [sys.executable, "-m", "pushcast", "sink", *arguments, "--host", HOST, "--port", "0", "--json"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        **options,
    )
    first = json.loads(process.stdout.readline())
    assert first["event"] == "listening"
    return process, first["port"]


def end(process: subprocess.Popen[str]) -> tuple[list[dict[str, Any]], int]:
    """All further lines and the exit code."""
    try:
        out, _ = process.communicate(timeout=DEADLINE_S)
    finally:
        process.kill()
        process.wait()
    return [json.loads(line) for line in out.splitlines()], process.returncode


def push(clip: Path, arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        ["ffmpeg", "-v", "error", "-nostdin", "-re", "-i", str(clip), "-c", "copy", *arguments.split()]
    )


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory) -> dict[str, tuple[list[dict[str, Any]], int]]:
    """Two ffmpegs to each kind of sink, all at the same time: the sinks' lines and exit codes."""
    clip = tmp_path_factory.mktemp("clips") / "clip.mkv"
    make = f"ffmpeg -v error -nostdin {INPUTS} -t {SECONDS} {CODECS} {clip}"
    subprocess.run(make.split(), check=True, timeout=60)
    transport = "-f mpegts -pcr_period 20 -mpegts_flags pat_pmt_at_frames"
    targets = {
        "rtmp": "-f flv rtmp://{host}:{port}/stage/{name}",
        "srt": transport + " srt://{host}:{port}?streamid={name}&passphrase=" + SECRET,
        "udp": transport + " udp://{host}:{port}?pkt_size=1316",
        "tcp": transport + " tcp://{host}:{port}",
    }
    environment = {**os.environ, "PUSHCAST_SINK_PASSPHRASE": SECRET}
    processes = {name: start(name, "--count", "2", "--seconds", "9", env=environment) for name in targets}
    senders = [
        push(clip, target.format(host=HOST, port=processes[name][1], name=f"{name}-{i}"))
        for name, target in targets.items()
        for i in range(2)
    ]
    for sender in senders:
        assert sender.wait(DEADLINE_S) == 0
    return {name: end(process) for name, (process, _) in processes.items()}


@pytest.mark.parametrize("protocol", ["rtmp", "srt", "udp", "tcp"])
def test_two_real_senders_are_verified(verdicts, protocol):
    lines, code = verdicts[protocol]
    summary = lines[-1]
    assert summary["event"] == "summary"
    assert (summary["errors"], summary["ok"], code) == (0, True, 0)
    assert len(summary["senders"]) == 2
    for row in summary["senders"]:
        assert row["errors"] == {}
        # SRT gives up what lies in the receiver's buffer, 120 ms, when the caller closes.
        assert SECONDS * 20 - (6 if protocol == "srt" else 0) <= row["video_frames"] <= SECONDS * 20
        assert row["audio_frames"] > 5
        assert row["longest_gap_ms"] < 1000
        assert row["last_dts"] - row["first_dts"] > (SECONDS - 0.5) * 90_000
        if protocol != "rtmp":
            assert 0 < row["max_pcr_interval_ms"] <= 50
    names = {row["stream"] for row in summary["senders"]}
    prefix = {"rtmp": "stage/rtmp-", "srt": "srt-"}.get(protocol)
    assert names == ({f"{prefix}0", f"{prefix}1"} if prefix else {""})
    seconds = [line for line in lines if line["event"] == "stats"]
    assert len(seconds) >= SECONDS - 1
    assert max(line["mbps"] for line in seconds) > 0.05
    assert max(line["active"] for line in seconds) == 2


def test_wrong_passphrase_gets_nobody_in():
    process, port = start("srt", "--passphrase", SECRET, "--seconds", "1.2", "--count", "1")
    command = f"ffmpeg -v quiet -nostdin -f lavfi -i sine -t 0.2 -f mpegts srt://{HOST}:{port}?passphrase=no-{SECRET}"
    sender = subprocess.run(command.split(), timeout=DEADLINE_S)
    lines, code = end(process)
    assert sender.returncode != 0
    assert (lines[-1]["senders"], lines[-1]["ok"], code) == ([], False, 1)


def test_damage_makes_the_command_fail_and_summaries_come_on_request():
    process, port = start("udp")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(TS[:1316] + bytes(100), (HOST, port))
        row: dict[str, Any] = {}
        deadline = time.monotonic() + DEADLINE_S
        while not row and time.monotonic() < deadline:
            process.stdin.write("summary\n")
            process.stdin.flush()
            line = json.loads(process.stdout.readline())
            row = line["senders"][0] if line["event"] == "summary" and line["senders"] else {}
    assert row["errors"] == {"datagram_size": 1}
    assert row["peer"].startswith(HOST)
    process.send_signal(signal.SIGTERM)
    lines, code = end(process)
    assert (lines[-1]["event"], lines[-1]["ok"], lines[-1]["errors"], code) == ("summary", False, 1, 1)


def test_missing_senders_fail_and_an_idle_sink_is_well():
    first, _ = start("tcp", "--seconds", "0.3", "--count", "1")
    second, _ = start("tcp", "--seconds", "0.3")
    assert end(first)[1] == 1
    assert end(second)[1] == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["udp", "--port", "70000"], "allowed: up to 1024 ports from 1 to 65535"),
        (["udp", "--ports", "5-4"], "allowed: up to 1024 ports"),
        (["tcp", "--port", "abc"], "found 'abc'"),
        (["tcp"], "Missing option"),
        (["rtmp", "--port", "0", "--count", "0"], "--count"),
    ],
)
def test_wrong_options_are_one_sentence(arguments, words):
    result = CliRunner().invoke(sink_command, arguments)
    assert result.exit_code == 2
    assert words in result.output


def test_a_short_passphrase_is_refused_without_showing_it():
    command = [sys.executable, "-m", "pushcast", "sink", "srt", "--port", "0", "--passphrase", "hush"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S)
    assert done.returncode == 2
    assert "found 4 bytes, allowed: 10 to 79" in done.stderr
    assert "hush" not in done.stderr


def test_people_get_text():
    result = CliRunner().invoke(sink_command, ["udp", "--host", HOST, "--port", "0", "--seconds", "0.1"])
    assert result.exit_code == 0
    assert result.output.startswith(f"listening for udp on {HOST} port ")
    assert result.output.endswith("ok\n")


def test_a_port_in_use_is_named():
    with open_listeners(HOST, [0])[0] as taken:
        port = str(taken.getsockname()[1])
        result = CliRunner().invoke(sink_command, ["rtmp", "--host", HOST, "--port", port])
    assert f"TCP {HOST} port {port}" in str(result.exception)
