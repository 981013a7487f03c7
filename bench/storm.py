"""A storm at full size: 300 pushes started at once, then 150 live ones among 150 dead ones.

Lines that must hold, or the exit code is 1: all live pushes say ``pushing`` within two seconds of the first call, the
sinks find no error, and dead peers lengthen no gap between two sends of a live destination beyond three ticks.  Gaps
are taken from the engine's own counters, in this process, in windows with and without dead pushes.

    python -m bench.storm [--live N] [--dead N]      from the repository's root
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import resource
import sys
import tempfile
from pathlib import Path

import uvloop

from bench import facts
from bench.build import ROOT
from bench.clip import live_source

# The tree's own pushcast, for the children too.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT / "src"), os.environ.get("PYTHONPATH")]))
sys.path += [str(ROOT / "tests"), str(ROOT / "src")]

from adversity.dead import dead_peers
from adversity.gaps import THREE_TICKS_MS, longest_gaps, play, start
from adversity.sinks import Sink, sinks
from adversity.storm import live_pushes, start_at_once
from live import LiveStream, engine, until
from serving import serving

from pushcast.log import setup
from pushcast.push_state import PushState

PROTOCOLS = ("rtmp", "srt", "udp")
PUSHING_S = 2.0
KEEP_S = 6.0
WINDOW_S, WINDOWS = 2.0, 4
SETTLE_S = 10.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--live", type=int, default=300, help="without dead ones; half of them beside dead ones")
    parser.add_argument("--dead", type=int, default=150, help="a third each refuse, stay mute, swallow packets")
    options = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    setup("ERROR")
    print(json.dumps(facts.machine()), flush=True)
    broken = storm(options.live // 3, 0)
    broken += storm(options.live // 6, options.dead // 3)
    broken += uvloop.run(gaps(options.live // 6, options.dead // 3))
    for line in broken:
        print(f"DOES NOT HOLD: {line}")
    print("all lines hold" if not broken else f"{len(broken)} lines do not hold")
    sys.exit(1 if broken else 0)


def storm(live_of_each: int, dead_of_each: int) -> list[str]:
    """The whole server and its API; what does not hold."""
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(Path(folder), sources=live_source()) as served,
        sinks(*PROTOCOLS) as receivers,
        dead_peers(dead_of_each, dead_of_each, dead_of_each) as dead,
    ):
        served.until_stream()
        live = live_pushes(receivers, live_of_each)
        figures = asyncio.run(start_at_once(served, live, dead, KEEP_S))
        title = f"storm of {figures.live} live and {figures.dead} dead"
        by_protocol = ", ".join(f"{name} {took:.2f} s" for name, took in sorted(figures.by_protocol_s.items()))
        print(
            f"{title}: answered after {figures.answered_s:.2f} s (slowest {figures.slowest_answer_s * 1000:.0f} ms),"
            f" all live pushing after {figures.pushing_s:.2f} s ({by_protocol}); {figures.states}",
            flush=True,
        )
        broken = [f"{title}: pushing after {figures.pushing_s:.2f} s"] if figures.pushing_s > PUSHING_S else []
        if figures.states.get("live pushing") != figures.live:
            broken.append(f"{title}: {figures.states}")
        for name, sink in receivers.items():
            broken += [f"{title}: {line}" for line in _sink_lines(name, sink, live_of_each)]
    return broken


def _sink_lines(name: str, sink: Sink, expected: int) -> list[str]:
    summary = sink.summary()
    rows = summary["senders"]
    kinds = sorted({kind for row in rows for kind in row["errors"]})
    print(
        f"    {name}: {len(rows)} senders, longest gap {max(row['longest_gap_ms'] for row in rows):.0f} ms,"
        f" slowest {min(row['mbps'] for row in rows):.2f} Mbit/s, errors {summary['errors']} {' '.join(kinds)}",
        flush=True,
    )
    broken = [f"{name}: {summary['errors']} errors ({', '.join(kinds)})"] if summary["errors"] else []
    return broken + ([f"{name}: {len(rows)} of {expected} senders"] if len(rows) != expected else [])


async def gaps(live_of_each: int, dead_of_each: int) -> list[str]:
    """The engine's own view, windows without and with dead pushes in turns; what does not hold."""
    with sinks(*PROTOCOLS) as receivers, dead_peers(dead_of_each, dead_of_each, dead_of_each) as dead:
        async with engine() as built:
            stream = LiveStream(built.registry)
            stream.up()
            player = asyncio.create_task(play(stream))
            live = start(built, "live", live_pushes(receivers, live_of_each))
            await until(lambda: all(push.state is PushState.PUSHING for push in live), SETTLE_S)
            gc.collect()
            gc.freeze()  # as the server does at its start
            without: list[dict[str, int]] = []
            beside: list[dict[str, int]] = []
            for _ in range(WINDOWS):
                without.append(await longest_gaps(live, WINDOW_S))
                tried = start(built, "dead", dead)
                beside.append(await longest_gaps(live, WINDOW_S))
                for push in tried:
                    built.scheduler.stop("v", "a", push.settings.id)
            player.cancel()
            await asyncio.wait({player})
    broken = []
    for name in PROTOCOLS:
        quiet = [window[name] for window in without]
        stormy = [window[name] for window in beside]
        print(f"engine's longest gap, {name}: without dead ones {quiet} ms, with {len(dead)} dead ones {stormy} ms")
        if min(stormy) > max(THREE_TICKS_MS[name], min(quiet)):
            broken.append(f"{name}: gaps of {stormy} ms beside dead ones, {quiet} ms without")
    return broken


if __name__ == "__main__":
    main()
