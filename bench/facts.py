"""What a figure must not be read without: the machine, the commit, and what else was running."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path
from typing import Any

from bench.build import ROOT


def machine() -> dict[str, Any]:
    """CPU, cores, kernel, memory and load now."""
    model = next(
        (
            line.split(":", 1)[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.processor(),
    )
    memory_kb = int(Path("/proc/meminfo").read_text().split()[1])
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "memory_gib": round(memory_kb / 2**20, 1),
        "python": platform.python_version(),
        "load": [round(load, 2) for load in os.getloadavg()],
    }


def commit() -> str:
    """Short name of the commit, with "-modified" when the tree differs from it; "uncommitted" before the first."""
    described = subprocess.run(
        ["git", "describe", "--always", "--abbrev=10", "--dirty=-modified", "--exclude=*"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return described.stdout.strip() or "uncommitted"
