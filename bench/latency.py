"""Latency: from a publisher's last byte of a frame to its first byte at the receiver, in the whole product.

A publisher of ours stamps each video frame right before the one send that carries it (stamped_publisher.py) and
publishes over RTMP to a real server; receivers in a process of their own note when each stamp came (stamp_*.c), over
SRT on the wire.  "direct" is the same publisher connected to the same receiver without a server: what it shows is the
machine's own, and is in all other figures too.  "libsrt" is one UDP push to a program that gives each datagram to as
many SRT callers at once (relay_srt.c): what libsrt alone takes on these cores.  The clip drifts against the sender's
turns, so one push sees every distance between frame and turn.

Lines, on the medians of all rounds: with the most pushes p99 is at most 1.5 intervals and 2 ms, with one push p50 at
most 0.6 intervals, and every frame comes to everyone.  Exit code 1 when one does not hold.

bench/results/latency-<commit>.json: ``runs`` has for each round, protocol and number of pushes ``count``, ``missing``,
``percentiles_ms`` (of the ranks in ``settings.ranks``: 1 to 99, 99.9, 100), ``interval_ms`` of the sender at
the end, ``strangers_cores`` that others took of the machine meanwhile, and how late the publisher itself was.

    python -m bench.latency [--rounds N] [--pushes 1,100,400] [--protocols rtmp,udp,srt]      from the repository's root
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from bench.lines import Line, Results
from bench.served import QUIET, WORDS, Child, Served, Strangers, child, receiving, serving, until
from bench.stamp import PERCENTILES, Window, latencies, read_kept

INTERVAL_MS = {"rtmp": 40, "udp": 20, "srt": 20}  # [sender], as it is by default
CLASSES = {"rtmp": "tcp", "udp": "udp", "srt": "srt", "libsrt": "udp"}
RECEIVERS = {"direct": "stamp_rtmp", "libsrt": "stamp_srt"}
BESIDE_LIBSRT = 1.1
SETTLE_S = 4.0  # joins have caught up
LAST_S = 2.0  # what has not come by then counts as missing


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pushes", default="1,100,400", help="numbers with commas between, growing")
    parser.add_argument("--protocols", default="direct,rtmp,udp,srt,libsrt")
    parser.add_argument("--window-s", type=float, default=10.0)
    parser.add_argument("--output", type=Path, help="default bench/results/latency-<commit>.json")
    options = parser.parse_args()
    counts = [int(count) for count in options.pushes.split(",")]
    protocols = options.protocols.split(",")
    results = Results("latency", options.output, window_s=options.window_s, ranks=PERCENTILES, interval_ms=INTERVAL_MS)
    print(
        f"round  protocol     N |{'p50':>7} {'p90':>7} {'p99':>7} {'p99.9':>7} {'max':>7} ms |  frames  missing |",
        end="",
    )
    print(" publisher late p99, strangers, sender", flush=True)
    for number in range(options.rounds):
        for protocol in protocols:
            for run in _measure(protocol, counts, options.window_s):
                results.add({"round": number, **run})
                _print(number, run)
    results.finish(_lines(results.all["runs"], max(counts)))


def _measure(protocol: str, counts: list[int], window_s: float) -> list[dict[str, Any]]:
    """One server and one publisher; the pushes grow to each of ``counts``, and each gets a window."""
    windows: dict[int, tuple[Window, dict[str, Any]]] = {}
    with ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory()))
        kept, sent = folder / "kept", folder / "sent"
        sink, ports = running.enter_context(receiving(RECEIVERS.get(protocol, f"stamp_{protocol}"), str(kept)))
        if protocol == "direct":
            with _publishing(ports[0], sent) as publisher:
                windows[1] = _window(window_s, Strangers(publisher.pid, sink.pid))
                summary = publisher.stop()
        else:
            served = running.enter_context(serving(folder, extra=QUIET))
            with _publishing(served.rtmp_port, sent) as publisher:
                served.until_stream()
                ours = [publisher.pid, sink.pid, served.process.pid]
                wire, pushes = protocol, {count: count for count in counts}
                if protocol == "libsrt":  # one push to the relay stands for all of its callers
                    callers = (str(counts[-1]), ",".join(map(str, ports)))
                    relay, ports = running.enter_context(receiving("relay_srt", *callers))
                    ours.append(relay.pid)
                    wire, pushes = "udp", {counts[-1]: 1}
                for count, started in pushes.items():
                    _grow(served, wire, started, ports)
                    windows[count] = _window(window_s, Strangers(*ours))
                    windows[count][1]["interval_ms"] = _interval_ms(served, protocol)
                summary = publisher.stop()
        received = sink.stop()
        stamps, sent_ns = read_kept(kept), np.fromfile(sent, "<u8")
    runs = []
    for count, (window, circumstances) in windows.items():
        run = {"protocol": protocol, "pushes": count, **latencies(stamps, sent_ns, window, count), **circumstances}
        runs.append({**run, "publisher": summary, "receiver": received})
    return runs


@contextmanager
def _publishing(port: int, sent: Path) -> Iterator[Child]:
    command = [sys.executable, "-m", "bench.stamped_publisher", "--port", str(port), "--sent", str(sent)]
    with child(*command) as publisher:
        publisher.hear("publishing")
        yield publisher


def _grow(served: Served, protocol: str, count: int, ports: list[int]) -> None:
    """Start pushes until there are so many, and wait until all are pushing."""
    scheme = "rtmp" if protocol == "rtmp" else protocol
    for number in range(len(served.pushes()), count):
        path = "/in" if protocol == "rtmp" else ""
        url = f"{scheme}://127.0.0.1:{ports[number % len(ports)]}{path}"
        served.start(f"push-{number}", WORDS[protocol], url, f"key-{number}" if protocol == "rtmp" else "")
    until(f"{count} pushes push", lambda: all(push["state"] == "pushing" for push in served.pushes()))


def _interval_ms(served: Served, protocol: str) -> int:
    """How far apart a destination's turns are now: senders lengthen it under load."""
    threads = served.call("GET", "/v1/stats/senders")[1]["response"]["threads"]
    return max(int(thread[CLASSES[protocol]]["intervalMs"]) for thread in threads)


