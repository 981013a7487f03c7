"""A server that is killed in the middle of 500 starts, and starts again: what was accepted is there, and runs.

16 clients start pushes of a live stream to RTMP, UDP and SRT receivers, and of one that never comes, in turns, each
client one after another.  When half of them are answered the server gets SIGKILL, and is started again with the same
configuration.

Lines, the worst of all rounds: no accepted push is missing; none is there that nobody asked for (a start whose answer
was on its way when the server died may be there: it was accepted, and could not be told); each kept its settings and
``createdTime``; all with a live stream are ``pushing`` within 3 s, counted from the start of the new process.

bench/results/restart-<commit>.json: ``runs``.

    python -m bench.restart [--rounds N] [--starts N]      from the repository's root
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from bench.clip import live_source
from bench.lines import Line, Results
from bench.peers.sinks import sink
from bench.request import next_answer, request
from bench.served import QUIET, WORDS, Served, serving, until
from bench.starts import wanted

CLIENTS = 16
PUSHING_S = 3.0
DEADLINE_S = 30.0
KEPT = ("stream", "protocol", "url", "streamKey", "createdTime")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--starts", type=int, default=500)
    parser.add_argument("--output", type=Path, help="default bench/results/restart-<commit>.json")
    options = parser.parse_args()
    results = Results("restart", options.output, rounds=options.rounds, starts=options.starts)
    for number in range(options.rounds):
        run = measure(options.starts)
        results.add({"round": number, **run})
        print("  ".join(f"{name} {value:.4g}" for name, value in run.items()), flush=True)
    runs: list[dict[str, Any]] = results.all["runs"]
    results.finish(
        [
            Line("accepted and missing", max(run["missing"] for run in runs), 0, ""),
            Line("there and never asked for", max(run["unasked"] for run in runs), 0, ""),
            Line("changed", max(run["changed"] for run in runs), 0, ""),
            Line("all pushing after the restart", max(run["pushing_s"] for run in runs), PUSHING_S, "s"),
        ]
    )


def measure(starts: int) -> dict[str, float]:
    """One server, killed and started again."""
    source = QUIET + live_source()
    with ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory()))
        sinks = {name: running.enter_context(sink(name, starts, plain=False)) for name in WORDS}
        first = Served(folder, sources=source)
        running.callback(first.process.stop, signal.SIGKILL)
        first.until_stream()
        # Three of four are of the live stream, the fourth is of one that never comes.
        streams = ("never", "live", "live", "live")
        bodies = [wanted(number, tuple(WORDS), sinks, streams[number % 4]) for number in range(starts)]
        accepted, asked = asyncio.run(_start_until_killed(first, bodies))
        began = time.monotonic()
        second = running.enter_context(serving(folder, sources=source))
        until("all are pushing", lambda: _all_live_push(second), DEADLINE_S)
        pushing_s = time.monotonic() - began
        there = {push["id"]: push for push in second.pushes()}
    return {
        "accepted": len(accepted),
        "there": len(there),
        "missing": len(accepted.keys() - there.keys()),
        "unasked": len(there.keys() - asked),
        "changed": sum(
            any(there[push_id][name] != push[name] for name in KEPT)
            for push_id, push in accepted.items()
            if push_id in there
        ),
        "pushing_s": pushing_s,
    }


async def _start_until_killed(served: Served, bodies: list[dict[str, Any]]) -> tuple[dict[str, Any], set[str]]:
    """Start them all and kill the server halfway: the pushes that were answered, by id, and the ids asked for."""
    accepted: dict[str, Any] = {}
    asked: set[str] = set()
    left = iter(bodies)

    async def call_in_turn() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", served.api_port)
        received = bytearray()
        for body in left:
            asked.add(body["id"])
            writer.write(request(f"{Served.app}:startPush", json.dumps(body)))
            try:
                answer = await next_answer(reader, received)
            except ConnectionError:
                return
            if not answer:
                return
            accepted[body["id"]] = json.loads(answer)["response"]
            if len(accepted) == len(bodies) // 2:
                served.process.child.send_signal(signal.SIGKILL)
        writer.close()

    await asyncio.gather(*(call_in_turn() for _ in range(CLIENTS)))
    served.process.wait()
    return accepted, asked


def _all_live_push(served: Served) -> bool:
    live = [push for push in served.pushes() if push["stream"]["name"] == "live"]
    return bool(live) and all(push["state"] == "pushing" for push in live)


if __name__ == "__main__":
    main()
