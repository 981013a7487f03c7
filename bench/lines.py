"""What the benches of lines share: where figures are kept, what was run on what, and the verdict at the end."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from bench import facts
from bench.build import ROOT

RESULTS = ROOT / "bench" / "results"


@dataclass(frozen=True)
class Line:
    """A figure and the bound that it must hold."""

    name: str
    found: float
    allowed: float
    unit: str
    at_least: bool = False

    @property
    def holds(self) -> bool:
        # nan is no figure and holds nothing.
        return self.found >= self.allowed if self.at_least else self.found <= self.allowed

    def __str__(self) -> str:
        sign = ">=" if self.at_least else "<="
        return f"{self.name}: {self.found:.4g} {self.unit}, allowed {sign} {self.allowed:.4g} {self.unit}"

    def as_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "found": round(self.found, 4),
            "allowed": self.allowed,
            "unit": self.unit,
            "at_least": self.at_least,
            "holds": self.holds,
        }


class Results:
    """Figures of one bench, written after each run: what was measured outlives an interruption."""

    def __init__(self, bench: str, output: Path | None, **settings: Any) -> None:
        commit = facts.commit()
        self.path = output or RESULTS / f"{bench}-{commit}.json"
        self.all: dict[str, Any] = {
            "bench": bench,
            "commit": commit,
            "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "machine": facts.machine(),
            "settings": settings,
            "runs": [],
        }
        print(f"commit {commit}  {json.dumps(self.all['machine'])}", flush=True)

    def add(self, run: dict[str, Any]) -> None:
        self.all["runs"].append(run)
        self._write()

    def _write(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.path.with_suffix(".new")
        fresh.write_text(json.dumps(self.all, indent=1) + "\n")
        fresh.replace(self.path)

    def finish(self, lines: Sequence[Line]) -> NoReturn:
        """Say which lines hold and end the program: 0 when all do, else 1."""
        self.all["lines"] = [line.as_json() for line in lines]
        self.all["machine_load_at_end"] = facts.machine()["load"]
        self._write()
        for line in lines:
            print(f"{'holds' if line.holds else 'DOES NOT HOLD'}: {line}")
        print(f"kept in {os.path.relpath(self.path, ROOT)}; load at the end {self.all['machine_load_at_end']}")
        sys.exit(0 if all(line.holds for line in lines) else 1)
