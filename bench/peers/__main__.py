"""`make bench-peers`: see the package's docstring for what is compared and what the file of results holds."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bench import facts
from bench.build import ROOT

# The tree's own pushcast and bench, for the children too.
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), str(ROOT / "src"), os.environ.get("PYTHONPATH")]))
sys.path.append(str(ROOT / "src"))

from bench.clip import clip_path, read_clip
from bench.peers import plan, report, rivals
from bench.peers.clips import Rates, rates, traces
from bench.peers.ours import Engine, Floor, Pushcast
from bench.peers.participant import START_LIMIT_S, Participant
from bench.peers.plan import Turn, Wanted
from bench.peers.run import lasts_s, measure

MOST_S = 75 * 60.0  # no disturbed run is repeated after that
CLIP = "720p25 H.264 2.5 Mbit/s, keyframe each second, AAC 128 kbit/s, 10 s looped"


def main() -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what was started is ended then, too
    wanted, output, again = _options()
    todo = list(plan.turns(wanted))
    now = {
        "commit": facts.commit(),
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "machine": facts.machine(),
        "options": plan.as_options(wanted),
    }
    if again is not None:
        result = measured_again(json.loads(again.read_text()), now, todo)
    else:
        result = {
            **now,
            "versions": rivals.versions(),
            "clip": CLIP,
            "limits": plan.shortened(wanted),
            "again": [],
            "runs": [],
        }
    output = output or again or ROOT / "bench" / "results" / f"peers-{result['commit']}.json"
    minutes = sum(plan.expected_s(turn, wanted.window_s) for turn in todo) / 60
    print(f"commit {now['commit']}  {json.dumps(now['machine'])}")
    for limit in result["limits"]:
        print("  {protocol} {participant} N={destinations}: {rounds} rounds; {why}".format(**limit))
    print(f"{len(todo)} runs, about {minutes:.0f} min and what disturbed runs take again", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        try:
            _run_all(todo, wanted, result, output, Path(folder))
        except KeyboardInterrupt:
            print("interrupted", flush=True)
    if result["runs"]:
        print("\n" + report.text(result["summary"]))
        print(f"\nkept in {os.path.relpath(output, ROOT)}")


def measured_again(earlier: dict[str, Any], now: dict[str, Any], todo: list[Turn]) -> dict[str, Any]:
    """An earlier result without the runs that are made anew, and a note of that, instead of one that says the same."""
    anew = {(turn.protocol, turn.participant, turn.destinations) for turn in todo}
    kept = [run for run in earlier["runs"] if (run["protocol"], run["participant"], run["destinations"]) not in anew]
    now = json.loads(json.dumps(now))  # as what was kept looks
    notes = [note for note in earlier.get("again", ()) if note["options"] != now["options"]]
    return {**earlier, "again": [*notes, now], "runs": kept}


def _options() -> tuple[Wanted, Path | None, Path | None]:
    parser = argparse.ArgumentParser(prog="python -m bench.peers", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="one round, 50 destinations, windows of 5 s")
    parser.add_argument("--rounds", type=int, help="default 5 (quick: 1)")
    parser.add_argument("--window-s", type=float, help="default 6 (quick: 5)")
    parser.add_argument("--protocols", default=",".join(plan.ORDER))
    parser.add_argument("--destinations", help="default 1,50,200,400,1000 (quick: 50)")
    parser.add_argument("--participants", default="", help="by name, or pushcast, engine, floor; default all")
    parser.add_argument("--output", type=Path, help="default bench/results/peers-<commit>.json")
    parser.add_argument("--again", type=Path, help="a file of results whose runs of these participants are replaced")
    options = parser.parse_args()
    usual = plan.QUICK_DESTINATIONS if options.quick else plan.DESTINATIONS
    known = {name for names in plan.ORDER.values() for name in names}
    participants = tuple(filter(None, options.participants.split(",")))
    for name in participants:
        if name not in known | {each.partition("-")[0] for each in known}:
            parser.error(f"--participants: found '{name}', allowed: {', '.join(sorted(known))}")
    return (
        Wanted(
            protocols=tuple(options.protocols.split(",")),
            destinations=tuple(map(int, options.destinations.split(","))) if options.destinations else usual,
            participants=participants,
            rounds=options.rounds or (1 if options.quick else 5),
            window_s=options.window_s or (5.0 if options.quick else 6.0),
        ),
        options.output,
        options.again,
    )


def _run_all(todo: list[Turn], wanted: Wanted, result: dict[str, Any], output: Path, folder: Path) -> None:
    """Every turn, then the disturbed ones once more; the file is written after each."""
    known = _rates(folder)
    result["nominal_bytes_per_s"] = {name: round(rate) for name, rate in known.bytes_per_s.items()}
    participants = _participants(traces(folder, lasts_s(START_LIMIT_S, wanted.window_s) + 1))
    began = time.monotonic()
    kept = len(result["runs"])
    for number, turn in enumerate(_with_repetitions(todo, result["runs"], kept), 1):
        if turn.repeat and time.monotonic() - began > MOST_S:
            print("the rest of the disturbed runs is not repeated: the time is over", flush=True)
            break
        run = measure(turn, participants[plan.wire(turn.protocol), turn.participant], known, wanted.window_s)
        result["runs"].append(run)
        result["summary"] = report.summary(result["runs"])
        _write(result, output)
        done_min = (time.monotonic() - began) / 60
        print(f"{done_min:5.1f} min {number:3}/{len(todo)}  {_line(run)}", flush=True)


def _with_repetitions(todo: list[Turn], runs: list[dict[str, Any]], kept: int) -> Iterator[Turn]:
    yield from todo
    for run in [run for run in runs[kept:] if run["disturbed"]]:
        yield Turn(run["protocol"], run["participant"], run["destinations"], run["round"], repeat=True)


def _participants(floor_traces: dict[str, Path]) -> dict[tuple[str, str], Participant]:
    intervals = [("rtmp", 40), ("rtmp", 200), ("udp", 20), ("srt", 20)]
    everybody: list[Participant] = [
        *(rivals.NginxRtmp(), rivals.GStreamer(), rivals.FfmpegTee(), rivals.FfmpegEach()),
        *(Pushcast(protocol, interval_ms) for protocol, interval_ms in intervals),
        *(Engine(protocol, interval_ms) for protocol, interval_ms in intervals),
        *(Floor(protocol, interval_ms, floor_traces) for protocol, interval_ms in intervals),
    ]
    return {(protocol, each.name): each for each in everybody for protocol in each.protocols}


def _rates(folder: Path) -> Rates:
    file = folder / "gstreamer.ts"
    command = rivals.gst_command("filesink", f"location={file}")
    return rates(read_clip(clip_path()), command, file)


def _write(result: dict[str, Any], output: Path) -> None:
    output.parent.mkdir(parents=True, exist_ok=True)
    fresh = output.with_suffix(".new")
    fresh.write_text(json.dumps(result, indent=1) + "\n")
    fresh.replace(output)


def _line(run: dict[str, Any]) -> str:
    per_gbit = run["cpu_ms_per_gbit"]
    return (
        f"{run['protocol']} N={run['destinations']:<4} {run['participant']:12}"
        f" {'-' if per_gbit is None else format(per_gbit, '.1f'):>7} ms/Gbit, {run['cores']:.3f} cores,"
        f" {run['full_rate']}/{run['destinations']} at full rate, last start {run['start_last_s']} s,"
        f" gap {run['gap_ms']:.0f} ms, other {run['other_cores']:.2f}"
        f"{'' if run['settled'] else ', catching up'}{', '.join(['', *run['errors']])}"
    )


if __name__ == "__main__":
    main()
