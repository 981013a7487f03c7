"""Instructions and calls per unit of the counted paths, from one run of the driver under callgrind.

What is counted is the self cost of our own extensions, and nothing else: the C library chooses its memcpy by the CPU,
and the kernel does not show.  The same sources, flags and compiler give the same counts to the digit on any machine.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from instructions.callgrind import Profile, read_profile

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
TIMEOUT_S = 120
ALLOCATES = re.compile(r"(__libc_)?(malloc|calloc|realloc|free|posix_memalign|aligned_alloc|memalign|mmap)$")
PYTHON_API = re.compile(r"_?Py[A-Z]")


@dataclass(frozen=True)
class Measured:
    """One path.  ``units``: how often it was taken; ``instructions``: for each unit; calls are of the whole run."""

    units: int
    instructions: float
    allocations: dict[str, int]  # of the C library's allocator, whoever called
    python_calls: dict[str, int]  # of Python's C API, by our extensions


def measure() -> dict[str, Measured]:
    """Every path, by name."""
    sys.path.append(str(ROOT))
    from bench import build

    output = ROOT / "build" / "instructions"
    build.module(HERE / "counted.pyx", output)
    with tempfile.TemporaryDirectory() as folder:
        units = _run_driver(output, Path(folder))
        profiles = {profile.name: profile for profile in map(read_profile, Path(folder).iterdir())}
    return {name: _measured(profiles[name], count) for name, count in units.items()}


def _run_driver(modules: Path, folder: Path) -> dict[str, int]:
    command = [
        *("valgrind", "--quiet", "--tool=callgrind", "--instr-atstart=no", "--collect-atstart=no", "--dump-line=no"),
        *(f"--callgrind-out-file={folder}/out", sys.executable, str(HERE / "driver.py")),
    ]
    path = [str(ROOT / "src"), str(HERE.parent), str(modules), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path), "PYTHONHASHSEED": "0"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False, env=environment)
    if done.returncode:
        raise AssertionError(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    units: dict[str, int] = json.loads(done.stdout)
    return units


def _measured(profile: Profile, units: int) -> Measured:
    ours = ROOT / "src" / "pushcast"
    own = sum(count for path, count in profile.instructions.items() if Path(path).parent == ours)
    allocations: dict[str, int] = {}
    python_calls: dict[str, int] = {}
    for (caller_path, caller, callee), count in profile.calls.items():
        if ALLOCATES.match(callee) and not ALLOCATES.match(caller):
            allocations[callee] = allocations.get(callee, 0) + count
        if PYTHON_API.match(callee) and Path(caller_path).parent == ours:
            python_calls[callee] = python_calls.get(callee, 0) + count
    return Measured(units, own / units, allocations, python_calls)
