"""What a sink tells: one line each second and a summary at the end, as text for people or as JSON lines for programs.

JSON lines:
  {"event": "listening", "protocol", "host", "port"}                       one for each port, first
  {"event": "stats", "time", "senders", "active", "mbps", "errors"}        each second
  {"event": "summary", "senders": [row, ...], "errors", "ok", ...}         at the end, and whenever it is asked for
Rows are those of the sinks (sinks.pyi).  Times are seconds or milliseconds since the sink was opened.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

Row = dict[str, Any]


class Sink(Protocol):
    """What the sinks of the extensions have in common."""

    @property
    def refused(self) -> int: ...
    @property
    def unkept(self) -> int: ...
    def run(self, seconds: float) -> None: ...
    def rows(self) -> list[Row]: ...
    def totals(self) -> tuple[int, int, int, int, int]: ...
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Stats:
    """One second of a sink; ``mbps`` is that of the second."""

    time_s: float
    senders: int
    active: int
    mbps: float
    errors: int


@dataclass(frozen=True, slots=True)
class Summary:
    """All that a sink has seen; ``ok`` when nothing was wrong and no expected sender was missing."""

    rows: list[Row]
    errors: int
    refused: int
    unkept: int
    receiver_drops: int
    ok: bool


def summarize(sink: Sink, expected: int | None) -> Summary:
    came, _, _, _, errors = sink.totals()
    return Summary(
        rows=sink.rows(),
        errors=errors,
        refused=sink.refused,
        unkept=sink.unkept,
        receiver_drops=getattr(sink, "receiver_drops", 0),
        ok=errors == 0 and sink.refused == 0 and came >= (expected or 0),
    )


class JsonReport:
    """One JSON object on each line."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write

    def listening(self, protocol: str, host: str, port: int) -> None:
        self._line(event="listening", protocol=protocol, host=host, port=port)

    def stats(self, stats: Stats) -> None:
        self._line(
            event="stats",
            time=round(stats.time_s, 3),
            senders=stats.senders,
            active=stats.active,
            mbps=round(stats.mbps, 3),
            errors=stats.errors,
        )

    def summary(self, summary: Summary) -> None:
        self._line(
            event="summary",
            senders=summary.rows,
            errors=summary.errors,
            refused=summary.refused,
            unkept=summary.unkept,
            receiver_drops=summary.receiver_drops,
            ok=summary.ok,
        )

    def _line(self, **values: object) -> None:
        self._write(json.dumps(values, separators=(",", ":")))


class TextReport:
    """Short lines for people; of many senders only the faulty ones are listed one by one."""

    LISTED = 20

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write

    def listening(self, protocol: str, host: str, port: int) -> None:
        self._write(f"listening for {protocol} on {host} port {port}")

    def stats(self, stats: Stats) -> None:
        self._write(
            f"{stats.time_s:7.1f} s  {stats.active} of {stats.senders} senders active  {stats.mbps:.2f} Mbit/s  "
            f"{stats.errors} errors"
        )

    def summary(self, summary: Summary) -> None:
        faulty = [row for row in summary.rows if row["errors"]]
        listed = (summary.rows if len(summary.rows) <= self.LISTED else faulty)[: self.LISTED]
        for row in listed:
            self._write(_row_line(row))
        if len(listed) < len(summary.rows):
            self._write(f"{len(summary.rows)} senders in all, {len(faulty)} with errors")
        if summary.refused:
            self._write(f"{summary.refused} turned away: too many senders")
        if summary.receiver_drops:
            self._write(f"{summary.receiver_drops} datagrams lost by this receiver itself: it was too slow")
        self._write("ok" if summary.ok else f"not ok: {summary.errors} errors")


def _row_line(row: Row) -> str:
    errors = ", ".join(f"{name} {count}" for name, count in row["errors"].items()) or "no errors"
    name = f" {row['stream']}" if row["stream"] else ""
    return (
        f"{row['peer']}{name}: {row['seconds']:.1f} s, {row['mbps']:.2f} Mbit/s, {row['video_frames']} video and "
        f"{row['audio_frames']} audio frames, longest gap {row['longest_gap_ms']:.0f} ms: {errors}"
    )