def _window(window_s: float, strangers: Strangers) -> tuple[Window, dict[str, Any]]:
    """Let it settle, then wait for the window to pass and for its last frames to arrive: the window, and what else the
    machine did.

    Pushes that are started later begin in the past, with frames of this window: they are not counted here.
    """
    time.sleep(SETTLE_S)
    first = time.monotonic_ns()
    time.sleep(window_s)
    last = time.monotonic_ns()
    strangers_cores = round(strangers.cores(), 3)
    time.sleep(LAST_S)
    return (first, last, time.monotonic_ns()), {"strangers_cores": strangers_cores}


def _of(run: dict[str, Any], rank: float) -> float:
    return float(run["percentiles_ms"][PERCENTILES.index(rank)])


def _print(number: int, run: dict[str, Any]) -> None:
    shown = " ".join(f"{_of(run, rank):7.2f}" for rank in (50, 90, 99, 99.9, 100))
    interval = f", turns of {run['interval_ms']} ms" if "interval_ms" in run else ""
    print(
        f"{number:5}  {run['protocol']:8} {run['pushes']:5} | {shown} ms | {run['count']:7} {run['missing']:8} |"
        f" {run['publisher']['late_p99_ms']:8.2f} ms  {run['strangers_cores']:5.2f} cores{interval}",
        flush=True,
    )


def _lines(runs: list[dict[str, Any]], most: int) -> list[Line]:
    lines = []
    for protocol, interval_ms in INTERVAL_MS.items():
        for count, rank, allowed in ((most, 99, 1.5 * interval_ms + 2), (1, 50, 0.6 * interval_ms)):
            those = [run for run in runs if run["protocol"] == protocol and run["pushes"] == count]
            if those:
                found = statistics.median(_of(run, rank) for run in those)
                lines.append(Line(f"{protocol}, {count} pushes, p{rank}", found, allowed, "ms"))
    beside = {
        protocol: statistics.median(
            _of(run, 99) for run in runs if run["protocol"] == protocol and run["pushes"] == most
        )
        for protocol in ("srt", "libsrt")
        if any(run["protocol"] == protocol for run in runs)
    }
    if len(beside) == 2:
        lines.append(
            Line(f"srt, {most} pushes, p99 : libsrt's own", beside["srt"] / beside["libsrt"], BESIDE_LIBSRT, "")
        )
    missing = sum(run["missing"] for run in runs)
    return [*lines, Line("frames that did not come", missing, 0, "frames")]


if __name__ == "__main__":
    main()
