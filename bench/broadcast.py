"""Transport streams for broadcast: a constant rate as a receiver sees it, and large keyframes that are spread.

A server plays a live stream.  UDP sockets of this process take the datagrams with the kernel's time of their arrival,
which on loopback is that of their departure.

Lines, the median of all rounds:
- a push with ``muxrateBitsPerSecond``: its rate by the clock of the receiver within 0.01 %; each PCR within 500 ns of
  the time of its place; datagrams 99 % within 2 ms of an even pace;
- a push with ``"pacing": "frame"`` of a stream whose keyframes have 500 kB: a keyframe takes at least 80 % of the time
  of a frame and at most one and a half, and no 5 ms carry more than a quarter of it.

Beside them, without a line, the same figures of a push without pacing.

bench/results/broadcast-<commit>.json: ``runs`` with all of them.

    python -m bench.broadcast [--rounds N] [--window-s S] [--pushes N]      from the repository's root
"""

from __future__ import annotations

import argparse
import socket
import statistics
import struct
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bench.build import OUTPUT
from bench.clip import live_source
from bench.lines import Line, Results
from bench.served import QUIET, Served, Use, clocks, serving, until

PACKET_BYTES = 188
MUX_BITS_PER_S = 8_000_000
CLOCK_HZ = 27_000_000
CLOCK_MODULUS = 300 << 33
RATE_ERROR = 1e-4
PCR_ERROR_NS = 500.0
JITTER_MS = 2.0
KEYFRAME_BYTES = 500_000
FRAME_MS = 40.0
SO_TIMESTAMPNS = 35
RECEIVE_BUFFER_BYTES = 1 << 23
SETTLE_S = 3.0
TIMESPEC = struct.Struct("=qq")


class Datagram(NamedTuple):
    at_ns: int
    data: bytes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--window-s", type=float, default=30.0)
    parser.add_argument("--pushes", type=int, default=20, help="at a constant rate, one of which is looked at")
    parser.add_argument("--output", type=Path, help="default bench/results/broadcast-<commit>.json")
    options = parser.parse_args()
    results = Results("broadcast", options.output, pushes=options.pushes, window_s=options.window_s)
    for number in range(options.rounds):
        run = {
            "round": number,
            "constant": constant(options.pushes, options.window_s),
            "spread": keyframes({"pacing": "frame"}, options.window_s / 3),
            "at_once": keyframes({}, options.window_s / 3),
        }
        results.add(run)
        print(_sentence(run), flush=True)
    results.finish(_lines(results.all["runs"]))


def _sentence(run: dict[str, Any]) -> str:
    rate, spread, at_once = run["constant"], run["spread"], run["at_once"]
    return (
        f"rate off by {rate['rate_error'] * 1e6:.1f} ppm, PCR by {rate['pcr_error_ns']:.0f} ns, departures p99"
        f" {rate['jitter_ms_p99']:.2f} ms (most {rate['jitter_ms_max']:.2f}), {rate['cores']:.3f} cores for all pushes;"
        f" keyframes of {spread['keyframe_bytes'] / 1e3:.0f} kB take {spread['takes_ms']:.1f} ms, busiest 5 ms"
        f" {spread['busiest']:.2f} of it (unpaced {at_once['takes_ms']:.1f} ms, {at_once['busiest']:.2f})"
    )


def _lines(runs: list[dict[str, Any]]) -> list[Line]:
    def over(part: str, name: str) -> float:
        return float(statistics.median(run[part][name] for run in runs))

    return [
        Line("muxrate, off by", over("constant", "rate_error") * 1e6, RATE_ERROR * 1e6, "ppm"),
        Line("PCR, off its place by", over("constant", "pcr_error_ns"), PCR_ERROR_NS, "ns"),
        Line("departures at a constant rate, p99", over("constant", "jitter_ms_p99"), JITTER_MS, "ms"),
        Line("keyframe", over("spread", "keyframe_bytes"), 0.9 * KEYFRAME_BYTES, "bytes", at_least=True),
        Line("a keyframe takes", over("spread", "takes_ms"), 0.8 * FRAME_MS, "ms", at_least=True),
        Line("a keyframe takes", over("spread", "takes_ms"), 1.5 * FRAME_MS, "ms"),
        Line("its busiest 5 ms carry", over("spread", "busiest"), 0.25, "of it"),
    ]


def constant(count: int, window_s: float) -> dict[str, float]:
    """Figures of one of so many pushes at a constant rate."""
    options = {"muxrateBitsPerSecond": MUX_BITS_PER_S}
    with _pushing(live_source(), count, options) as (served, receiver):
        time.sleep(SETTLE_S)
        before = Use.of(served.process.pid)
        datagrams = receive(receiver, window_s)
        after = Use.of(served.process.pid)
    times_ns = np.array([each.at_ns for each in datagrams], dtype=np.int64)
    bits = np.cumsum([0] + [8 * len(each.data) for each in datagrams])[:-1]
    even_ns = bits * (1e9 / MUX_BITS_PER_S)
    late_ns = times_ns - times_ns[0] - even_ns
    late_ms = (late_ns - late_ns.min()) / 1e6
    rate = np.polyfit((times_ns - times_ns[0]) / 1e9, bits, 1)[0]
    return {
        "rate_error": float(abs(rate / MUX_BITS_PER_S - 1)),
        "pcr_error_ns": pcr_error_ns(b"".join(each.data for each in datagrams)),
        "jitter_ms_p99": float(np.percentile(late_ms, 99)),
        "jitter_ms_max": float(late_ms.max()),
        "cores": sum(after.since(before, served.process.pid)),
    }


