"""The lines that must hold: what is measured, how it comes out of the result files, and what it may be at the most.

A line is judged by figures that are not rounded for show.  Where a bench holds a line itself, its bound is that one's.
"""

from __future__ import annotations

from dataclasses import dataclass

from bench.api_load import ENDPOINTS
from bench.control import ANSWER_MS, GAP_MS, LEAST_RATIO, MIXES, PUSHING_S
from bench.ingest import OWN_BYTES
from bench.latency import INTERVAL_MS
from bench.lines import Line
from bench.page import figures
from bench.page.figures import KIB, Figure, Take, label
from bench.page.files import Sources

LEAST_ROUNDS = 5
STARTS = 1000
PUSHES = 400
MANY = (200, 400)


@dataclass(frozen=True, slots=True)
class Bound:
    """A line of the table."""

    subject: str
    name: str
    take: Take
    allowed: float
    unit: str = ""
    at_least: bool = False


@dataclass(frozen=True, slots=True)
class Judged:
    """A line with what was found for it."""

    bound: Bound
    figure: Figure | None

    @property
    def holds(self) -> bool | None:
        """None when it was not measured."""
        if self.figure is None:
            return None
        bound = self.bound
        return Line(bound.name, self.figure.found, bound.allowed, bound.unit, bound.at_least).holds


CPU_RATIOS = (
    ("rtmp", "pushcast-40", "nginx-rtmp", MANY, 0.85),
    ("rtmp", "pushcast-200", "nginx-rtmp", MANY, 0.35),
    ("rtmp", "pushcast-40", "ffmpeg-tee", MANY, 1 / 3),
    ("rtmp", "pushcast-40", "floor-40", MANY, 1.2),
    ("rtmp", "pushcast-200", "floor-200", MANY, 1.2),
    ("udp", "pushcast-20", "ffmpeg-tee", MANY, 1 / 6),
    ("udp", "pushcast-20", "gstreamer", MANY, 0.3),
    ("udp", "pushcast-20", "floor-20", MANY, 1.2),
    ("srt", "pushcast-20", "floor-20", MANY, 1.1),
    ("srt", "pushcast-20", "ffmpeg-tee", (200,), 0.55),
)
SUBJECTS = {"rtmp": "RTMP", "udp": "MPEG-TS/UDP", "srt": "SRT"}
PLAIN = {"rtmp": "pushcast-40", "udp": "pushcast-20"}
MUXING = (
    ("ts_packet", "TS packet", "floor", "header and copy loop", 2.0),
    ("ts_packet", "TS packet", "ffmpeg", "ffmpeg's muxer", 0.25),
    ("rtmp_message", "RTMP message", "floor", "header and copy loop", 1.5),
)
# 250 callers share a local port, whose two threads are libsrt's: 400 need a second one.
SRT_THREADS = 2

LINES = (
    *(
        Bound(
            SUBJECTS[protocol],
            f"CPU per Gbit, {label(ours)} : {label(rival)}, N = {count}",
            figures.cpu_ratio(protocol, ours, rival, count),
            allowed,
        )
        for protocol, ours, rival, counts, allowed in CPU_RATIOS
        for count in counts
    ),
    Bound(
        "SRT",
        "pushes at full rate, N = 400, the worst round",
        figures.least("srt", "pushcast-20", 400, "full_rate"),
        400,
        at_least=True,
    ),
    Bound(
        "SRT",
        "packets lost, N = 400, all rounds together",
        figures.total("srt", "pushcast-20", 400, "lost_packets"),
        0,
    ),
    Bound(
        "SRT",
        "threads, N = 400 less those of N = 50; a local port has two and serves 250",
        figures.threads_more("srt", "pushcast-20", 400, 50),
        SRT_THREADS,
    ),
    *(
        Bound(
            SUBJECTS[protocol],
            f"CPU per push, {label(name)}, N = 1000 : N = 100",
            figures.push_cost_ratio(protocol, name, 1000, 100),
            1.1,
        )
        for protocol, name in PLAIN.items()
    ),
    *(
        Bound(
            SUBJECTS[protocol],
            f"memory per push, {label(name)}, N = {count}",
            figures.memory_per_push_kib(protocol, name, count),
            8,
            "KiB",
        )
        for protocol, name in PLAIN.items()
        for count in (400, 1000)
    ),
    Bound("Streams", "memory of a stream beside its rings", figures.stream_memory_kib, OWN_BYTES / KIB, "KiB"),
    *(
        Bound("Muxing", f"time per {unit}, pushcast : {rival}", figures.muxing_ratio(figure, beside), allowed)
        for figure, unit, beside, rival, allowed in MUXING
    ),
    *(
        bound
        for mix in map("+".join, MIXES)
        for bound in (
            Bound(
                "API",
                f"{STARTS} starts, {mix}: all pushing after",
                figures.storm_pushing_s(STARTS, mix),
                PUSHING_S,
                "s",
            ),
            Bound(
                "API",
                f"{STARTS} starts, {mix}: p99 of others' answers meanwhile",
                figures.storm_answers_ms(STARTS, mix),
                ANSWER_MS,
                "ms",
            ),
        )
    ),
    *(
        Bound(
            "API",
            f"{endpoint}: answers per second with {PUSHES} pushes : idle",
            figures.api_ratio(endpoint, PUSHES),
            LEAST_RATIO,
            at_least=True,
        )
        for endpoint in ENDPOINTS
    ),
    Bound("API", f"longest gap of {PUSHES} RTMP pushes meanwhile", figures.api_gap_ms(PUSHES), GAP_MS, "ms"),
    *(
        bound
        for protocol, interval_ms in INTERVAL_MS.items()
        for bound in (
            Bound(
                "Latency",
                f"{SUBJECTS[protocol]}, {PUSHES} pushes, p99",
                figures.latency_ms(protocol, PUSHES, 99),
                1.5 * interval_ms + 2,
                "ms",
            ),
            Bound(
                "Latency",
                f"{SUBJECTS[protocol]}, one push, p50",
                figures.latency_ms(protocol, 1, 50),
                0.6 * interval_ms,
                "ms",
            ),
        )
    ),
)


def judged(sources: Sources) -> list[Judged]:
    """Every line, in the order of the table."""
    return [Judged(bound, bound.take(sources)) for bound in LINES]
