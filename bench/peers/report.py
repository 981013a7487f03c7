"""Medians over rounds, ratios of paired rounds, and both as text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from bench.peers.plan import ORDER

Run = dict[str, Any]
Key = tuple[str, int, str]  # protocol, destinations, participant
METRICS = (
    *("cpu_ms_per_gbit", "cpu_us_per_push_s", "cores", "mbps", "pss_bytes", "pss_per_push_bytes", "threads"),
    *("processes", "start_median_s", "start_last_s", "gap_ms", "gap_median_ms", "sink_cores", "other_cores"),
)
RATIO_METRICS = ("cpu_ms_per_gbit", "pss_bytes", "start_last_s")
WIDTH = 150
RIVALS = ("nginx-rtmp", "gstreamer", "ffmpeg-tee", "ffmpeg-n")


def summary(runs: list[Run]) -> dict[str, Any]:
    """``rows`` and ``ratios`` of the package's docstring."""
    rounds = _with_memory_of_a_push(counting(runs))
    return {
        "rows": [_row(key, list(chosen.values())) for key, chosen in rounds.items()],
        "ratios": list(_ratios(rounds)),
    }


def spread(values: Iterable[float | None]) -> dict[str, float] | None:
    """Median, lowest and highest of what is there."""
    known = [value for value in values if value is not None]
    if not known:
        return None
    low, median, high = np.percentile(known, (0, 50, 100))
    return {"median": round(float(median), 4), "low": round(float(low), 4), "high": round(float(high), 4)}


def counting(runs: list[Run]) -> dict[Key, dict[int, Run]]:
    """The run of each round that counts: of a disturbed run and its repetition the one with less other load."""
    chosen: dict[Key, dict[int, Run]] = {}
    for run in runs:
        rounds = chosen.setdefault((run["protocol"], run["destinations"], run["participant"]), {})
        before = rounds.get(run["round"])
        if before is None or run["other_cores"] < before["other_cores"]:
            rounds[run["round"]] = run
    return chosen


def _with_memory_of_a_push(rounds: dict[Key, dict[int, Run]]) -> dict[Key, dict[int, Run]]:
    """Adds the slope of PSS from one destination on, where one destination was run."""
    added: dict[Key, dict[int, Run]] = {}
    for (protocol, count, participant), chosen in rounds.items():
        alone = spread(run["pss_bytes"] for run in rounds.get((protocol, 1, participant), {}).values())
        slopes = {
            number: (run["pss_bytes"] - alone["median"]) / (count - 1) if alone and count > 1 else None
            for number, run in chosen.items()
        }
        added[protocol, count, participant] = {
            number: {**run, "pss_per_push_bytes": slopes[number]} for number, run in chosen.items()
        }
    return added


def _row(key: Key, runs: list[Run]) -> dict[str, Any]:
    protocol, count, participant = key
    return {
        "protocol": protocol,
        "destinations": count,
        "participant": participant,
        "rounds": len(runs),
        "full_rate": min(run["full_rate"] for run in runs),
        "settled": all(run["settled"] for run in runs),
        "disturbed": sum(run["disturbed"] for run in runs),
        "lost_packets": sum(run["lost_packets"] for run in runs),
        "sink_drops": sum(run["sink_drops"] for run in runs),
        "backlog_drops": sum(run["backlog_drops"] for run in runs),
        "errors": sorted({error for run in runs for error in run["errors"]}),
        **{metric: spread(run[metric] for run in runs) for metric in METRICS},
    }


def _ratios(rounds: dict[Key, dict[int, Run]]) -> Iterator[dict[str, Any]]:
    """Ours to everybody that it is compared with, round by round."""
    for protocol, count, ours in rounds:
        for rival in _compared_with(ours):
            pairs = rounds.get((protocol, count, rival), {})
            both = sorted(pairs.keys() & rounds[protocol, count, ours].keys())
            for metric in RATIO_METRICS if both else ():
                each = [
                    round(rounds[protocol, count, ours][number][metric] / pairs[number][metric], 4)
                    for number in both
                    if rounds[protocol, count, ours][number][metric] is not None and pairs[number][metric]
                ]
                middle = spread(each)
                if middle:
                    named = {"protocol": protocol, "destinations": count, "ours": ours, "rival": rival}
                    yield {**named, "metric": metric, "rounds": len(each), **middle, "each": each}


def _compared_with(ours: str) -> tuple[str, ...]:
    kind, _, interval = ours.partition("-")
    if kind == "pushcast":
        return (*RIVALS, f"floor-{interval}", f"engine-{interval}")
    return (f"floor-{interval}",) if kind == "engine" else ()


