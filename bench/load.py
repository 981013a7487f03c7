"""Load: 300 pushes of one 2.5 Mbit/s stream, 100 for each protocol, with verifying sinks on the same machine.

First each protocol alone, for the memory of a push; then all together, for CPU, threads and what the sinks find.
Lines that must hold, or the exit code is 1: every sender's every frame arrives, the sinks find no error, the server's
threads do not grow with the pushes, and a push costs at most 8 KiB of our own over RTMP and UDP (over SRT the memory
is libsrt's).

    python -m bench.load [--seconds S] [--each N] [--latency-us US] [--immediate]      from the repository's root
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import facts
from bench.build import ROOT
from bench.clip import clip_path, live_source

# The tree's own pushcast, for the children too.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT / "src"), os.environ.get("PYTHONPATH")]))
sys.path += [str(ROOT / "tests"), str(ROOT / "src")]

from adversity.sinks import Sink, url
from serving import Served, ffmpeg_publish, serving, until

PROTOCOLS = ("rtmp", "srt", "udp")
FRAMES_PER_S, FRAME_TICKS, LAP_FRAMES = 25, 3600, 250
SETTLE_S = 12.0  # a ring has grown to its size and been written once round
OWN_BYTES = 8 * 1024
FIRST_PUSHES = 50
OWN_MEMORY = ("rtmp", "udp")
SOCKETS_PER_PORT = 250  # of libsrt, each port with two threads


@dataclass(frozen=True)
class Cost:
    """What a process has used and holds; ``cpu_s`` user and system since its start."""

    at_s: float
    cpu_s: float
    rss_bytes: int
    pss_bytes: int
    threads: int

    @classmethod
    def of(cls, pid: int) -> Cost:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        status = _sizes(Path(f"/proc/{pid}/status"))
        rollup = _sizes(Path(f"/proc/{pid}/smaps_rollup"))
        cpu_s = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return cls(time.monotonic(), cpu_s, status["VmRSS"] * 1024, rollup["Pss"] * 1024, status["Threads"])


def _sizes(path: Path) -> dict[str, int]:
    """The numbers of a file of ``name: number unit`` lines."""
    lines = (line.partition(":") for line in path.read_text().splitlines())
    return {name: int(rest.split()[0]) for name, _, rest in lines if rest.split() and rest.split()[0].isdecimal()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--each", type=int, default=100, help="pushes of each protocol")
    parser.add_argument("--latency-us", type=int, default=120_000, help="of SRT")
    parser.add_argument("--immediate", action="store_true", help="the SRT sink releases packets as they come")
    parser.add_argument("--no-memory", action="store_true", help="leave out the runs of one protocol alone")
    options = parser.parse_args()
    print(json.dumps(facts.machine()), flush=True)
    broken: list[str] = []
    if not options.no_memory:
        for protocol in PROTOCOLS:
            broken += memory(protocol, options)
    broken += together(options)
    for line in broken:
        print(f"DOES NOT HOLD: {line}")
    print("all lines hold" if not broken else f"{len(broken)} lines do not hold")
    sys.exit(1 if broken else 0)


@contextmanager
def _playing(folder: Path) -> Iterator[Served]:
    """A server that plays the clip itself."""
    with serving(folder, extra='[log]\nlevel = "WARNING"\n', sources=live_source()) as served:
        served.until_stream()
        yield served


@contextmanager
def _published_to(folder: Path) -> Iterator[Served]:
    """A server to which ffmpeg publishes the clip.

    One that plays it opens it again for each lap, and its RSS moves by 2 MiB then, up or down: 20 KiB for each of a
    hundred pushes.
    """
    with serving(folder, sources='[log]\nlevel = "WARNING"\n') as served:
        url = f"rtmp://127.0.0.1:{served.rtmp_port}/app/live"
        publisher = ffmpeg_publish(clip_path(), url, folder / "publisher.log", loop=True)
        try:
            served.until_stream()
            yield served
        finally:
            publisher.stop()


@contextmanager
def _running(
    live: Callable[[Path], AbstractContextManager[Served]], protocols: tuple[str, ...], options: argparse.Namespace
) -> Iterator[tuple[Served, dict[str, Sink]]]:
    """A server whose stream is live, with one push to each sink: what all pushes share is there."""
    with ExitStack() as running:
        folder = running.enter_context(tempfile.TemporaryDirectory())
        began = time.monotonic()
        served = running.enter_context(live(Path(folder)))
        print(f"server of {'+'.join(protocols)}: stream after {time.monotonic() - began:.2f} s", flush=True)
        sinks: dict[str, Sink] = {}
        for protocol in protocols:
            immediate = ["--immediate"] if protocol == "srt" and options.immediate else []
            sinks[protocol] = Sink(protocol, *immediate)
            running.callback(sinks[protocol].kill)
        _start(served, sinks, range(1), options)
        yield served, sinks


def _start(served: Served, sinks: dict[str, Sink], numbers: range, options: argparse.Namespace) -> None:
    for number in numbers:
        for protocol, sink in sinks.items():
            word, target, key = url(protocol, sink.port)
            served.start(f"{protocol}-{number}", word, target.replace("120000", str(options.latency_us)), key)
    until("all are pushing", lambda: all(push["state"] == "pushing" for push in served.pushes()))


def memory(protocol: str, options: argparse.Namespace) -> list[str]:
    """Bytes per push of one protocol alone.  The first pushes also pay for what the API's server needs only once."""
    with _running(_published_to, (protocol,), options) as (served, sinks):
        time.sleep(SETTLE_S)
        costs = [Cost.of(served.process.pid)]
        counts = [1, FIRST_PUSHES, FIRST_PUSHES + options.each]
        for before, count in itertools.pairwise(counts):
            _start(served, sinks, range(before, count), options)
            time.sleep(SETTLE_S / 2)
            costs.append(Cost.of(served.process.pid))
    sizes = ", ".join(f"{cost.rss_bytes / 2**20:.1f} with {count}" for cost, count in zip(costs, counts, strict=True))
    each = (costs[2].rss_bytes - costs[1].rss_bytes) / options.each
    print(f"    {protocol}: {each / 1024:.1f} KiB per push (RSS in MiB: {sizes})", flush=True)
    if protocol in OWN_MEMORY and each > OWN_BYTES:
        return [f"{protocol}: {each / 1024:.1f} KiB per push, allowed {OWN_BYTES // 1024} KiB"]
    return []


