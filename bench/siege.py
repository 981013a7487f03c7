"""Pushes that run while the API is under attack: no receiver may notice.

A server plays one stream to RTMP, UDP and SRT receivers, and meanwhile, one after another: requests of 10 MB, bodies
that come a byte at a time, 1,000 connections that say nothing, and 10,000 logins with a wrong token.

The stream has 50 frames a second, so that there is something for every turn: with 25, less than a datagram waits a
turn for more, and receivers see 40 ms between datagrams without any attack.

Lines: the longest gap of any receiver is at most three turns (20 ms for UDP and SRT, 40 ms for TCP), the median of all
rounds.

bench/results/siege-<commit>.json: ``runs`` with what receivers got by protocol, and what the attackers were answered.

    python -m bench.siege [--rounds N] [--pushes N]      from the repository's root
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import contextlib
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from bench.clip import live_source
from bench.lines import Line, Results
from bench.marks import between, until_media
from bench.peers.sinks import Sink, sink
from bench.served import QUIET, WORDS, Served, serving, until

TURN_MS = {"rtmp": 40.0, "udp": 20.0, "srt": 20.0}
TURNS = 3
LARGE_BYTES = 10_000_000
LARGE_AT_ONCE, LARGE_EACH = 8, 4
SLOW, SLOW_BYTES, SLOW_S = 200, 50, 0.1
SILENT, SILENT_S = 1000, 5.0
LOGINS, LOGINS_AT_ONCE = 10_000, 16
SETTLE_S = 3.0
DEADLINE_S = 30.0
PATH = f"{Served.app}:pushes"

Answers = collections.Counter[str]
Attack = Callable[[int], Coroutine[Any, Any, Answers]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pushes", type=int, default=100, help="of each protocol")
    parser.add_argument("--output", type=Path, help="default bench/results/siege-<commit>.json")
    options = parser.parse_args()
    results = Results("siege", options.output, rounds=options.rounds, pushes=options.pushes)
    with _pushing(options.pushes) as (served, sinks):
        for number in range(options.rounds):
            for name, attack in ATTACKS.items():
                time.sleep(SETTLE_S)
                before = {protocol: each.mark() for protocol, each in sinks.items()}
                began = time.monotonic()
                answers = asyncio.run(attack(served.api_port))
                took_s = time.monotonic() - began
                received = {protocol: between(before[protocol], each.mark()) for protocol, each in sinks.items()}
                results.add(
                    {"round": number, "attack": name, "took_s": took_s, "answers": answers, "received": received}
                )
                gaps = ", ".join(f"{protocol} {got['longest_gap_ms']:.0f} ms" for protocol, got in received.items())
                print(f"{name}: {took_s:.1f} s, {dict(answers)}, longest gaps: {gaps}", flush=True)
    results.finish(_lines(results.all["runs"]))


def _lines(runs: list[dict[str, Any]]) -> list[Line]:
    return [
        Line(
            f"{name}, longest gap {protocol}",
            statistics.median(run["received"][protocol]["longest_gap_ms"] for run in runs if run["attack"] == name),
            TURNS * turn_ms,
            "ms",
        )
        for name in ATTACKS
        for protocol, turn_ms in TURN_MS.items()
    ]


@contextmanager
def _pushing(count: int) -> Iterator[tuple[Served, dict[str, Sink]]]:
    source = QUIET + live_source(frames_per_s=50)
    with ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory()))
        sinks = {name: running.enter_context(sink(name, count, plain=False)) for name in TURN_MS}
        served = running.enter_context(serving(folder, sources=source))
        served.until_stream()
        for protocol, each in sinks.items():
            path = "/in" if protocol == "rtmp" else ""
            for number in range(count):
                url = f"{protocol}://127.0.0.1:{each.ports[number % len(each.ports)]}{path}"
                served.start(f"{protocol}-{number}", WORDS[protocol], url, f"key-{number}" if path else "")
        until("all are pushing", lambda: all(push["state"] == "pushing" for push in served.pushes()))
        for each in sinks.values():
            until_media(each, count, DEADLINE_S)
        yield served, sinks


async def _nothing(port: int) -> Answers:
    """What there is without an attack."""
    await asyncio.sleep(SILENT_S)
    return Answers()


async def _large(port: int) -> Answers:
    answers = Answers()
    body = bytes(LARGE_BYTES)

    async def send() -> None:
        for _ in range(LARGE_EACH):
            async with _connection(port) as (reader, writer):
                # The server answers long before the end, and closes: what cannot be sent any more is no matter.
                with contextlib.suppress(ConnectionError):
                    writer.write(_head("Basic d3Jvbmc=", LARGE_BYTES) + body)
                    await writer.drain()
                answers[await _status(reader)] += 1

    await asyncio.gather(*(send() for _ in range(LARGE_AT_ONCE)))
    return answers


async def _slow(port: int) -> Answers:
    answers = Answers()

    async def send() -> None:
        async with _connection(port) as (reader, writer):
            writer.write(_head("Basic d3Jvbmc=", SLOW_BYTES))
            with contextlib.suppress(ConnectionError):
                for _ in range(SLOW_BYTES):
                    writer.write(b"x")
                    await writer.drain()
                    await asyncio.sleep(SLOW_S)
            answers[await _status(reader)] += 1

    await asyncio.gather(*(send() for _ in range(SLOW)))
    return answers


async def _silent(port: int) -> Answers:
    async def hold() -> None:
        async with _connection(port):
            await asyncio.sleep(SILENT_S)

    await asyncio.gather(*(hold() for _ in range(SILENT)))
    return Answers({"held": SILENT})


async def _logins(port: int) -> Answers:
    answers = Answers()

    async def guess() -> None:
        async with _connection(port) as (reader, writer):
            for _ in range(LOGINS // LOGINS_AT_ONCE):
                writer.write(_head("Basic d3Jvbmc=", 2) + b"{}")
                answers[await _status(reader)] += 1

    await asyncio.gather(*(guess() for _ in range(LOGINS_AT_ONCE)))
    return answers


ATTACKS: dict[str, Attack] = {
    "nothing": _nothing,
    "10 MB requests": _large,
    "slow bodies": _slow,
    "1,000 idle connections": _silent,
    "10,000 wrong logins": _logins,
}


@asynccontextmanager
async def _connection(port: int) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def _head(authorization: str, length: int) -> bytes:
    head = (
        f"POST {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: {authorization}\r\nContent-Length: {length}\r\n\r\n"
    )
    return head.encode()


async def _status(reader: asyncio.StreamReader) -> str:
    """The status of an answer, which is read whole; "closed" when there is none."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        (length,) = (line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
        await reader.readexactly(int(length))
    except (asyncio.IncompleteReadError, ConnectionError):
        return "closed"
    return head.split(b" ", 2)[1].decode()


if __name__ == "__main__":
    main()
