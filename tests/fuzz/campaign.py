"""`make fuzz`: every target for its time, one line of figures for each, exit code 1 when one of them found a bug.

This runs in the plain build and starts the targets in the instrumented one.  A target begins with the seeds and with
its corpus; when it found no bug, what it kept becomes the new corpus, minimised.  What was a crash, a hang or too much
memory lies in `build/fuzzing/TARGET` under the name that libFuzzer gave it: an input for `python -m fuzz TARGET FILE`.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from fuzz import corpus, seeds
from fuzz.targets import TARGETS

INPUT_S = 5  # a parser that takes longer for some kilobytes hangs
MEMORY_MB = 2048
SHOWN_CHARS = 3000  # of the log of a target that found a bug
TREE = Path("build/sanitize-fuzz").resolve()
ROOT = Path("build/fuzzing").resolve()
FAULTS = ("crash-*", "timeout-*", "oom-*", "leak-*")


@dataclass(frozen=True)
class Run:
    """What libFuzzer said of one target.  ``edges``: of the instrumented code that were reached."""

    target: str
    inputs: int
    inputs_per_s: int
    edges: int
    features: int
    corpus_inputs: int
    corpus_bytes: int
    faults: int

    @property
    def row(self) -> str:
        found = f"{self.faults} faults" if self.faults else "none"
        return (
            f"| {self.target} | {self.inputs:,} | {self.inputs_per_s:,} | {self.edges:,} | {self.features:,} "
            f"| {self.corpus_inputs:,} ({self.corpus_bytes / 1024:.0f} KiB) | {found} |"
        )


HEAD = "| Target | Inputs | a second | Edges | Features | Minimal corpus | Faults |\n|---|---|---|---|---|---|---|"


def fuzz(target: str, *arguments: str, log: Path) -> int:
    """libFuzzer in a process of its own; its exit code."""
    command = [sys.executable, "-m", "fuzz", target, f"-timeout={INPUT_S}", f"-rss_limit_mb={MEMORY_MB}", *arguments]
    environment = {**os.environ, "PYTHONPATH": "src:tests"}
    with log.open("w") as out:
        return subprocess.run(
            command, stdout=out, stderr=subprocess.STDOUT, cwd=TREE, env=environment, check=False
        ).returncode


def run(target: str, seconds: int) -> Run:
    folder = ROOT / target
    shutil.rmtree(folder, ignore_errors=True)
    working, minimal = folder / "working", folder / "minimal"
    seeds.write(target, working)
    corpus.unpack(target, working)
    minimal.mkdir()
    log = folder / "log"
    code = fuzz(
        target,
        f"-max_total_time={seconds}",
        f"-max_len={TARGETS[target].most_bytes}",
        f"-artifact_prefix={folder}/",
        "-print_final_stats=1",
        str(working),
        log=log,
    )
    faults = max(sum(len(list(folder.glob(kind))) for kind in FAULTS), int(code != 0))
    merged = fuzz(target, "-set_cover_merge=1", str(minimal), str(working), log=folder / "merge.log")
    sizes = [path.stat().st_size for path in minimal.iterdir()]
    text = log.read_text(errors="replace")
    edges, features = _last(r"cov: (\d+) ft: (\d+)", text)
    (inputs,) = _last(r"stat::number_of_executed_units: *(\d+)", text)
    (per_s,) = _last(r"stat::average_exec_per_sec: *(\d+)", text)
    return Run(target, inputs, per_s, edges, features, len(sizes), sum(sizes), faults + (merged != 0))


def _last(pattern: str, text: str) -> tuple[int, ...]:
    """The numbers of the last match; zeros where nothing matches, as in a run that broke off."""
    found = re.findall(pattern, text)
    if not found:
        return (0,) * re.compile(pattern).groups
    last = found[-1]
    return tuple(map(int, (last,) if isinstance(last, str) else last))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m fuzz.campaign", description=__doc__)
    parser.add_argument("targets", nargs="*", choices=[*TARGETS, []], help="default all of them")
    parser.add_argument("--seconds", type=int, default=600, help="for each target")
    parser.add_argument("--jobs", type=int, default=1, help="targets at once")
    options = parser.parse_args()
    print(HEAD, flush=True)
    failed = False
    with ThreadPoolExecutor(options.jobs) as pool:
        for done in pool.map(lambda target: run(target, options.seconds), options.targets or TARGETS):
            print(done.row, flush=True)
            if done.faults:
                failed = True
                said = (ROOT / done.target / "log").read_text(errors="replace")
                print(f"  {ROOT / done.target}: {said[-SHOWN_CHARS:]}", flush=True)
            else:
                corpus.pack(done.target, ROOT / done.target / "minimal")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
