"""The benches' programs compile without a warning, report in one shape, and lose nothing that they do not report."""

from __future__ import annotations

import importlib
import json
import os
import random
import signal
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))

from streams import AUDIO  # noqa: E402

from bench import build, facts, mux  # noqa: E402
from bench.clip import Clip, ClipFrame, clip_path, read_clip, write_trace  # noqa: E402
from bench.receivers import DISCARDS, discard  # noqa: E402
from pushcast.flv import RtmpMuxer  # noqa: E402
from pushcast.mpegts import TsMuxer  # noqa: E402
from pushcast.ring import Ring  # noqa: E402

SECONDS = 0.9
REPORT = {
    *("program", "destinations", "tick_ms", "slot_ms", "window_s", "cpu_s", "user_s", "system_s", "context_switches"),
    *("sends", "bytes", "dest_ticks", "us_per_dest_tick", "us_per_send", "us_per_datagram", "longest_gap_ms"),
    *("latest_slot_ms", "short_sends", "refused", "total_bytes"),
}
SUMMARY = {
    "event",
    "program",
    "senders",
    "bytes",
    "least_bytes",
    "most_bytes",
    "slowest_mbps",
    "longest_gap_ms",
    "cpu_s",
}


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """47 uneven frames a second, the first at once."""
    source = random.Random(11)
    path = tmp_path_factory.mktemp("bench") / "test.trace"
    chunks = [
        (int(n / 47 * 1e6), source.randbytes(source.choice((211, 903, 7919)))) for n in range(int(SECONDS * 47) + 2)
    ]
    write_trace(path, chunks)
    return path


def run(command: list[str], environment: dict[str, str] | None = None) -> dict[str, Any]:
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@pytest.mark.parametrize("protocol", sorted(DISCARDS))
def test_every_byte_of_a_raw_loop_arrives(protocol: str, trace: Path) -> None:
    program = build.program(f"raw_{protocol}")
    with discard(protocol) as sink:
        sent = run(
            [
                *(str(program), "--trace", str(trace), "--ports", ",".join(map(str, sink.ports))),
                *("--destinations", "3", "--warm-s", "0.2", "--window-s", "0.6"),
            ]
        )
    assert set(sent) >= REPORT
    assert set(sink.summary) >= SUMMARY
    assert sink.summary["bytes"] == sent["total_bytes"] > sent["bytes"] > 0
    assert sink.summary["senders"] == sent["destinations"] == 3
    assert sink.summary.get("lost", 0) == sink.summary.get("malformed", 0) == 0
    assert sent["dest_ticks"] == 3 * 600 / sent["tick_ms"]
    assert sent["cpu_s"] > 0
    assert sent["us_per_dest_tick"] == pytest.approx(sent["cpu_s"] * 1e6 / sent["dest_ticks"], rel=0.05)
    if protocol != "tcp":
        assert sent["bytes"] % 1316 == 0
        assert sink.summary["datagrams"] == sent["total_bytes"] // 1316


@pytest.mark.parametrize("protocol", sorted(DISCARDS))
def test_the_engine_reports_like_a_raw_loop(protocol: str) -> None:
    with discard(protocol) as sink:
        command = [sys.executable, "-m", "bench.fanout_engine", "--protocol", protocol]
        arguments = [
            "--ports",
            ",".join(map(str, sink.ports)),
            "--destinations",
            "2",
            "--warm-s",
            "0.2",
            "--window-s",
            "0.4",
        ]
        environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'src'}"}
        sent = run([*command, *arguments], environment)
    assert set(sent) >= REPORT - {"slot_ms"}  # the engine chooses its slots by itself
    assert sink.summary["bytes"] == sent["total_bytes"] > sent["bytes"] > 0
    assert sink.summary["senders"] == 2
    assert sent["losses"] == []
    assert sent["damaged"] == sent["jumps"] == 0


def test_an_encrypted_caller_is_accepted(trace: Path) -> None:
    with discard("srt") as sink:
        sent = run(
            [
                *(str(build.program("raw_srt")), "--trace", str(trace), "--ports", str(sink.ports[0])),
                *("--destinations", "2", "--warm-s", "0", "--window-s", "0.5", "--passphrase", "correct horse battery"),
            ]
        )
    assert sink.summary["bytes"] == sent["total_bytes"] > 0
    assert sink.summary["shutdowns"] == 2


def test_a_deaf_receiver_takes_nothing(trace: Path) -> None:
    with subprocess.Popen([str(build.program("discard_udp")), "deaf"], stdout=subprocess.PIPE, text=True) as deaf:
        assert deaf.stdout is not None
        port = json.loads(deaf.stdout.readline())["ports"][0]
        sent = run(
            [
                *(str(build.program("raw_udp")), "--trace", str(trace), "--ports", str(port)),
                *("--destinations", "1", "--warm-s", "0", "--window-s", "0.3"),
            ]
        )
        deaf.send_signal(signal.SIGTERM)
        summary = json.loads(deaf.stdout.readline())
    assert sent["total_bytes"] > 0
    assert summary["bytes"] == 0


def handshake(size: int) -> bytes:
    """A control packet of type 0 whose fields are all 0xEE."""
    return (struct.pack(">IIII", 0x80000000, 0, 0, 0) + b"\xee" * 600)[:size]


