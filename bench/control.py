"""The control path: storms of starts, and the API beside running pushes, in the whole product.

A storm is so many :startPush calls to live destinations while somebody else asks the API 50 times a second, on a
connection of their own (starts.py).  Then wrk asks as fast as it can, with one push and with hundreds, in turns
(api_load.py).

Lines, on the medians of all rounds: all starts are pushing within 3 s, others' answers take at most 20 ms (p99 of all
rounds' probes together), with the pushes running the API answers at least 0.8 of what it does without, and no receiver
then waits longer than three 40 ms turns.  Exit code 1 when one does not hold.

bench/results/control-<commit>.json: ``runs`` with a ``kind`` each, "storm" as starts.measure and "api" as
api_load.measure return them.

    python -m bench.control [--rounds N] [--only storm|api]      from the repository's root
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path
from typing import Any

import numpy as np

from bench import api_load, starts
from bench.lines import Line, Results

PUSHING_S = 3.0
ANSWER_MS = 20.0
LEAST_RATIO = 0.8
GAP_MS = 3 * 40.0
MIXES = (("rtmp",), ("rtmp", "udp"), ("rtmp", "udp", "srt"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--starts", type=int, default=1000)
    parser.add_argument("--connections", type=int, default=16, help="over which the starts are called")
    parser.add_argument("--mixes", default=",".join("+".join(mix) for mix in MIXES))
    parser.add_argument("--pushes", type=int, default=400, help="that run beside the API")
    parser.add_argument("--wrk-s", type=float, default=10.0)
    parser.add_argument("--only", choices=("storm", "api"))
    parser.add_argument("--output", type=Path, help="default bench/results/control-<commit>.json")
    options = parser.parse_args()
    results = Results("control", options.output, **{k: v for k, v in vars(options).items() if k != "output"})
    lines: list[Line] = []
    if options.only != "api":
        mixes = [tuple(mix.split("+")) for mix in options.mixes.split(",")]
        for number in range(options.rounds):
            for mix in mixes:
                run = starts.measure(options.starts, mix, options.connections)
                results.add({"kind": "storm", "round": number, **run})
                _print_storm(run)
        lines += _storm_lines(results.all["runs"])
    if options.only != "storm":
        for number, run in enumerate(api_load.measure(options.pushes, options.wrk_s, options.rounds)):
            results.add({"kind": "api", "round": number, **run})
            _print_api(run)
        lines += _api_lines([run for run in results.all["runs"] if run["kind"] == "api"])
    results.finish(lines)


def _print_storm(run: dict[str, Any]) -> None:
    idle, busy, after = run["idle"], run["meanwhile"], run["afterwards"].values()
    print(
        f"{run['starts']} starts {run['protocols']}, {run['connections']} connections: answered after"
        f" {run['answered_s']:.2f} s (slowest {run['slowest_answer_ms']:.0f} ms), media everywhere after"
        f" {max(run['last_media_s'].values()):.2f} s, all pushing after {run['pushing_s']:.2f} s"
        f" (listing them {run['listing_ms']:.0f} ms);\n"
        f"    others wait p50 {busy['p50_ms']:.1f}, p99 {busy['p99_ms']:.1f}, max {busy['max_ms']:.1f} ms in"
        f" {busy['probes']} probes (before: {idle['p50_ms']:.1f}, {idle['p99_ms']:.1f}, {idle['max_ms']:.1f});"
        f" main thread {run['main_thread_cores']:.2f} cores (without one for {run['main_thread_waited_s']:.2f} s),"
        f" others {run['other_threads_cores']:.2f}, strangers {run['strangers_cores']:.2f};"
        f" then {min(got['least_mbps'] for got in after):.2f} Mbit/s at the least, longest gap"
        f" {max(got['longest_gap_ms'] for got in after):.0f} ms",
        flush=True,
    )


def _print_api(run: dict[str, Any]) -> None:
    for name, ratio in run["ratio"].items():
        idle, busy = run["idle"][name], run["busy"][name]
        print(
            f"{name}: {idle['per_s']:.0f}/s (p99 {idle['p99_ms']:.1f} ms), with {run['pushes']} pushes"
            f" {busy['per_s']:.0f}/s (p99 {busy['p99_ms']:.1f} ms), ratio {ratio:.3f}"
        )
    got = run["received"]
    print(
        f"    {got['destinations']} receivers: {got['least_mbps']:.2f} Mbit/s at the least, longest gap"
        f" {got['longest_gap_ms']:.0f} ms; main thread {run['main_thread_cores']:.2f} cores,"
        f" others {run['other_threads_cores']:.2f}, strangers {run['strangers_cores']['idle']:.2f} idle,"
        f" {run['strangers_cores']['busy']:.2f} busy",
        flush=True,
    )


def _storm_lines(runs: list[dict[str, Any]]) -> list[Line]:
    lines = []
    for mix in dict.fromkeys(run["protocols"] for run in runs):
        those = [run for run in runs if run["protocols"] == mix]
        name = f"{those[0]['starts']} starts {mix}"
        pushing_s = statistics.median(run["pushing_s"] for run in those)
        lines.append(Line(f"{name}, all pushing", pushing_s, PUSHING_S, "s"))
        waits = [ms for run in those for ms in run["meanwhile"]["took_ms"]]
        p99 = float(np.percentile(waits, 99)) if waits else float("nan")
        lines.append(Line(f"{name}, others' answers p99", p99, ANSWER_MS, "ms"))
    return lines


def _api_lines(runs: list[dict[str, Any]]) -> list[Line]:
    lines = []
    for name in runs[0]["ratio"]:
        ratio = statistics.median(run["ratio"][name] for run in runs)
        lines.append(Line(f"{name} with {runs[0]['pushes']} pushes : idle", ratio, LEAST_RATIO, "", at_least=True))
    gap = statistics.median(run["received"]["longest_gap_ms"] for run in runs)
    lines.append(Line("longest gap of a push meanwhile", gap, GAP_MS, "ms"))
    return lines


if __name__ == "__main__":
    main()
