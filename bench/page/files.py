"""Result files: what is in a folder, told apart by what they hold, and which is the newest of each kind."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

Data = dict[str, Any]


def _of_bench(name: str) -> Callable[[Data], bool]:
    return lambda data: data.get("bench") == name and bool(data.get("runs"))


FITS: dict[str, Callable[[Data], bool]] = {
    "peers": lambda data: "limits" in data and bool(data.get("summary", {}).get("rows")),
    "latency": _of_bench("latency"),
    "control": _of_bench("control"),
    "ingest": _of_bench("ingest"),
    "api": _of_bench("api"),
    "siege": _of_bench("siege"),
    "restart": _of_bench("restart"),
    "rtmps": _of_bench("rtmps"),
    # Before there were ffmpeg's muxers in it, the floor was another one too.
    "muxing": lambda data: "ts_packet_ffmpeg_ratio" in data.get("mux", {}),
}
BENCHES = {
    "peers": "make bench-peers",
    "latency": "make bench-latency",
    "control": "make bench-control",
    "ingest": "make bench-ingest",
    "api": "make bench-api",
    "siege": "make bench-siege",
    "restart": "make bench-restart",
    "rtmps": "make bench-rtmps",
    "muxing": "make bench",
}


@dataclass(frozen=True, slots=True)
class File:
    """A result file, by the name that the page gives it."""

    name: str
    data: Data


Sources = dict[str, File]
"""By kind; a kind that is not there was not measured."""


def newest(folder: Path) -> Sources:
    """Of each kind the file whose ``time`` is the latest; files that are of no kind are passed over."""
    found: Sources = {}
    for path in sorted(folder.glob("*.json")):
        data = json.loads(path.read_text())
        for kind, fits in FITS.items():
            if fits(data) and (kind not in found or _time(data) > _time(found[kind].data)):
                found[kind] = File(path.name, data)
    return found


def named(kind: str, path: Path) -> File:
    """ValueError when the file holds something else."""
    data = json.loads(path.read_text())
    if not FITS[kind](data):
        raise ValueError(f"{path.name}: no results of `{BENCHES[kind]}` in it")
    return File(path.name, data)


def _time(data: Data) -> datetime:
    return datetime.fromisoformat(data["time"])
