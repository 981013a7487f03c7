"""What the benches of control path and ingest measure with: marks, laps, the memory of rings, answers, lines."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from live import IDR, SLICE, TRACKS

from pushcast.chunk import ChunkReader, write_message
from pushcast.media import Kind
from pushcast.message import MediaSink, Message
from pushcast.rtmp.client import CHUNK_SIZE

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))

from bench.clip import Clip, ClipFrame  # noqa: E402
from bench.lines import Line  # noqa: E402
from bench.many_publishers import lap_slots  # noqa: E402
from bench.marks import between, until_media  # noqa: E402
from bench.peers.sinks import Mark, sink  # noqa: E402
from bench.publisher import beginning, publish  # noqa: E402
from bench.request import read_answer, request  # noqa: E402
from bench.served import Strangers  # noqa: E402

KEY, DELTA = ((len(unit) - 4).to_bytes(4) + unit[4:] + bytes(60) for unit in (IDR, SLICE))


def mark(at_s: float, received: list[int], gaps_ms: list[float]) -> Mark:
    counts = [np.array(row, np.int64) for row in (received, [0] * len(received), [int(ms * 1e6) for ms in gaps_ms])]
    return Mark(int(at_s * 1e9), 0.0, *counts, lost_packets=int(at_s), sink_drops=0)


def test_figures_between_two_marks_are_of_those_that_were_asked_for() -> None:
    before = mark(10, [9_000, 0, 1_000_000, 0], [500, 0, 0, 0])
    after = mark(12, [9_000, 250_000, 1_500_000, 750_000], [2_000, 41, 40, 70])
    assert between(before, after, slice(1, None)) == {
        "destinations": 3, "median_mbps": 2.0, "least_mbps": 1.0, "longest_gap_ms": 70.0, "lost_packets": 2,
        "sink_drops": 0,
    }  # fmt: skip
    assert between(before, after)["least_mbps"] == 0
    assert between(before, after)["longest_gap_ms"] == 2_000


def test_the_last_destination_to_get_media_is_waited_for() -> None:
    with sink("rtmp", 2, plain=False) as receiver:
        first, second = (publish(receiver.ports[0], "app", key) for key in ("one", "two"))
        with first.socket, second.socket:
            first.socket.sendall(bytes(5000))
            with pytest.raises(TimeoutError, match="1 of 2"):
                until_media(receiver, 2, deadline_s=0.2)
            between_ns = time.monotonic_ns()
            second.socket.sendall(bytes(70_000))
            assert between_ns < until_media(receiver, 2, deadline_s=5) < time.monotonic_ns()


class Kept(MediaSink):
    def __init__(self) -> None:
        self.messages: list[tuple[int, int, bytes]] = []

    def take(self, message: Message) -> None:
        self.messages.append((message.type, message.timestamp_ms, message.payload))


def test_laps_of_many_publishers_are_the_same_bytes_and_time_goes_on() -> None:
    frames = (
        ClipFrame(7, -1800, 1800, 1, KEY),
        ClipFrame(7, 1800, 1800, 0, DELTA * 900),
        ClipFrame(9, 0, 0, 1, b"first"),
        ClipFrame(9, 6000, 6000, 1, b"beyond the lap of the video"),
    )
    clip = Clip(TRACKS, frames, 7200)
    slots = lap_slots(clip)
    reader, sink = ChunkReader(), Kept()
    reader.media = sink
    reader.receive(write_message(2, 1, 0, 0, CHUNK_SIZE.to_bytes(4), 128) + beginning(clip, 1))
    for _ in range(2):
        for data in slots:
            reader.receive(data)
    media = sink.messages[2:]
    video = [(at_ms, len(payload)) for kind, at_ms, payload in media if kind == 9]
    audio = [(at_ms, payload[2:]) for kind, at_ms, payload in media if kind == 8]
    late = b"beyond the lap of the video"
    # The lap has 80 ms; the first delta of a track comes from its last message one lap before.
    assert [at_ms - video[0][0] for at_ms, _ in video] == [0, 40, 80, 120]
    assert [size for _, size in video] == [5 + len(KEY), 5 + len(DELTA) * 900] * 2
    assert [(at_ms - audio[0][0], payload) for at_ms, payload in audio] == [
        (0, late), (14, b"first"), (80, late), (94, b"first"),
    ]  # fmt: skip
    assert {track.kind for track in TRACKS} == {Kind.VIDEO, Kind.AUDIO}


MEMORY = """
import json, os
from bench.served import Use
from pushcast.ring import Ring

before = Use.of(os.getpid())
rings = [Ring() for _ in range(3)]
other = bytearray(b"x") * 3_000_000
for ring in rings:
    ring.write(bytes(800_000), 0)
after = Use.of(os.getpid())
print(json.dumps([getattr(after, name) - getattr(before, name) for name in ("arena_bytes", "dirty_bytes")]))
"""


def test_the_arenas_of_rings_are_told_apart_from_other_memory() -> None:
    """In a process of its own: rings and thread heaps that other tests left may lie beside these."""
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'src'}"}
    answer = subprocess.check_output([sys.executable, "-c", MEMORY], env=environment, text=True)
    arena_bytes, dirty_bytes = json.loads(answer)
    assert arena_bytes == pytest.approx(2_400_000, abs=50_000)
    assert dirty_bytes > 2_400_000 + 1_500_000


def test_strangers_are_neither_we_nor_the_processes_that_were_named() -> None:
    burn = 'import time\nwhile time.process_time() < 0.4: pass\nprint(\'{"event": "done"}\', flush=True)\ninput()'
    with subprocess.Popen([sys.executable, "-c", burn], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as known:
        assert known.stdout is not None
        without, everybody = Strangers(known.pid), Strangers()
        began_s = time.monotonic()
        known.stdout.readline()
        difference = (everybody.cores() - without.cores()) * (time.monotonic() - began_s)
        known.kill()
    assert difference == pytest.approx(0.4, abs=0.2)


def test_answers_are_taken_one_by_one() -> None:
    answer = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nServer: x\r\n\r\nabc"
    received = bytearray(answer[:-1])
    assert read_answer(received) == b""
    received += answer[-1:] + answer
    assert read_answer(received) == b"abc"
    assert received == answer
    with pytest.raises(RuntimeError, match="404"):
        read_answer(bytearray(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"))


def test_a_request_says_how_long_it_is() -> None:
    head, _, body = request("/v1/x", json.dumps({"id": "é"})).partition(b"\r\n\r\n")
    assert head.startswith(b"POST /v1/x HTTP/1.1\r\n")
    assert b"Content-Length: %d" % len(body) in head
    assert request("/v1/x").startswith(b"GET ")


@pytest.mark.parametrize(
    ("line", "holds"),
    [
        (Line("a", 2, 2, ""), True),
        (Line("a", 2.1, 2, ""), False),
        (Line("a", 1.9, 2, "", at_least=True), False),
        (Line("a", 2, 2, "", at_least=True), True),
        (Line("a", float("nan"), 2, ""), False),
        (Line("a", float("nan"), 2, "", at_least=True), False),
    ],
)
def test_a_line_holds_or_does_not(line: Line, holds: bool) -> None:
    assert line.holds is holds