def text(summarized: dict[str, Any]) -> str:
    """Both tables, at most 150 columns wide."""
    return "\n".join([*_rows_text(summarized["rows"]), "", *_ratios_text(summarized["ratios"])])


HEADER = (
    f"{'':25} {'CPU ms per Gbit':^20}  {'us per':>7} {'':>6}  {'PSS':>6} {'KiB per':>7}  {'threads':>9}"
    f"  {'start s':^12}  {'at full':>9}  {'longest':>7}",
    f"{'':4} {'N':>4} {'':12} {'of':>2} {'median':>6} {'low':>6} {'high':>6}  {'push, s':>7} {'cores':>6}  {'MiB':>6}"
    f" {'push':>7}  {'(procs)':>9}  {'median':>6} {'last':>5}  {'rate':>9}  {'gap ms':>7}  remarks",
)


def _rows_text(rows: list[dict[str, Any]]) -> Iterator[str]:
    yield from HEADER
    shown: tuple[str, int] | None = None
    for row in sorted(rows, key=lambda row: ([*ORDER].index(row["protocol"]), row["destinations"])):
        if shown and shown != (row["protocol"], row["destinations"]):
            yield ""
        shown = (row["protocol"], row["destinations"])
        cpu = row["cpu_ms_per_gbit"] or {}
        line = (
            f"{row['protocol']:4} {row['destinations']:4} {row['participant']:12} {row['rounds']:2}"
            f" {_number(cpu.get('median'), 6, 1)} {_number(cpu.get('low'), 6, 1)} {_number(cpu.get('high'), 6, 1)} "
            f" {_median(row, 'cpu_us_per_push_s', 7, 1)} {_median(row, 'cores', 6, 3)} "
            f" {_median(row, 'pss_bytes', 6, 1, 2**20)} {_median(row, 'pss_per_push_bytes', 7, 1, 2**10)} "
            f" {_threads(row):>9}  {_median(row, 'start_median_s', 6, 2)} {_median(row, 'start_last_s', 5, 2)} "
            f" {row['full_rate']:4}/{row['destinations']:<4}  {_median(row, 'gap_ms', 7, 0)}"
        )
        said = remarks(row)
        if len(line) + len(said) + 2 <= WIDTH:
            yield f"{line}  {said}".rstrip()
        else:
            yield line
            yield f"{'':10}{said}"


def _ratios_text(ratios: list[dict[str, Any]]) -> Iterator[str]:
    yield "CPU per Gbit, ours / theirs, of paired rounds: median (low..high) rounds"
    table: dict[tuple[str, str, str], dict[int, str]] = {}
    for ratio in ratios:
        if ratio["metric"] == "cpu_ms_per_gbit":
            cells = table.setdefault((ratio["protocol"], ratio["ours"], ratio["rival"]), {})
            low, high = _number(ratio["low"], 0, 2), _number(ratio["high"], 0, 2)
            cells[ratio["destinations"]] = f"{ratio['median']:.3f} ({low}..{high}) {ratio['rounds']}"
    if not table:
        yield "no two that are compared have run the same round"
        return
    counts = sorted({count for cells in table.values() for count in cells})
    yield f"{'':31}" + "".join(f" | {f'N = {count}':20}" for count in counts)
    for (protocol, ours, rival), cells in sorted(table.items()):
        yield f"{protocol:4} {ours:12} / {rival:11}" + "".join(f" | {cells.get(count, ''):20}" for count in counts)


def remarks(row: dict[str, Any]) -> str:
    """What a figure must not be read without, in few words."""
    found = []
    if not row["settled"]:
        found.append("catching up")
    if row["disturbed"]:
        found.append(f"disturbed {row['disturbed']}x")
    if row["lost_packets"]:
        found.append(f"lost {row['lost_packets']}")
    if row["sink_drops"]:
        found.append(f"sink dropped {row['sink_drops']}")
    if row["backlog_drops"]:
        found.append(f"loopback dropped {row['backlog_drops']}")
    if row["errors"]:
        found.append(f"errors {len(row['errors'])}")
    return ", ".join(found)


def _threads(row: dict[str, Any]) -> str:
    return f"{row['threads']['median']:.0f} ({row['processes']['median']:.0f})"


def _median(row: dict[str, Any], metric: str, width: int, digits: int, unit: int = 1) -> str:
    values = row[metric]
    return _number(values["median"] / unit if values else None, width, digits)


def _number(value: float | None, width: int, digits: int) -> str:
    return f"{'-':>{width}}" if value is None else f"{value:{width}.{digits}f}"
