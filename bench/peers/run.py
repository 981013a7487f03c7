"""One run: a sink, a participant, the wait until its rate is the clip's, a window with a look at both edges."""

from __future__ import annotations

import contextlib
import tempfile
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.peers.clips import Rates
from bench.peers.participant import Job, Participant, Running
from bench.peers.plan import BACKLOG_S, Turn, wire
from bench.peers.processes import Machine, TreeSize, TreeTimes
from bench.peers.sinks import Mark, Sink, sink

FULL_RATE = 0.97
SETTLED = 0.1  # the rate may be this far from the clip's
SETTLED_S = 2.0
LOOK_S = 0.25
DISTURBED_CORES = 0.3
CLOSING_S = 2.0


@dataclass(frozen=True, slots=True)
class Look:
    """Everything that is read at an edge of the window."""

    mark: Mark
    participant: TreeTimes
    publisher: TreeTimes
    bench_cpu_s: float
    machine: Machine

    @classmethod
    def now(cls, receiving: Sink, running: Running) -> Look:
        return cls(
            receiving.mark(),
            TreeTimes.of(running.roots),
            TreeTimes.of(running.publishers),
            time.process_time(),
            Machine.now(),
        )


def lasts_s(start_limit_s: float, window_s: float) -> float:
    """The longest that a run takes."""
    return start_limit_s + BACKLOG_S + window_s + CLOSING_S


def measure(turn: Turn, participant: Participant, rates: Rates, window_s: float) -> dict[str, Any]:
    """One row of ``runs`` (see the package's docstring)."""
    protocol = wire(turn.protocol)
    start_limit_s = participant.start_limit_s(protocol, turn.destinations)
    nominal = rates.nominal(protocol, participant.muxer)
    row: dict[str, Any] = {
        "protocol": turn.protocol,
        "participant": turn.participant,
        "destinations": turn.destinations,
        "round": turn.round,
        "repeat": turn.repeat,
        "interval_ms": participant.interval_ms,
        "at": time.strftime("%H:%M:%S"),
    }
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        receiving = stack.enter_context(sink(turn.protocol, turn.destinations, plain=participant.plain))
        job = Job(protocol, turn.destinations, receiving.ports, folder, lasts_s(start_limit_s, window_s))
        running = stack.enter_context(participant.running(job))
        row |= _start(receiving, running, turn.destinations, start_limit_s)
        row |= _settle(receiving, nominal * turn.destinations)
        opened = Look.now(receiving, running)
        time.sleep(window_s)
        closed = Look.now(receiving, running)
        size = TreeSize.of(closed.participant.processes)
        complaints = running.complaints()
    return {
        **row,
        **_delivered(opened, closed, turn, nominal * rates.leanest(window_s), nominal),
        **_spent(opened, closed, turn.destinations),
        **{name: getattr(size, name) for name in ("pss_bytes", "rss_bytes", "threads", "processes")},
        **_around(opened, closed),
        "errors": complaints + _ended(opened, closed),
    }


def _start(receiving: Sink, running: Running, count: int, limit_s: float) -> dict[str, Any]:
    """Wait until every destination got a byte, or until the limit."""
    end_ns = running.request_ns + int(limit_s * 1e9)
    mark = receiving.mark()
    while mark.started < count and mark.at_ns < end_ns:
        time.sleep(LOOK_S)
        mark = receiving.mark()
    after_s = (mark.first_ns[mark.first_ns > 0] - running.request_ns) / 1e9
    return {
        "start_from": running.start_from,
        "started": mark.started,
        "start_median_s": round(float(np.median(after_s)), 3) if mark.started else None,
        "start_last_s": round(float(after_s.max()), 3) if mark.started else None,
    }


def _settle(receiving: Sink, nominal: float) -> dict[str, Any]:
    """Wait until the sinks' rate has been the clip's for SETTLED_S, or until the limit."""
    first = receiving.mark()
    marks = deque([first])
    while True:
        time.sleep(LOOK_S)
        mark = receiving.mark()
        marks.append(mark)
        while mark.at_ns - marks[1].at_ns >= SETTLED_S * 1e9:
            marks.popleft()
        waited_s = (mark.at_ns - first.at_ns) / 1e9
        stretch_s = (mark.at_ns - marks[0].at_ns) / 1e9
        rate = (mark.total_bytes - marks[0].total_bytes) / stretch_s
        settled = stretch_s >= SETTLED_S and abs(rate / nominal - 1) <= SETTLED
        if settled or waited_s > BACKLOG_S:
            return {"settled": settled, "settle_s": round(waited_s, 2)}