def pcr_error_ns(data: bytes) -> float:
    """The largest distance of a PCR from the time of its place, by the first one and the rate."""
    places, times = np.array(clocks(data), dtype=np.int64).T
    passed = (times - times[0]) % CLOCK_MODULUS
    by_place = (places - places[0]) * (8 * PACKET_BYTES * CLOCK_HZ / MUX_BITS_PER_S)
    return float(abs(passed - by_place).max() / CLOCK_HZ * 1e9)


def keyframes(options: dict[str, Any], window_s: float) -> dict[str, float]:
    """How the keyframes of a stream that has large ones leave; medians of all that were seen."""
    with _pushing(_source_with_large_keyframes(), 1, options) as (_, receiver):
        time.sleep(SETTLE_S)
        datagrams = receive(receiver, window_s)
    sizes, takes_ms, busiest = [], [], []
    for keyframe in _large(datagrams):
        times_ms = np.array([each.at_ns for each in keyframe]) / 1e6
        sizes.append(sum(len(each.data) for each in keyframe))
        takes_ms.append(times_ms[-1] - times_ms[0])
        inside = [np.count_nonzero((times_ms >= at) & (times_ms < at + 5)) for at in times_ms]
        busiest.append(max(inside) / len(keyframe))
    return {
        "keyframe_bytes": statistics.median(sizes),
        "takes_ms": float(statistics.median(takes_ms)),
        "busiest": float(statistics.median(busiest)),
    }


def _large(datagrams: list[Datagram]) -> Iterator[list[Datagram]]:
    """Datagrams of each keyframe: from the one with its random access point on, up to the next frame's first."""
    frame: list[Datagram] = []
    for datagram in datagrams:
        starts = [at for at in range(0, len(datagram.data), PACKET_BYTES) if _starts_video(datagram.data[at:])]
        if starts:
            if len(frame) > KEYFRAME_BYTES // 2 // len(datagram.data):
                yield frame
            frame = []
        if frame or any(datagram.data[at + 3] & 0x20 and datagram.data[at + 5] & 0x40 for at in starts):
            frame.append(datagram)


def _starts_video(packet: bytes) -> bool:
    return packet[1] & 0x40 != 0 and (packet[1] & 0x1F) << 8 | packet[2] == 0x100


@contextmanager
def _pushing(source: str, count: int, options: dict[str, Any]) -> Iterator[tuple[Served, socket.socket]]:
    """A server with so many pushes; the receiver of one of them."""
    with ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory()))
        receiver = running.enter_context(_receiver())
        others = running.enter_context(_receiver())
        served = running.enter_context(serving(folder, sources=QUIET + source))
        served.until_stream()
        threading.Thread(target=_discard, args=(others,), daemon=True).start()
        for number in range(count):
            port = (others if number else receiver).getsockname()[1]
            body = {
                "id": f"p{number}",
                "stream": {"name": "live"},
                "protocol": "mpegts",
                "url": f"udp://127.0.0.1:{port}",
                "mpegtsOptions": options,
            }
            status, answer = served.call("POST", f"{Served.app}:startPush", body)
            assert status == 200, answer
        until("all are pushing", lambda: all(push["state"] == "pushing" for push in served.pushes()))
        yield served, receiver


def _receiver() -> socket.socket:
    receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
    receiver.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
    receiver.bind(("127.0.0.1", 0))
    receiver.settimeout(10)
    return receiver


def _discard(receiver: socket.socket) -> None:
    try:
        while True:
            receiver.recv(2048)
    except OSError:
        return


def receive(receiver: socket.socket, window_s: float) -> list[Datagram]:
    """What comes in the window, with the kernel's time of each."""
    receiver.setblocking(False)
    try:
        while True:
            receiver.recv(2048)
    except BlockingIOError:
        receiver.settimeout(10)
    datagrams = []
    end = time.monotonic() + window_s
    while time.monotonic() < end:
        data, ancillary, _, _ = receiver.recvmsg(2048, 64)
        seconds, nanoseconds = TIMESPEC.unpack(ancillary[0][2][: TIMESPEC.size])
        datagrams.append(Datagram(seconds * 1_000_000_000 + nanoseconds, data))
    return datagrams


def _source_with_large_keyframes() -> str:
    """A still picture of noise: keyframes are all there is to send."""
    path = OUTPUT / "clip-keyframes.mp4"
    if not path.exists():
        OUTPUT.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(".new.mp4")
        subprocess.run(
            [
                *("ffmpeg", "-v", "error", "-nostdin", "-y", "-f", "lavfi"),
                *("-i", "color=gray:size=1280x720:rate=25,noise=alls=60:all_seed=1"),
                *(
                    "-f",
                    "lavfi",
                    "-i",
                    "sine=frequency=440:sample_rate=48000,aformat=channel_layouts=stereo",
                    "-t",
                    "10",
                ),
                *("-pix_fmt", "yuv420p", "-c:v", "libx264", "-preset", "veryfast", "-bf", "0", "-qp", "30", "-g", "25"),
                *("-keyint_min", "25", "-sc_threshold", "0", "-c:a", "aac", "-b:a", "128k", str(fresh)),
            ],
            check=True,
        )
        fresh.replace(path)
    return f'[[sources]]\nname = "live"\nurl = "{path.as_uri()}?loop=1"\n'


if __name__ == "__main__":
    main()
