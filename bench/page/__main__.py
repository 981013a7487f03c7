"""`make bench-page`: see the package's docstring."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from bench.build import ROOT
from bench.page import plots, words
from bench.page.accepted import judged
from bench.page.files import BENCHES, Sources, named, newest
from bench.page.tables import counted


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.page", description=__doc__)
    for kind in BENCHES:
        parser.add_argument(f"--{kind}", type=Path, metavar="FILE", help="default the newest in --results")
    parser.add_argument("--results", type=Path, default=ROOT / "bench" / "results", metavar="FOLDER")
    parser.add_argument("--output", type=Path, default=ROOT / "docs", metavar="FOLDER")
    options = parser.parse_args()
    sources: Sources = newest(options.results)
    for kind in BENCHES:
        path = getattr(options, kind)
        try:
            sources |= {kind: named(kind, path)} if path else {}
        except (OSError, ValueError, json.JSONDecodeError) as error:
            parser.error(f"--{kind}: {error}")
    if not sources:
        parser.error(f"no results in {options.results.name}: {', '.join(BENCHES.values())}")
    for kind, command in BENCHES.items():
        found = sources.get(kind)
        print(f"{kind:8} {found.name if found else f'MISSING, its sections are left out: {command}'}")
    plots.draw(sources, options.output / "performance")
    (options.output / "performance.md").write_text(words.page(sources))
    print(counted(judged(sources)))
    print(f"written: {options.output.name}/performance.md and the plots in performance beside it")


if __name__ == "__main__":
    main()