@pytest.mark.parametrize(
    "packet",
    [b"", b"\x00" * 15, b"\x80", handshake(63), b"\x00" * 16 + b"media for no connection", b"\xff" * 1500],
    ids=["empty", "short", "one byte", "short handshake", "unknown connection", "ones"],
)
def test_a_stray_packet_does_not_stop_the_srt_receiver(packet: bytes, trace: Path) -> None:
    with discard("srt") as sink, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stray:
        stray.connect(("127.0.0.1", sink.ports[0]))
        stray.send(packet)
        stray.send(handshake(64 + len(packet) % 400))
        arguments = ["--ports", str(sink.ports[0]), "--destinations", "1", "--warm-s", "0", "--window-s", "0.2"]
        sent = run([str(build.program("raw_srt")), "--trace", str(trace), *arguments])
    assert sink.summary["bytes"] == sent["total_bytes"]
    is_media = len(packet) >= 16 and packet[0] < 0x80
    assert sink.summary["strangers"] == is_media, "its sender never asked to be let in"


def bad_traces() -> Iterator[tuple[str, bytes]]:
    marks = struct.pack("<QQQQ", 0, 5, 9, 8)
    yield "empty", b""
    yield "no magic", b"TRACE02\n" + struct.pack("<Q", 2) + marks + b"12345678"
    yield "count beyond the file", b"TRACE01\n" + struct.pack("<Q", 2**61) + marks + b"12345678"
    yield "bytes missing", b"TRACE01\n" + struct.pack("<Q", 2) + marks + b"1234567"
    yield "marks go back", b"TRACE01\n" + struct.pack("<Q", 2) + struct.pack("<QQQQ", 7, 9, 9, 8) + b"12345678"
    yield "too short for the window", b"TRACE01\n" + struct.pack("<Q", 2) + marks + b"12345678"


@pytest.mark.parametrize(("what", "content"), list(bad_traces()))
def test_a_bad_trace_is_refused(what: str, content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "bad.trace"
    path.write_bytes(content)
    command = [str(build.program("raw_udp")), "--trace", str(path), "--ports", "9"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("raw_udp: ")


def test_a_wrong_option_is_named() -> None:
    command = [str(build.program("raw_tcp")), "--destination", "4"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
    assert done.returncode == 2
    assert "'--destination'" in done.stderr
    assert "--destinations" in done.stderr


@pytest.mark.parametrize(("container", "units"), [("mpegts", 1 + 2 + 381), ("rtmp", 3)])
def test_engine_and_floor_mux_the_same_frames_in_turn(container: str, units: int) -> None:
    build.module(build.SOURCES / "mux_loop.pyx", build.OUTPUT)
    sys.path.append(str(build.OUTPUT))
    mux_loop = importlib.import_module("mux_loop")
    muxer = {"mpegts": TsMuxer, "rtmp": RtmpMuxer}[container](Ring(), [AUDIO])
    frames = [(AUDIO.id, n * 1920, n * 1920, 0, data) for n, data in enumerate((b"a" * 184, b"b" * 185, b"c" * 70000))]
    engine_ns, floor_ns, floor_units = mux_loop.time_laps(muxer, container, frames, 5760, 4)
    assert floor_units == units
    assert len(engine_ns) == len(floor_ns) == 4
    assert min(engine_ns) > 0
    assert min(floor_ns) > 0
    # Two laps warm up; ADTS cannot say the length of the largest frame.
    assert muxer.ring.head == (2 + 4) * (2 if container == "mpegts" else 3)


def test_ffmpeg_muxers_are_timed_lap_by_lap() -> None:
    figures = run([str(build.program("av_mux")), str(clip_path()), "2"])
    clip = read_clip(clip_path())
    assert figures["messages"] == len(clip.frames)
    assert sum(len(frame.data) for frame in clip.frames) / 184 < figures["packets"] < 20000
    assert min(figures[key] for key in ("ns_per_packet", "ns_per_packet_filtered", "ns_per_message")) > 0


def test_a_muxing_ratio_is_of_one_round() -> None:
    rounds = [(10.0, 5.0, 100.0), (30.0, 10.0, 120.0), (20.0, 16.0, 50.0)]
    runs = [
        {f"{who}ns_per_{what}": value for what in ("ts_packet", "rtmp_message") for who, value in row.items()}
        | {"ffmpeg": dict.fromkeys(("ns_per_packet", "ns_per_message", "ns_per_packet_filtered"), ffmpeg)}
        for row, ffmpeg in (({"": ours, "floor_": floor}, ffmpeg) for ours, floor, ffmpeg in rounds)
    ]
    summary = mux.summary(runs)
    assert summary["ns_per_ts_packet"] == 20.0
    assert summary["ts_packet_floor_ratio"] == 2.0
    assert (summary["ts_packet_floor_ratio_low"], summary["ts_packet_floor_ratio_high"]) == (1.25, 3.0)
    assert summary["rtmp_message_ffmpeg_ratio"] == 0.25


def test_a_clip_goes_on_without_a_gap() -> None:
    clip = Clip((), (ClipFrame(4, -50, 20, 1, b"x"), ClipFrame(4, 70, 90, 0, b"y")), 240)
    frames = clip.looped()
    assert [next(frames)[:4] for _ in range(4)] == [(4, 0, 70, 1), (4, 120, 140, 0), (4, 240, 310, 1), (4, 360, 380, 0)]


def test_facts_name_the_machine() -> None:
    machine = facts.machine()
    assert set(machine) == {"cpu", "cores", "kernel", "memory_gib", "python", "load"}
    assert machine["cores"] >= 1
    assert facts.commit()
