"""The receiving process of a run, and where its destinations stand at a moment."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bench import build

STOP_S = 10
Counts = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Mark:
    """One look: an entry per destination; ``first_ns`` is 0 where nothing came.  Times are of CLOCK_MONOTONIC."""

    at_ns: int
    cpu_s: float
    bytes: Counts
    first_ns: Counts
    gap_ns: Counts
    lost_packets: int
    sink_drops: int

    @classmethod
    def of(cls, line: dict[str, Any], count: int) -> Mark:
        """Connections that did not come yet are destinations without bytes; those beyond ``count`` are kept."""

        def padded(name: str) -> Counts:
            values: list[int] = line[name]
            return np.array(values + [0] * (count - len(values)), dtype=np.int64)

        return cls(
            at_ns=line["at_ns"],
            cpu_s=line["cpu_s"],
            bytes=padded("bytes"),
            first_ns=padded("first_ns"),
            gap_ns=padded("gap_ns"),
            lost_packets=line.get("lost", 0),
            sink_drops=line.get("dropped", 0),
        )

    @property
    def started(self) -> int:
        return int(np.count_nonzero(self.first_ns))

    @property
    def total_bytes(self) -> int:
        return int(self.bytes.sum())


class Sink:
    """A running receiver of ``count`` destinations."""

    def __init__(self, process: subprocess.Popen[str], ports: list[int], count: int) -> None:
        self._process = process
        self._count = count
        self.ports = ports
        self.pid = process.pid

    def mark(self) -> Mark:
        """Where all destinations stand; the gaps of the next mark begin here."""
        assert self._process.stdout is not None
        self._process.send_signal(signal.SIGUSR1)
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the sink ended with {self._process.wait()}")
        return Mark.of(json.loads(line), self._count)


def command(protocol: str, count: int, *, plain: bool) -> list[str]:
    """The receiver of a protocol; ``plain`` is RTMP's bytes without a handshake before them."""
    if protocol in ("udp", "udp-apart"):
        return [str(build.program("discard_ports")), str(count), *(["gro"] if protocol == "udp" else [])]
    if protocol == "srt":
        return [str(build.program("fast_srt"))]
    return [str(build.program("discard_tcp")), *([] if plain else ["rtmp"])]


@contextmanager
def sink(protocol: str, count: int, *, plain: bool) -> Iterator[Sink]:
    """Run a receiver until the block ends."""
    process = subprocess.Popen(command(protocol, count, plain=plain), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        first = json.loads(process.stdout.readline() or "{}")
        if first.get("event") != "listening":
            raise RuntimeError(f"the sink of {protocol} did not begin to listen")
        yield Sink(process, first["ports"], count)
    finally:
        process.kill()
        process.wait(STOP_S)
        process.stdout.close()
