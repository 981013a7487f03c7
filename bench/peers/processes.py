"""What processes have used and hold, and what the whole machine did meanwhile, from /proc and the kernel's CPU clocks.

A tree is a set of root processes with all their descendants at the moment of looking.  CPU time is the kernel's
nanosecond count of each process (user and system, all threads, ended ones too); on a kernel without separate
interrupt accounting it holds the softirq work that a send does on the way, which on loopback includes the receiver's
half of the network stack.  The split into user and system is by samples at the kernel's ticks, and wrong for a program
whose own timers run in step with them; the sum is not.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
CORES = os.cpu_count() or 1


def cpu_s(pid: int) -> float:
    """CPU time of a process, all threads; its clock's id is made of its number (clock_getcpuclockid(3))."""
    return time.clock_gettime((~pid << 3) | 2)


@dataclass(frozen=True, slots=True)
class TreeTimes:
    """CPU time of a tree since its start; ``processes`` are its members that lived long enough to be read."""

    at_s: float
    cpu_s: float
    user_s: float
    system_s: float
    processes: frozenset[int]

    @classmethod
    def of(cls, roots: Iterable[int]) -> TreeTimes:
        processes = tree(roots)
        at_s, total_s, user_ticks, system_ticks = time.monotonic(), 0.0, 0, 0
        alive = set()
        for pid in processes:
            try:
                fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                total_s += cpu_s(pid)
            except OSError:
                continue
            alive.add(pid)
            user_ticks += int(fields[11])
            system_ticks += int(fields[12])
        return cls(at_s, total_s, user_ticks / TICKS_PER_S, system_ticks / TICKS_PER_S, frozenset(alive))


@dataclass(frozen=True, slots=True)
class TreeSize:
    """What a tree holds now.  PSS counts a page that several processes share in equal parts."""

    pss_bytes: int
    rss_bytes: int
    threads: int
    processes: int

    @classmethod
    def of(cls, processes: Iterable[int]) -> TreeSize:
        pss = rss = threads = count = 0
        for pid in processes:
            try:
                rollup = _numbers(Path(f"/proc/{pid}/smaps_rollup"))
                status = _numbers(Path(f"/proc/{pid}/status"))
            except OSError:
                continue
            pss += rollup["Pss"] * 1024
            rss += rollup["Rss"] * 1024
            threads += status["Threads"]
            count += 1
        return cls(pss, rss, threads, count)


@dataclass(frozen=True, slots=True)
class Machine:
    """Seconds of all cores together since boot, and packets that no core had room for on their way through loopback.

    Idle time is exact, softirq and steal are sampled.
    """

    at_s: float
    idle_s: float
    softirq_s: float
    steal_s: float
    backlog_drops: int

    @classmethod
    def now(cls) -> Machine:
        at_s = time.monotonic()
        fields = Path("/proc/stat").read_text().splitlines()[0].split()[1:]
        _, _, _, idle, iowait, _, softirq, steal, *_ = (int(field) / TICKS_PER_S for field in fields)
        rows = Path("/proc/net/softnet_stat").read_text().splitlines()
        return cls(at_s, idle + iowait, softirq, steal, sum(int(row.split()[1], 16) for row in rows))

    def busy_s(self, later: Machine) -> float:
        """Core seconds that were not idle between two looks."""
        return max(0.0, (later.at_s - self.at_s) * CORES - (later.idle_s - self.idle_s))


def tree(roots: Iterable[int]) -> set[int]:
    """The processes of a tree: the roots and whoever descends from them."""
    children: dict[int, list[int]] = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdecimal():
            try:
                parent = int(Path(entry.path, "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:  # it ended meanwhile
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found: set[int] = set()
    waiting = list(roots)
    while waiting:
        pid = waiting.pop()
        found.add(pid)
        waiting += children.get(pid, ())
    return found


def _numbers(path: Path) -> dict[str, int]:
    """The numbers of a file of ``name: number unit`` lines."""
    lines = (line.partition(":") for line in path.read_text().splitlines())
    return {name: int(rest.split()[0]) for name, _, rest in lines if rest.split() and rest.split()[0].isdecimal()}
