"""Figures out of the result files: median, lowest and highest over the rounds that there are, or nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from bench.page.files import Data, Sources
from bench.peers import plan, report

KIB = 1024
LABELS = {
    "nginx-rtmp": "nginx-rtmp",
    "ffmpeg-tee": "ffmpeg tee",
    "ffmpeg-n": "N × ffmpeg",
    "gstreamer": "GStreamer",
}


@dataclass(frozen=True, slots=True)
class Figure:
    """``found`` is what counts, as a rule the median; ``remark`` is what it must not be read without."""

    found: float
    low: float
    high: float
    rounds: int
    remark: str = ""


Take = Callable[[Sources], Figure | None]
"""Takes a figure out of the files; None: it was not measured."""


def over(values: Iterable[float], remark: str = "") -> Figure | None:
    """The figure of one value for each round."""
    known = list(values)
    if not known:
        return None
    low, median, high = (float(value) for value in np.percentile(known, (0, 50, 100)))
    return Figure(median, low, high, len(known), remark)


class Comparison:
    """What `make bench-peers` found, by protocol, number of destinations and participant."""

    def __init__(self, data: Data) -> None:
        summary = data["summary"]
        self.rows: dict[report.Key, Data] = {_key(row): row for row in summary["rows"]}
        self.ratios: dict[tuple[Any, ...], Data] = {
            (each["protocol"], each["destinations"], each["ours"], each["rival"]): each
            for each in summary["ratios"]
            if each["metric"] == "cpu_ms_per_gbit"
        }
        self.counted = report.counting(data["runs"])

    def protocols(self) -> list[str]:
        return [protocol for protocol in plan.ORDER if any(key[0] == protocol for key in self.rows)]

    def counts(self, protocol: str) -> list[int]:
        return sorted({key[1] for key in self.rows if key[0] == protocol})

    def participants(self, protocol: str, kinds: tuple[str, ...] = ()) -> list[str]:
        """Those that ran, in the order of their turns; of ``kinds`` alone, when given."""
        ran = {key[2] for key in self.rows if key[0] == protocol}
        return [name for name in plan.ORDER[protocol] if name in ran and (not kinds or kind_of(name) in kinds)]

    def remark(self, key: report.Key) -> str:
        """What a figure of these runs must not be read without."""
        row = self.rows[key]
        short = row["full_rate"] < row["destinations"]
        slow = f"{row['full_rate']} of {row['destinations']} at full rate" if short else ""
        said = ", ".join(filter(None, (report.remarks(row), slow)))
        return f"{label(key[2])}: {said}" if said else ""

    def each(self, key: report.Key, name: str) -> dict[int, float]:
        """A value of each round's run, by the round's number."""
        return {number: run[name] for number, run in self.counted.get(key, {}).items() if run[name] is not None}


def kind_of(participant: str) -> str:
    """pushcast, engine and floor without their interval; a rival's name is its kind."""
    kind, _, interval = participant.rpartition("-")
    return kind if interval.isdigit() else participant


def label(participant: str) -> str:
    """What the page calls a participant."""
    kind = kind_of(participant)
    interval = participant.removeprefix(kind).strip("-")
    return f"{kind} {interval} ms" if interval else LABELS.get(participant, participant)


def _key(row: Data) -> report.Key:
    return row["protocol"], row["destinations"], row["participant"]


def comparison(sources: Sources) -> Comparison | None:
    return Comparison(sources["peers"].data) if "peers" in sources else None


def runs(sources: Sources, kind: str, /, **wanted: object) -> list[Data]:
    """The runs of a bench that have these values."""
    found = sources[kind].data["runs"] if kind in sources else []
    return [run for run in found if all(run.get(name) == value for name, value in wanted.items())]


def cpu_ratio(protocol: str, ours: str, rival: str, count: int) -> Take:
    """CPU per Gbit of paired rounds, ours : theirs."""

    def take(sources: Sources) -> Figure | None:
        compared = comparison(sources)
        found = compared.ratios.get((protocol, count, ours, rival)) if compared else None
        if not compared or not found:
            return None
        remarks = [compared.remark((protocol, count, name)) for name in (ours, rival)]
        return Figure(found["median"], found["low"], found["high"], found["rounds"], _listed(remarks))

    return take


def push_cost_ratio(protocol: str, participant: str, many: int, few: int) -> Take:
    """CPU per push with ``many``, to that with ``few`` of the same round.

    All pushes carry the same, so that is the ratio of CPU per Gbit; a push that got less than it should does not count
    as a cheap one.  When ``few`` were not run, the next larger number stands in and the remark says which: it shares
    what all pushes have in common among more, so it is the stricter one.
    """

    def take(sources: Sources) -> Figure | None:
        compared = comparison(sources)
        counts = [count for count in compared.counts(protocol) if few <= count < many] if compared else []
        if not compared or not counts:
            return None
        large, small = (protocol, many, participant), (protocol, counts[0], participant)
        dear, cheap = (compared.each(key, "cpu_ms_per_gbit") for key in (large, small))
        remarks = [f"beside N = {counts[0]}, {few} was not run" if counts[0] != few else ""]
        remarks += [f"N = {key[1]}: {said}" for key in (large, small) if (said := _said(compared, key))]
        return over((dear[each] / cheap[each] for each in sorted(dear.keys() & cheap.keys())), _listed(remarks))

    return take


