"""The lines that must hold, out of the runs of all rounds.

Times and losses are the worst of all runs of a trouble, gaps the median: what disturbs this machine for a moment
disturbs those.
UDP has no answer: where nothing was said of its losses nothing could be, and it has no line for that.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from typing import Any

from bench.lines import Line
from bench.reliability.receivers import ROUND_TRIPS
from bench.reliability.troubles import TROUBLES, Trouble

NAMES = {
    "rtmp": "RTMP",
    "rtmps": "RTMPS",
    "srt": f"SRT, {ROUND_TRIPS['srt']} round trips",
    "srt-patient": f"SRT, {ROUND_TRIPS['srt-patient']} round trips",
    "udp": "UDP",
}
SILENT = ("udp",)
TURN_MS = {"rtmp": 40.0, "udp": 20.0, "srt": 20.0}
TURNS = 3
# Where SRT must lose nothing, with four round trips of latency and with more.
REPAIRED, REPAIRING = "10 % loss", ("srt", "srt-patient")

Run = dict[str, Any]


def lines(runs: Sequence[Run]) -> list[Line]:
    """In the order of the troubles; of those that were measured."""
    found: list[Line] = []
    for trouble in TROUBLES:
        of_it = [run for run in runs if run["trouble"] == trouble.name]
        if of_it:
            found += _of_pushes(trouble, of_it)
            found += of_others(trouble, of_it)
    return found


def of_others(trouble: Trouble, runs: Sequence[Run]) -> list[Line]:
    """What the pushes beside it may notice."""
    return [
        Line(f"{trouble.name}, others: longest gap {protocol}", gap_ms(runs, protocol), TURNS * turn_ms, "ms")
        for protocol, turn_ms in TURN_MS.items()
    ]


def gap_ms(runs: Iterable[Run], protocol: str) -> float:
    """The longest gap of the other pushes of a protocol."""
    return statistics.median(run["others"][protocol]["longest_gap_ms"] for run in runs)


def _of_pushes(trouble: Trouble, runs: Sequence[Run]) -> list[Line]:
    found = []
    for protocol, name in NAMES.items():
        pushes = [run["pushes"][protocol] for run in runs]
        told_s = [push["told_s"] for push in pushes if push["told_s"] is not None]
        unsaid = [push["lost_bytes"] for push in pushes if push["told_s"] is None]
        if told_s:
            found.append(Line(f"{trouble.name}, {name}: told after", max(told_s), trouble.told_s, "s"))
        if unsaid and protocol not in SILENT:
            found.append(Line(f"{trouble.name}, {name}: lost where nothing was told", max(unsaid), 0, "bytes"))
        found.append(Line(f"{trouble.name}, {name}: healed after", _worst(pushes, "healed_s"), trouble.healed_s, "s"))
        found.append(Line(f"{trouble.name}, {name}: ok again after", _worst(pushes, "ok_s"), trouble.ok_s, "s"))
        if trouble.name == REPAIRED and protocol in REPAIRING:
            lost = max(push["received"]["srt_lost"] for push in pushes)
            found.append(Line(f"{trouble.name}, {name}: packets lost", lost, 0, ""))
    return found


def _worst(pushes: Sequence[dict[str, Any]], figure: str) -> float:
    """Infinity, which holds nothing, where it never came."""
    found: list[float | None] = [push[figure] for push in pushes]
    return max(each if each is not None else math.inf for each in found)
