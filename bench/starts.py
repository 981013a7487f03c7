"""A storm of :startPush calls to live destinations, and how long other callers of the API wait meanwhile."""

from __future__ import annotations

import asyncio
import collections
import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from bench.clip import live_source
from bench.marks import between, until_media
from bench.peers.sinks import Sink, sink
from bench.request import next_answer, request
from bench.served import QUIET, WORDS, Child, Served, Strangers, Use, child, serving, until

PROBE_PATH = "/v1/vhosts/default/apps/app/streams"
PROBES_PER_S = 50
QUIET_S = 2.0  # of probes before the storm
SETTLE_S = 3.0
WINDOW_S = 4.0  # does this machine carry so many?
DEADLINE_S = 20.0


def measure(count: int, protocols: tuple[str, ...], connections: int) -> dict[str, Any]:
    """``count`` starts, the protocols in turns, over so many connections that each wait for an answer before the next.

    ``pushing_s`` is from the first call until the API says that all are pushing.  That is asked only once all calls are
    answered and every receiver has media, for listing all pushes takes the API long enough to be seen by others;
    probes that were due after this first look are left out.
    """
    source = QUIET + live_source()
    with ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory()))
        shares = collections.Counter(protocols[number % len(protocols)] for number in range(count))
        sinks = {name: running.enter_context(sink(name, share, plain=False)) for name, share in shares.items()}
        served = running.enter_context(serving(folder, sources=source))
        served.until_stream()
        bodies = [json.dumps(wanted(number, protocols, sinks)) for number in range(count)]
        prober = running.enter_context(_probing(served))
        strangers = Strangers(served.process.pid, prober.pid, *(each.pid for each in sinks.values()))
        before = Use.of(served.process.pid)
        begun_ns = time.monotonic_ns()
        answers_ms = asyncio.run(_start_all(served.api_port, bodies, connections))
        answered_ns = time.monotonic_ns()
        media_ns = {name: until_media(sinks[name], share, DEADLINE_S) for name, share in shares.items()}
        looked_ns = time.monotonic_ns()
        until("all are pushing", lambda: _all_pushing(served, count), DEADLINE_S)
        pushing_ns = time.monotonic_ns()
        after, strangers_cores = Use.of(served.process.pid), strangers.cores()
        probes = prober.stop()
        time.sleep(SETTLE_S)
        first = {name: each.mark() for name, each in sinks.items()}
        time.sleep(WINDOW_S)
        afterwards = {name: between(first[name], each.mark()) for name, each in sinks.items()}
    main_cores, other_cores = after.since(before, served.process.pid)
    return {
        "starts": count,
        "protocols": "+".join(protocols),
        "connections": connections,
        "answered_s": (answered_ns - begun_ns) / 1e9,
        "slowest_answer_ms": max(answers_ms),
        "last_media_s": {name: (last_ns - begun_ns) / 1e9 for name, last_ns in media_ns.items()},
        "pushing_s": (pushing_ns - begun_ns) / 1e9,
        "listing_ms": (pushing_ns - looked_ns) / 1e6,
        "main_thread_cores": main_cores,
        "main_thread_waited_s": after.main_waited_s - before.main_waited_s,
        "other_threads_cores": other_cores,
        "strangers_cores": strangers_cores,
        "idle": _waits(probes, 0, begun_ns),
        "meanwhile": _waits(probes, begun_ns, looked_ns),
        "afterwards": afterwards,
    }


def wanted(number: int, protocols: tuple[str, ...], sinks: dict[str, Sink], stream: str = "live") -> dict[str, Any]:
    """The body of one :startPush; the protocols have their turns, and so have the ports of each."""
    turn, index = divmod(number, len(protocols))
    protocol = protocols[index]
    ports = sinks[protocol].ports
    port = ports[turn % len(ports)]
    path, key = ("/in", f"key-{number}") if protocol == "rtmp" else ("", "")
    push = {"id": f"push-{number}", "stream": {"name": stream}, "protocol": WORDS[protocol]}
    return {**push, "url": f"{protocol}://127.0.0.1:{port}{path}", "streamKey": key}


@contextmanager
def _probing(served: Served) -> Iterator[Child]:
    """A prober that has asked for a while when the block begins."""
    command = (sys.executable, "-m", "bench.prober", "--port", str(served.api_port), "--per-s", str(PROBES_PER_S))
    with child(*command, PROBE_PATH) as prober:
        prober.hear("probing")
        time.sleep(QUIET_S)
        yield prober


async def _start_all(port: int, bodies: list[str], connections: int) -> list[float]:
    """Call :startPush with every body; how long each answer took, in ms."""
    questions = [request(f"{Served.app}:startPush", body) for body in reversed(bodies)]
    answers_ms: list[float] = []

    async def call_in_turn() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        received = bytearray()
        while questions:
            writer.write(questions.pop())
            began = time.monotonic()
            if not await next_answer(reader, received):
                raise ConnectionError("the API closed the connection")
            answers_ms.append((time.monotonic() - began) * 1000)
        writer.close()

    await asyncio.gather(*(call_in_turn() for _ in range(min(connections, len(questions)))))
    return answers_ms


def _all_pushing(served: Served, count: int) -> bool:
    pushes = served.pushes()
    return len(pushes) == count and all(push["state"] == "pushing" for push in pushes)


def _waits(probes: dict[str, Any], first_ns: int, last_ns: int) -> dict[str, Any]:
    """How long answers took whose questions were due between these times."""
    took = [ms for due, ms in zip(probes["due_ns"], probes["took_ms"], strict=True) if first_ns <= due < last_ns]
    p50, p99, longest = np.percentile(took, (50, 99, 100)) if took else (np.nan,) * 3
    return {"probes": len(took), "p50_ms": p50, "p99_ms": p99, "max_ms": longest, "took_ms": took}