def _said(compared: Comparison, key: report.Key) -> str:
    return compared.remark(key).partition(": ")[2] if key in compared.rows else ""


def memory_per_push_kib(protocol: str, participant: str, count: int) -> Take:
    """Slope of PSS from one push on."""

    def take(sources: Sources) -> Figure | None:
        compared = comparison(sources)
        row = compared.rows.get((protocol, count, participant)) if compared else None
        if not row or not row["pss_per_push_bytes"]:
            return None
        slope = {name: value / KIB for name, value in row["pss_per_push_bytes"].items()}
        return Figure(slope["median"], slope["low"], slope["high"], row["rounds"])

    return take


def least(protocol: str, participant: str, count: int, name: str) -> Take:
    """The round with the least of something counts."""
    return _of_rounds(protocol, participant, count, name, min)


def total(protocol: str, participant: str, count: int, name: str) -> Take:
    """What all rounds add up to counts."""
    return _of_rounds(protocol, participant, count, name, sum)


def _of_rounds(protocol: str, participant: str, count: int, name: str, counts: Callable[[list[float]], float]) -> Take:
    def take(sources: Sources) -> Figure | None:
        compared = comparison(sources)
        key = (protocol, count, participant)
        values = list(compared.each(key, name).values()) if compared else []
        if not compared or not values:
            return None
        return Figure(counts(values), min(values), max(values), len(values), compared.remark(key))

    return take


def threads_more(protocol: str, participant: str, many: int, few: int) -> Take:
    """Threads with ``many`` pushes beyond those with ``few``."""

    def take(sources: Sources) -> Figure | None:
        compared = comparison(sources)
        if not compared:
            return None
        large = compared.each((protocol, many, participant), "threads")
        small = over(compared.each((protocol, few, participant), "threads").values())
        return over(threads - small.found for threads in large.values()) if small else None

    return take


def latency_ms(protocol: str, pushes: int, rank: float) -> Take:
    def take(sources: Sources) -> Figure | None:
        those = runs(sources, "latency", protocol=protocol, pushes=pushes)
        if not those:
            return None
        missing = sum(run["missing"] for run in those)
        at = sources["latency"].data["settings"]["ranks"].index(rank)
        return over((run["percentiles_ms"][at] for run in those), f"{missing} frames did not come" if missing else "")

    return take


def muxing_ratio(figure: str, beside: str) -> Take:
    def take(sources: Sources) -> Figure | None:
        if "muxing" not in sources:
            return None
        mux = sources["muxing"].data["mux"]
        median, low, high = (mux[f"{figure}_{beside}_ratio{end}"] for end in ("", "_low", "_high"))
        return Figure(median, low, high, len(mux["rounds"]))

    return take


def storm_pushing_s(starts: int, mix: str) -> Take:
    def take(sources: Sources) -> Figure | None:
        return over(run["pushing_s"] for run in runs(sources, "control", kind="storm", starts=starts, protocols=mix))

    return take


def storm_answers_ms(starts: int, mix: str) -> Take:
    """p99 of what others waited for the API meanwhile: found of all rounds' probes, low and high of single rounds."""

    def take(sources: Sources) -> Figure | None:
        those = runs(sources, "control", kind="storm", starts=starts, protocols=mix)
        single = over(run["meanwhile"]["p99_ms"] for run in those if run["meanwhile"]["took_ms"])
        if not single:
            return None
        waits = [ms for run in those for ms in run["meanwhile"]["took_ms"]]
        return Figure(float(np.percentile(waits, 99)), single.low, single.high, single.rounds, f"{len(waits)} probes")

    return take


def api_ratio(endpoint: str, pushes: int) -> Take:
    def take(sources: Sources) -> Figure | None:
        those = runs(sources, "control", kind="api", pushes=pushes)
        return over(run["ratio"][endpoint] for run in those if endpoint in run["ratio"])

    return take


def api_gap_ms(pushes: int) -> Take:
    def take(sources: Sources) -> Figure | None:
        return over(run["received"]["longest_gap_ms"] for run in runs(sources, "control", kind="api", pushes=pushes))

    return take


def stream_memory_kib(sources: Sources) -> Figure | None:
    those = runs(sources, "ingest")
    if not those:
        return None
    remarks = [f"{those[0]['streams']} streams", "" if all(run["steady"] for run in those) else "not yet steady"]
    return over((run["own_bytes_per_stream"] / KIB for run in those), _listed(remarks))


def _listed(remarks: Iterable[str]) -> str:
    return "; ".join(filter(None, remarks))