def _delivered(opened: Look, closed: Look, turn: Turn, full_rate: float, nominal: float) -> dict[str, Any]:
    """What arrived.  ``full_rate`` is the least rate that no loss explains, ``nominal`` the clip's mean, in bytes/s."""
    window_s = (closed.mark.at_ns - opened.mark.at_ns) / 1e9
    before = np.zeros_like(closed.mark.bytes)
    before[: len(opened.mark.bytes)] = opened.mark.bytes  # a connection of its own may have come in between
    got = closed.mark.bytes - before
    total = int(got.sum())
    best = np.sort(got)[-turn.destinations :]
    silences = np.where(closed.mark.first_ns > 0, closed.mark.gap_ns, int(window_s * 1e9)) / 1e6
    return {
        "window_s": round(window_s, 3),
        "bytes": total,
        "mbps": round(total * 8e-6 / window_s, 1),
        "full_rate": int((best / window_s >= FULL_RATE * full_rate).sum()),
        "slowest": round(float(best.min()) / window_s / nominal, 3),
        "gap_ms": round(float(silences.max()), 1),
        "gap_median_ms": round(float(np.median(silences)), 1),
        "lost_packets": closed.mark.lost_packets - opened.mark.lost_packets,
        "sink_drops": closed.mark.sink_drops - opened.mark.sink_drops,
    }


def _spent(opened: Look, closed: Look, count: int) -> dict[str, Any]:
    """The participant's CPU, over its own window (looks at a big tree take a moment), and by what was delivered."""
    used = closed.participant
    before = opened.participant
    cpu_s, window_s = used.cpu_s - before.cpu_s, used.at_s - before.at_s
    mark_s = (closed.mark.at_ns - opened.mark.at_ns) / 1e9
    gbit_per_s = (closed.mark.total_bytes - opened.mark.total_bytes) * 8e-9 / mark_s
    cores = cpu_s / window_s
    return {
        "cpu_s": round(cpu_s, 4),
        "user_s": round(used.user_s - before.user_s, 2),
        "system_s": round(used.system_s - before.system_s, 2),
        "cores": round(cores, 4),
        "cpu_ms_per_gbit": round(cores * 1e3 / gbit_per_s, 2) if gbit_per_s > 0 else None,
        "cpu_us_per_push_s": round(cores * 1e6 / count, 2),
    }


def _around(opened: Look, closed: Look) -> dict[str, Any]:
    """The rest of the machine, in cores."""
    window_s = closed.machine.at_s - opened.machine.at_s
    sink_s = closed.mark.cpu_s - opened.mark.cpu_s
    publisher_s = closed.publisher.cpu_s - opened.publisher.cpu_s
    bench_s = closed.bench_cpu_s - opened.bench_cpu_s
    busy_s = opened.machine.busy_s(closed.machine)
    known_s = sink_s + publisher_s + bench_s + closed.participant.cpu_s - opened.participant.cpu_s
    cores = {
        "sink_cores": sink_s,
        "publisher_cores": publisher_s,
        "bench_cores": bench_s,
        "busy_cores": busy_s,
        "softirq_cores": closed.machine.softirq_s - opened.machine.softirq_s,
        "steal_cores": closed.machine.steal_s - opened.machine.steal_s,
        "other_cores": busy_s - known_s,
    }
    drops = closed.machine.backlog_drops - opened.machine.backlog_drops
    rounded = {name: round(seconds / window_s, 3) for name, seconds in cores.items()}
    return {"backlog_drops": drops, **rounded, "disturbed": rounded["other_cores"] > DISTURBED_CORES}


def _ended(opened: Look, closed: Look) -> list[str]:
    """A complaint when a process of the tree left or came in the window: its CPU time is not all in the figure."""
    changed = opened.participant.processes ^ closed.participant.processes
    return [f"{len(changed)} processes came or went in the window"] if changed else []
