"""What all plots share: looks, who has which colour, and how a figure becomes a file.

Colours are Okabe and Ito's, which the colour-blind tell apart, and every participant has a mark of its own as well.
Text stays text.  The same figure gives the same bytes: no date, no random ids.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from bench.page.figures import kind_of

mpl.use("svg")

WIDTH_INCHES = 7.3  # 700 px in a browser
LOOKS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "pushcast",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial"],
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#777777",
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.handlelength": 2.6,
    "axes.axisbelow": True,
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "lines.linewidth": 1.6,
    "lines.markersize": 5,
    "figure.constrained_layout.use": True,
}
BLUE, SKY, GREY, GREEN, VERMILION, PURPLE, ORANGE = (
    *("#0072B2", "#56B4E9", "#666666", "#009E73", "#D55E00", "#CC79A7", "#E69F00"),
)
COLOURS = {
    "pushcast": BLUE,
    "engine": SKY,
    "floor": GREY,
    "nginx-rtmp": VERMILION,
    "ffmpeg-tee": GREEN,
    "ffmpeg-n": PURPLE,
    "gstreamer": ORANGE,
}
MARKS = {
    "pushcast": "o",
    "engine": "x",
    "floor": "*",
    "nginx-rtmp": "s",
    "ffmpeg-tee": "^",
    "ffmpeg-n": "v",
    "gstreamer": "D",
}
LONG_INTERVAL = "-200"
STEPS = (1, 2, 5)


@dataclass(frozen=True, slots=True)
class Curve:
    """Figures against the number of pushes, with their lowest and highest."""

    counts: Sequence[int]
    median: Sequence[float]
    low: Sequence[float]
    high: Sequence[float]


@contextmanager
def drawn(path: Path, rows: int, columns: int, height_inches: float) -> Iterator[tuple[Figure, list[Axes]]]:
    """A figure with so many panels side by side; it is written when the block ends."""
    with mpl.rc_context(LOOKS):
        figure = Figure(figsize=(WIDTH_INCHES, height_inches), facecolor="white")
        panels = figure.subplots(rows, columns, squeeze=False)
        yield figure, list(panels.flat)
        figure.savefig(path, format="svg", metadata={"Date": None, "Creator": None})


def curve(panel: Axes, participant: str, points: Curve, name: str) -> None:
    """A participant's curve, with a bar from lowest to highest at each point."""
    if not points.counts:
        return
    kind = kind_of(participant)
    panel.plot(
        points.counts,
        points.median,
        color=COLOURS[kind],
        marker=MARKS[kind],
        linestyle="--" if participant.endswith(LONG_INTERVAL) else "-",
        zorder=4 if kind == "pushcast" else 3,
        label=name,
    )
    panel.vlines(points.counts, points.low, points.high, color=COLOURS[kind], linewidth=1, alpha=0.6)


def counts_along(panel: Axes, counts: Sequence[int]) -> None:
    """A logarithmic axis of numbers of pushes with these ticks."""
    panel.set_xscale("log")
    panel.xaxis.set_major_locator(FixedLocator(list(counts)))
    panel.xaxis.set_minor_locator(NullLocator())
    panel.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    panel.set_xlabel("pushes (N)")


def magnitudes_up(panel: Axes) -> None:
    """A logarithmic axis with ticks at 1, 2 and 5, in plain numbers."""
    panel.set_yscale("log")
    low, high = panel.get_ylim()
    ticks = [step * 10.0**power for power in range(-4, 7) for step in STEPS]
    panel.yaxis.set_major_locator(FixedLocator([tick for tick in ticks if low <= tick <= high]))
    panel.yaxis.set_minor_locator(NullLocator())
    panel.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    panel.set_ylim(low, high)
