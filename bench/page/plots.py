"""The plots of the page: CPU, memory and start against the number of pushes, latency percentiles, muxing."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

from bench.latency import INTERVAL_MS
from bench.page import drawing
from bench.page.accepted import PLAIN, PUSHES
from bench.page.comparison import TITLES
from bench.page.drawing import Curve, drawn
from bench.page.figures import Comparison, label, runs
from bench.page.files import Sources
from bench.peers.plan import WIRES

SERVED = ("pushcast", "nginx-rtmp", "gstreamer", "ffmpeg-tee", "ffmpeg-n")
DECADES = (1, 10, 100, 1000)
MIB = 2**20
PERCENT_TICKS = (0, 50, 90, 99, 99.9)
WAYS = {1: (drawing.SKY, ":"), 100: (drawing.BLUE, "--"), 400: ("#003F66", "-")}


def draw(sources: Sources, folder: Path) -> None:
    """Every plot whose figures there are; those of an earlier page that are not among them are removed."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.svg"):
        old.unlink()
    if "peers" in sources:
        compared = Comparison(sources["peers"].data)
        for protocol in compared.protocols():
            _cpu(compared, protocol, folder / f"cpu-{protocol}.svg")
        _side_by_side(compared, "pss_bytes", MIB, "MiB", folder / "memory.svg")
        _side_by_side(compared, "start_last_s", 1, "s", folder / "start.svg")
    if "latency" in sources:
        _latency(sources, folder / "latency.svg")
    if "muxing" in sources:
        _muxing(sources["muxing"].data["mux"], folder / "muxing.svg")


def _points(compared: Comparison, protocol: str, participant: str, metric: str, unit: float) -> Curve:
    found = [
        (count, compared.rows[protocol, count, participant][metric])
        for count in compared.counts(protocol)
        if compared.rows.get((protocol, count, participant), {}).get(metric)
    ]
    medians, lows, highs = ([values[name] / unit for _, values in found] for name in ("median", "low", "high"))
    return Curve([count for count, _ in found], medians, lows, highs)


def _cpu(compared: Comparison, protocol: str, path: Path) -> None:
    with drawn(path, 1, 1, 4.0) as (figure, (panel,)):
        for participant in compared.participants(protocol):
            points = _points(compared, protocol, participant, "cpu_ms_per_gbit", 1)
            drawing.curve(panel, participant, points, label(participant))
        drawing.counts_along(panel, compared.counts(protocol))
        drawing.magnitudes_up(panel)
        panel.set_title(f"{TITLES[protocol]}: CPU ms per Gbit delivered")
        # Named in the order of the curves' ends, from the top.
        ordered = sorted(panel.get_lines(), key=lambda line: float(np.asarray(line.get_ydata())[-1]), reverse=True)
        figure.legend(handles=ordered, loc="outside right center")


def _side_by_side(compared: Comparison, metric: str, unit: float, unit_name: str, path: Path) -> None:
    """One panel for each protocol, the same scale in all."""
    protocols = [protocol for protocol in compared.protocols() if protocol not in WIRES]
    with drawn(path, 1, len(protocols), 3.2) as (figure, panels):
        for protocol, panel in zip(protocols, panels, strict=True):
            for participant in compared.participants(protocol, SERVED):
                if participant.startswith("pushcast") and participant != PLAIN.get(protocol, participant):
                    continue
                points = _points(compared, protocol, participant, metric, unit)
                name = "pushcast" if participant in PLAIN.values() else label(participant)
                drawing.curve(panel, participant, points, name)
            drawing.counts_along(panel, DECADES)
            panel.set_xlim(0.8, 1.4 * max(compared.counts(protocol)))
            panel.set_title(f"{TITLES[protocol]}, {unit_name}")
        _same_height(panels)
        _legend_below(figure, panels)


def _same_height(panels: list[Axes]) -> None:
    """The same logarithmic scale for all, from the least to the most in any."""
    for panel in panels:
        panel.set_yscale("log")
    low = min(panel.get_ylim()[0] for panel in panels)
    high = max(panel.get_ylim()[1] for panel in panels)
    for panel in panels:
        panel.set_ylim(low, high)
        drawing.magnitudes_up(panel)
        panel.label_outer()


