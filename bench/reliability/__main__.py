"""`make bench-reliability`: all troubles, one after another; see the package's docstring.

bench/results/reliability-<commit>.json: ``runs``, and the lines of bench/reliability/verdict.py.  docs/reliability.md
is written from it, also when a line does not hold.  Needs root.

    python -m bench.reliability [--rounds N] [--others N] [--only NAME ..]      from the repository's root
    python -m bench.reliability --page FILE                                     the page alone, from a result file
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from pathlib import Path
from types import FrameType

from bench.build import ROOT
from bench.lines import Results
from bench.reliability.network import leave_the_machine
from bench.reliability.page import page
from bench.reliability.run import measure
from bench.reliability.troubles import TROUBLES, Trouble
from bench.reliability.verdict import Run, lines, of_others

# Beside a gap that is too long the machine may have been busy: then the median of this run and so many more counts.
AGAIN = 2
PAGE = ROOT / "docs" / "reliability.md"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--others", type=int, default=100, help="pushes beside the troubled ones")
    parser.add_argument("--only", action="append", metavar="NAME", choices=[trouble.name for trouble in TROUBLES])
    parser.add_argument("--output", type=Path, help="default bench/results/reliability-<commit>.json, and the page")
    parser.add_argument("--page", type=Path, metavar="FILE", help="only write the page, from these results")
    options = parser.parse_args()
    if options.page is not None:
        write_page(options.page)
        return
    signal.signal(signal.SIGTERM, _end)
    try:
        leave_the_machine()
    except PermissionError as error:
        parser.error(str(error))
    results = Results("reliability", options.output, rounds=options.rounds, others=options.others)
    chosen = [trouble for trouble in TROUBLES if not options.only or trouble.name in options.only]
    for number in range(options.rounds):
        for trouble in chosen:
            first = _measured(results, number, trouble, options.others)
            if not all(line.holds for line in of_others(trouble, [first])):
                for _ in range(AGAIN):
                    _measured(results, number, trouble, options.others)
    try:
        results.finish(lines(results.all["runs"]))
    finally:
        if options.output is None and not options.only:
            write_page(results.path)


def _measured(results: Results, number: int, trouble: Trouble, others: int) -> Run:
    began_s = time.monotonic()
    run = measure(trouble, others)
    took_s = time.monotonic() - began_s
    results.add({"round": number, "took_s": round(took_s, 1), **run})
    print(f"{trouble.name}, {took_s:.0f} s: {_said(run)}", flush=True)
    return run


def write_page(results: Path) -> None:
    PAGE.write_text(page(json.loads(results.read_text()), results.name))
    print(f"written: {PAGE.relative_to(ROOT)}")


def _said(run: Run) -> str:
    return "; ".join(
        f"{name} told {push['told_s']} {push['told']}, healed {push['healed_s']}, lacks {push['lost_bytes']}"
        for name, push in run["pushes"].items()
    )


def _end(number: int, frame: FrameType | None) -> None:
    """What was started ends with the blocks that started it."""
    sys.exit(128 + number)


if __name__ == "__main__":
    main()
