"""Runs a receiving process beside a measurement: starts it, learns its ports, ends it, takes its verdict."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from bench import build

# What receives the bytes of each protocol in the lean bench; RTMP arrives there as a plain byte stream.
DISCARDS = {"udp": "discard_udp", "tcp": "discard_tcp", "srt": "fast_srt"}
STOP_S = 10


@dataclass
class Receiver:
    """A running receiver; ``summary`` is there after it ended."""

    ports: list[int]
    summary: dict[str, Any] = field(default_factory=dict)


@contextmanager
def receiver(command: list[str]) -> Iterator[Receiver]:
    """Run a receiver that says {"event":"listening"} first and, on SIGTERM, {"event":"summary"} last."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        first = json.loads(process.stdout.readline() or "{}")
        if first.get("event") != "listening":
            raise RuntimeError(f"{command[0]} did not begin to listen")
        running = Receiver(first.get("ports") or [first["port"]])
        yield running
        process.terminate()
        out, _ = process.communicate(timeout=STOP_S)
        lines = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
        running.summary = next(line for line in reversed(lines) if line.get("event") == "summary")
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


@contextmanager
def discard(protocol: str) -> Iterator[Receiver]:
    """The discarding receiver of a protocol."""
    with receiver([str(build.program(DISCARDS[protocol]))]) as running:
        yield running