def _legend_below(figure: Figure, panels: list[Axes]) -> None:
    """One legend for all panels, each name once."""
    named: dict[str, Any] = {}
    for panel in panels:
        handles, names = panel.get_legend_handles_labels()
        named |= dict(zip(names, handles, strict=True))
    figure.legend(named.values(), named.keys(), loc="outside lower center", ncols=min(len(named), 4))


def _latency(sources: Sources, path: Path) -> None:
    data = sources["latency"].data
    measured = [protocol for protocol in INTERVAL_MS if runs(sources, "latency", protocol=protocol)]
    with drawn(path, 1, max(len(measured), 1), 3.4) as (figure, panels):
        for protocol, panel in zip(measured, panels, strict=False):
            _percentiles(panel, sources, "direct", 1, "without server", (drawing.GREY, "-"))
            for count in sorted({run["pushes"] for run in runs(sources, "latency", protocol=protocol)}):
                name = "1 push" if count == 1 else f"{count} pushes"
                _percentiles(panel, sources, protocol, count, name, WAYS.get(count, (drawing.BLUE, "-.")))
            _allowed(panel, data["settings"]["interval_ms"][protocol])
            panel.xaxis.set_major_locator(FixedLocator([_tail(rank) for rank in PERCENT_TICKS]))
            panel.xaxis.set_major_formatter(FixedFormatter([f"{rank:g}" for rank in PERCENT_TICKS]))
            panel.set_xlabel("% of all frames")
            panel.set_title(f"{TITLES[protocol]}, within ms")
        _latency_scale(panels)
        _legend_below(figure, panels)


def _tail(rank: float) -> float:
    """Percentiles so spread that 90, 99 and 99.9 are as far apart."""
    return -math.log10(1 - rank / 100)


def _percentiles(panel: Axes, sources: Sources, protocol: str, count: int, name: str, way: tuple[str, str]) -> None:
    """Each rank's median over the rounds."""
    those = runs(sources, "latency", protocol=protocol, pushes=count)
    if those:
        ranks = sources["latency"].data["settings"]["ranks"]
        middle = np.median([run["percentiles_ms"] for run in those], axis=0)
        # Below 90 they lie closer than the line is wide.
        shown = [at for at, rank in enumerate(ranks) if 90 < rank < 100 or (rank <= 90 and rank % 3 == 1)]
        panel.plot([_tail(ranks[at]) for at in shown], middle[shown], color=way[0], linestyle=way[1], label=name)


def _allowed(panel: Axes, interval_ms: float) -> None:
    """The two lines that must hold."""
    ranks, bounds = (50, 99), (0.6 * interval_ms, 1.5 * interval_ms + 2)
    reach = 0.25
    panel.hlines(
        bounds,
        [_tail(rank) - reach for rank in ranks],
        [_tail(rank) + reach for rank in ranks],
        color=drawing.VERMILION,
        linewidth=2,
        zorder=5,
        label=f"allowed: p50 of 1, p99 of {PUSHES}",
    )


def _latency_scale(panels: list[Axes]) -> None:
    """The same scale for all: linear as long as what is allowed can be seen on it."""
    most = max(panel.get_ylim()[1] for panel in panels)
    if most > 8 * max(INTERVAL_MS.values()):
        _same_height(panels)
        return
    for panel in panels:
        panel.set_ylim(0, most)
        panel.label_outer()


def _muxing(mux: dict[str, Any], path: Path) -> None:
    parts = (
        ("ns per TS packet", "ts_packet", mux["ffmpeg_ns_per_ts_packet_filtered"]),
        ("ns per RTMP message", "rtmp_message", None),
    )
    with drawn(path, 1, 2, 2.0) as (_, panels):
        for (title, figure, filtered), panel in zip(parts, panels, strict=True):
            bars = [
                ("ffmpeg", mux[f"ffmpeg_ns_per_{figure}"], drawing.GREEN),
                ("pushcast", mux[f"ns_per_{figure}"], drawing.BLUE),
                ("copy loop", mux[f"floor_ns_per_{figure}"], drawing.GREY),
            ]
            if filtered:
                bars.insert(0, ("ffmpeg -c copy", filtered, drawing.GREEN))
            names, values, colours = zip(*bars, strict=True)
            held = panel.barh(names, values, color=colours, height=0.62)
            panel.bar_label(held, fmt="{:.3g}", padding=3)
            panel.set_xlim(0, 1.15 * max(values))
            panel.grid(axis="y", visible=False)
            panel.yaxis.set_minor_locator(NullLocator())
            panel.set_title(title)
