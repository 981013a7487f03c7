"""The server under measurement, started from this tree as the tests start it, and what its process uses.

Importing this puts the tree's own pushcast and the tests' helpers on the path, for child processes too.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from bench import build
from bench.build import ROOT
from bench.peers.processes import Machine, cpu_s

os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT / "src"), str(ROOT), os.environ.get("PYTHONPATH")]))
sys.path += [str(ROOT / "tests"), str(ROOT / "src")]

from certificates import Certificate, Certificates
from serving import TOKEN, Process, Served, free_port, port_bound, serving, until
from ts_clocks import clocks

__all__ = [
    "TOKEN",
    "Certificate",
    "Certificates",
    "Child",
    "Process",
    "Receiver",
    "Served",
    "Strangers",
    "Use",
    "child",
    "clocks",
    "free_port",
    "port_bound",
    "receiving",
    "serving",
    "until",
]

QUIET = '[log]\nlevel = "WARNING"\n'
# What a push calls the protocol of a receiver.
WORDS = {"rtmp": "rtmp", "udp": "mpegts", "srt": "srt"}
CHILD_END_S = 15.0
ARENA_KIB = 65536  # what the address space of a ring is a multiple of


@dataclass(frozen=True)
class Use:
    """What a process has used and holds; CPU times since its start, by thread id, and for how long its main thread was
    ready to run and had no core.

    ``dirty_bytes`` is memory of its own that it has written (PSS would change with who else maps the same libraries),
    ``arena_bytes`` the part of it that lies in rings' arenas.
    """

    at_s: float
    thread_s: dict[int, float]
    main_waited_s: float
    dirty_bytes: int
    arena_bytes: int

    @classmethod
    def of(cls, pid: int) -> Use:
        dirty, arena = _memory(Path(f"/proc/{pid}/smaps").read_text())
        waited_s = int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
        return cls(time.monotonic(), _thread_s(pid), waited_s, dirty * 1024, arena * 1024)

    def since(self, before: Use, pid: int) -> tuple[float, float]:
        """(main thread, all others): CPU seconds per second, between an earlier look and this one."""
        used = {thread: spent - before.thread_s.get(thread, 0) for thread, spent in self.thread_s.items()}
        main_s = used.pop(pid)
        window_s = self.at_s - before.at_s
        return main_s / window_s, sum(used.values()) / window_s


def _thread_s(pid: int) -> dict[int, float]:
    return {
        int(task.name): int((task / "schedstat").read_text().split()[0]) / 1e9
        for task in Path(f"/proc/{pid}/task").iterdir()
    }


class Strangers:
    """What else the machine is busy with, from now on: everything but this process, those of ``pids``, and children
    that were started and ended meanwhile.  A figure taken beside much of it says little.
    """

    def __init__(self, *pids: int) -> None:
        self._pids = pids
        self._machine = Machine.now()
        self._ours_s = self._spent_s()

    def cores(self) -> float:
        machine = Machine.now()
        others_s = self._machine.busy_s(machine) - (self._spent_s() - self._ours_s)
        return others_s / (machine.at_s - self._machine.at_s)

    def _spent_s(self) -> float:
        return sum(os.times()[:4]) + sum(cpu_s(pid) for pid in self._pids)


def _memory(smaps: str) -> tuple[int, int]:
    """(dirty pages of the process, those in ring arenas) in KiB.  An arena is anonymous, writable, without reserved
    swap, and whole 64 MiB.  Neighbours show as one mapping, with a thread's heap behind them if there is one: what is
    beyond whole arenas is taken for such, and for written.
    """
    total = arena = 0
    anonymous = False
    sizes: dict[str, int] = {}
    for line in smaps.splitlines():
        name, _, rest = line.partition(":")
        if "-" in name and " " in name:
            fields = line.split()
            anonymous = fields[1] == "rw-p" and len(fields) == 5
        elif name == "VmFlags":
            total += sizes["Private_Dirty"]
            if anonymous and "nr" in rest.split() and sizes["Size"] >= ARENA_KIB:
                arena += max(0, sizes["Private_Dirty"] - sizes["Size"] % ARENA_KIB)
        elif rest.endswith("kB"):
            sizes[name] = int(rest.split()[0])
    return total, arena


class Child:
    """A bench's own process that says lines of JSON, each an ``event``."""

    def __init__(self, command: list[str]) -> None:
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)

    @property
    def pid(self) -> int:
        return self.process.pid

    def say(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def hear(self, event: str) -> dict[str, Any]:
        """The next line, which must be this event."""
        assert self.process.stdout is not None
        said: dict[str, Any] = json.loads(self.process.stdout.readline() or "{}")
        if said.get("event") != event:
            raise RuntimeError(f"{self.process.args!r}: expected {event}, got {said.get('event')}")
        return said

    def stop(self) -> dict[str, Any]:
        """End it in order; its summary."""
        self.process.terminate()
        summary = self.hear("summary")
        self.process.wait(CHILD_END_S)
        return summary


@contextmanager
def child(*command: str) -> Iterator[Child]:
    """A child that does not outlive the block."""
    running = Child(list(command))
    try:
        yield running
    finally:
        running.process.kill()
        running.process.wait()
        for pipe in (running.process.stdin, running.process.stdout):
            assert pipe is not None
            pipe.close()


class Receiver(NamedTuple):
    """A running receiver and where it listens."""

    process: Child
    ports: list[int]


@contextmanager
def receiving(program: str, *arguments: str) -> Iterator[Receiver]:
    """A receiver of these benches, written in C, that listens."""
    with child(str(build.program(program)), *arguments) as running:
        yield Receiver(running, running.hear("listening")["ports"])