def together(options: argparse.Namespace) -> list[str]:
    """All protocols at once for the whole time."""
    with _running(_playing, PROTOCOLS, options) as (served, sinks):
        time.sleep(2)
        one = Cost.of(served.process.pid)
        _start(served, sinks, range(1, options.each), options)
        time.sleep(2)
        before, first = _look(served, sinks)
        time.sleep(options.seconds)
        after, last = _look(served, sinks)
        states = {push["state"] for push in served.pushes()}
    broken = [] if states == {"pushing"} else [f"states at the end: {states}"]
    received = sum(row["bytes"] - _row(first, name, row)["bytes"] for name in last for row in last[name])
    window_s = after["server"].at_s - before["server"].at_s
    _print_cost(before, after, received)
    for name in sinks:
        broken += _judge(name, first, last[name], options.each, window_s)
    allowed = one.threads + 2 * (options.each // SOCKETS_PER_PORT)
    print(f"    threads: {one.threads} with one push of each protocol, {after['server'].threads} with {options.each}")
    if after["server"].threads > allowed:
        broken.append(f"threads grow with pushes: {one.threads}, then {after['server'].threads}")
    return broken


Rows = dict[str, list[dict[str, Any]]]


def _look(served: Served, sinks: dict[str, Sink]) -> tuple[dict[str, Cost], Rows]:
    rows = {name: sink.rows() for name, sink in sinks.items()}
    costs = {name: Cost.of(sink.child.pid) for name, sink in sinks.items()}
    return {"server": Cost.of(served.process.pid), **costs}, rows


def _row(rows: Rows, name: str, like: dict[str, Any]) -> dict[str, Any]:
    """The same sender's row at another time; SRT callers share ports, so they go by place."""
    at = [index for index, row in enumerate(rows[name]) if row["peer"] == like["peer"]]
    return rows[name][at[0]] if len(at) == 1 else min((rows[name][index] for index in at), key=lambda row: row["bytes"])


def _print_cost(before: dict[str, Cost], after: dict[str, Cost], received: int) -> None:
    server = after["server"]
    window_s = server.at_s - before["server"].at_s
    gbit = received * 8e-9
    cpu_s = server.cpu_s - before["server"].cpu_s
    print(
        f"    server: {cpu_s / window_s:.2f} cores, {cpu_s * 1000 / gbit:.0f} ms per Gbit"
        f" ({gbit / window_s:.2f} Gbit/s at the sinks), RSS {server.rss_bytes / 2**20:.1f} MiB,"
        f" PSS {server.pss_bytes / 2**20:.1f} MiB"
    )
    for name in PROTOCOLS:
        used = after[name].cpu_s - before[name].cpu_s
        print(f"    sink of {name}: {used / window_s:.2f} cores")


def _judge(name: str, first: Rows, rows: list[dict[str, Any]], expected: int, window_s: float) -> list[str]:
    """What the sink found wrong, and whether every frame of the window came to everyone."""
    broken: list[str] = []
    errors: dict[str, int] = {}
    for row in rows:
        for kind, count in row["errors"].items():
            errors[kind] = errors.get(kind, 0) + count
    if errors:
        hit = sum(1 for row in rows if row["errors"])
        broken.append(f"{name}: errors at {hit} of {len(rows)} senders: {errors}")
    if len(rows) != expected:
        broken.append(f"{name}: {len(rows)} senders, expected {expected}")
    frames = [row["video_frames"] for row in rows]
    # Without the last one, of which a sink may have seen the beginning only.
    carried = [round((row["last_dts"] - row["first_dts"]) / FRAME_TICKS) for row in rows]
    # At the end of each lap of the clip the sound outlasts the pictures by up to a frame.
    missing = sum(max(0, due - came - due // LAP_FRAMES - 1) for due, came in zip(carried, frames, strict=True))
    slowest = min(frames) - min(row["video_frames"] for row in first[name])
    if missing:
        broken.append(f"{name}: {missing} frames are missing")
    if slowest < FRAMES_PER_S * (window_s - 1):
        broken.append(f"{name}: {slowest} frames in {window_s:.0f} s at the slowest sender")
    print(
        f"    {name}: {len(rows)} senders, {min(row['mbps'] for row in rows):.2f} to"
        f" {max(row['mbps'] for row in rows):.2f} Mbit/s,"
        f" longest gap {max(row['longest_gap_ms'] for row in rows):.0f} ms,"
        f" frames missing {missing}, errors {errors or 'none'}"
    )
    return broken


if __name__ == "__main__":
    main()
