"""What the demo shows: a live table on a terminal, one line each second elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Row:
    """One push: what the API says of it, and how many errors its sink has found."""

    protocol: str
    state: str
    mbps: float
    sent_bytes: int
    errors: int


class Display:
    """A context in which ``show`` brings the screen up to date."""

    def __init__(self) -> None:
        self._live = Live(console=Console(), auto_refresh=False) if sys.stdout.isatty() else None

    def __enter__(self) -> Display:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, seconds: int, rows: Sequence[Row]) -> None:
        if self._live is not None:
            self._live.update(_table(seconds, rows), refresh=True)
            return
        parts = [
            f"{row.protocol} {row.state} {row.mbps:.2f} Mbit/s {row.sent_bytes} bytes {row.errors} errors"
            for row in rows
        ]
        print(f"{seconds:4d} s  " + "  |  ".join(parts), flush=True)


def _table(seconds: int, rows: Sequence[Row]) -> Table:
    table = Table(title=f"pushcast demo, {seconds} s (Ctrl-C ends it)")
    table.add_column("protocol")
    table.add_column("state")
    for name in ("Mbit/s", "bytes sent", "errors at the sink"):
        table.add_column(name, justify="right")
    for row in rows:
        state = f"[green]{row.state}[/]" if row.state == "pushing" else f"[yellow]{row.state}[/]"
        errors = f"[red]{row.errors}[/]" if row.errors else "0"
        table.add_row(row.protocol, state, f"{row.mbps:.2f}", f"{row.sent_bytes:,}", errors)
    return table
