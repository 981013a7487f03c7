"""Ingest: 200 RTMP publishers, each stream pushed to three destinations, in the whole product.

One process publishes all streams (many_publishers.py); receivers throw everything away in processes of their own.  The
video has 1 Mbit/s by default, so that 200 streams in and 600 out fit two cores beside publishers and receivers.

A stream's memory is what the process grew by between one stream and all, each with its pushes, per stream; the rings'
own is the touched part of their arenas.  A ring grows to its size; what is measured before may say too little, and the
bench says so.

Lines: a stream costs its rings' arenas and at most 1 MiB, and every push gets its full rate.  Exit code 1 when one does
not hold.

bench/results/ingest-<commit>.json: ``runs``, one for each round, see ``_window``; ``received`` is by protocol, as
marks.between has it.

    python -m bench.ingest [--rounds N] [--streams N] [--each rtmp,udp,srt] [--settle-s S]    from the repository's root
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

from bench.lines import Line, Results
from bench.marks import between
from bench.peers.processes import cpu_s
from bench.peers.sinks import Sink, sink
from bench.served import QUIET, Child, Served, Strangers, Use, child, serving, until
from bench.starts import WORDS

OWN_BYTES = 1 << 20
FULL_RATE = 0.97
AUDIO_KBIT_PER_S = 128
FIRST_S = 8.0  # one stream alone: what all share is there, its arenas are touched
STEADY_S = 120.0
START_S = 30.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--streams", type=int, default=200)
    parser.add_argument("--each", default="rtmp,udp,rtmp", help="protocols of each stream's pushes")
    parser.add_argument("--kbit-per-s", type=int, default=1000)
    parser.add_argument("--settle-s", type=float, default=STEADY_S + 5)
    parser.add_argument("--window-s", type=float, default=20.0, help="whole laps of 10 s: all streams the same")
    parser.add_argument("--output", type=Path, help="default bench/results/ingest-<commit>.json")
    options = parser.parse_args()
    results = Results("ingest", options.output, **{k: v for k, v in vars(options).items() if k != "output"})
    for number in range(options.rounds):
        run = _measure(options)
        results.add({"round": number, **run})
        _print(run)
    results.finish(_lines(results.all["runs"], options))


def _measure(options: argparse.Namespace) -> dict[str, Any]:
    """One server: what it holds with one stream, then what it uses and holds with all, and what arrives meanwhile."""
    protocols = options.each.split(",")
    with ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory()))
        sinks = {
            name: running.enter_context(sink(name, options.streams * protocols.count(name), plain=False))
            for name in sorted(set(protocols))
        }
        served = running.enter_context(serving(folder, extra=QUIET))
        publishers = [running.enter_context(_publishers(served, 0, 1, options))]
        _push(served, range(1), protocols, sinks)
        time.sleep(FIRST_S)
        one = Use.of(served.process.pid)
        publishers.append(running.enter_context(_publishers(served, 1, options.streams - 1, options)))
        _push(served, range(1, options.streams), protocols, sinks)
        time.sleep(options.settle_s)
        helpers = [helper.pid for helper in publishers] + [receiver.pid for receiver in sinks.values()]
        figures = _window(served, sinks, helpers, one, options)
        published = [publisher.stop() for publisher in publishers]
    return {"each": options.each, **figures, "steady": options.settle_s >= STEADY_S, "publishers": published}


def _window(
    served: Served, sinks: dict[str, Sink], helpers: list[int], one: Use, options: argparse.Namespace
) -> dict[str, Any]:
    """CPU in cores; ``helpers``: process ids of publishers and receivers; ``one``: the server with one stream."""
    pid, pushes = served.process.pid, served.pushes()
    strangers, helped_s = Strangers(pid, *helpers), sum(map(cpu_s, helpers))
    before, marks = Use.of(pid), {name: receiver.mark() for name, receiver in sinks.items()}
    time.sleep(options.window_s)
    received = {name: between(marks[name], receiver.mark()) for name, receiver in sinks.items()}
    after = Use.of(pid)
    helpers_cores = (sum(map(cpu_s, helpers)) - helped_s) / (after.at_s - before.at_s)
    strangers_cores = strangers.cores()
    main_cores, other_cores = after.since(before, pid)
    arena_bytes = (after.arena_bytes - one.arena_bytes) / (options.streams - 1)
    return {
        "streams": options.streams,
        "pushes": len(pushes),
        "pushing": sum(push["state"] == "pushing" for push in served.pushes()),
        "main_thread_cores": main_cores,
        "other_threads_cores": other_cores,
        "us_per_stream_s": main_cores * 1e6 / options.streams,
        "us_per_push_s": other_cores * 1e6 / len(pushes),
        "helpers_cores": helpers_cores,
        "strangers_cores": strangers_cores,
        "threads": len(after.thread_s),
        "threads_with_one_stream": len(one.thread_s),
        "dirty_bytes": after.dirty_bytes,
        "arena_bytes_per_stream": arena_bytes,
        "own_bytes_per_stream": (after.dirty_bytes - one.dirty_bytes) / (options.streams - 1) - arena_bytes,
        "received": received,
    }


@contextmanager
def _publishers(served: Served, first: int, count: int, options: argparse.Namespace) -> Iterator[Child]:
    """So many streams that are being published."""
    command = ("--port", str(served.rtmp_port), "--first", str(first), "--count", str(count))
    rate = ("--kbit-per-s", str(options.kbit_per_s))
    with child(sys.executable, "-m", "bench.many_publishers", *command, *rate) as publishers:
        publishers.hear("publishing")
        yield publishers


def _push(served: Served, numbers: range, each: list[str], sinks: dict[str, Sink]) -> None:
    """Start the pushes of these streams; all there are must then be pushing."""
    for number in numbers:
        for index, name in enumerate(each):
            ports = sinks[name].ports
            port = ports[(number * each.count(name) + each[:index].count(name)) % len(ports)]
            path, key = ("/in", f"key-{number}-{index}") if name == "rtmp" else ("", "")
            url = f"{name}://127.0.0.1:{port}{path}"
            served.start(f"{number}-{index}", WORDS[name], url, key, stream=f"s-{number}")
    until("all are pushing", lambda: all(push["state"] == "pushing" for push in served.pushes()), START_S)


def _print(run: dict[str, Any]) -> None:
    got = "; ".join(
        f"{name} {seen['median_mbps']:.3f} Mbit/s, the slowest of {seen['destinations']} {seen['least_mbps']:.3f},"
        f" longest gap {seen['longest_gap_ms']:.0f} ms, lost {seen['lost_packets']}"
        for name, seen in run["received"].items()
    )
    print(
        f"{run['streams']} streams, {run['pushing']} of {run['pushes']} pushing ({run['each']}): ingest"
        f" {run['main_thread_cores']:.3f} cores = {run['us_per_stream_s']:.0f} us per stream and second, egress"
        f" {run['other_threads_cores']:.3f} cores = {run['us_per_push_s']:.0f} us per push and second\n"
        f"    (publishers and receivers {run['helpers_cores']:.2f}, strangers {run['strangers_cores']:.2f});"
        f" threads {run['threads']} (with one stream {run['threads_with_one_stream']})\n"
        f"    memory per stream {run['arena_bytes_per_stream'] / 2**20:.2f} MiB of rings and"
        f" {run['own_bytes_per_stream'] / 1024:.0f} KiB beside them{'' if run['steady'] else ', NOT YET STEADY'}"
        f" ({run['rings']} rings, in all {run['dirty_bytes'] / 2**20:.0f} MiB)\n"
        f"    {got}\n"
        f"    publishers' latest slot {max(each['late_max_ms'] for each in run['publishers']):.0f} ms",
        flush=True,
    )


def _lines(runs: list[dict[str, Any]], options: argparse.Namespace) -> list[Line]:
    own_kib = statistics.median(run["own_bytes_per_stream"] for run in runs) / 1024
    least_mbps = (options.kbit_per_s + AUDIO_KBIT_PER_S) / 1000 * FULL_RATE
    return [
        Line("memory of a stream beside its rings", own_kib, OWN_BYTES / 1024, "KiB"),
        Line("pushes that push", min(run["pushing"] for run in runs), runs[0]["pushes"], "", at_least=True),
        Line(
            "slowest push",
            min(seen["least_mbps"] for run in runs for seen in run["received"].values()),
            least_mbps,
            "Mbit/s",
            at_least=True,
        ),
    ]


if __name__ == "__main__":
    main()
