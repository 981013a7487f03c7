"""All benches in one run: muxing, then fan-out of raw loops and engine in turns, then the whole server.

Each round runs floor and engine one right after the other, so that both see the same machine; the ratio of a round is
engine / floor, and what is reported is the median over rounds, with the lowest and the highest.  Nothing is thrown
away: the file holds every run.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from bench import build, facts, fanout_server, mux
from bench.clip import Clip, clip_path, muxed, read_clip, write_trace
from bench.receivers import discard

RESULTS = build.ROOT / "bench" / "results"
PROTOCOLS = ("udp", "tcp", "srt")
CONTAINERS = {"udp": "mpegts", "tcp": "rtmp", "srt": "mpegts"}
WARM_S = 2
END_S = 60  # to connect, drain and report
NAMES = {"udp": "MPEG-TS/UDP", "tcp": "RTMP (TCP)", "srt": "SRT"}


def main() -> None:
    parser = argparse.ArgumentParser(prog="bench/run.py", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="5 s windows, 100 destinations, one round")
    parser.add_argument("--protocols", default=",".join(PROTOCOLS))
    parser.add_argument("--destinations", help="numbers with commas between; default 100,400 (quick: 100)")
    parser.add_argument("--rounds", type=int, help="default 3 (quick: 1)")
    parser.add_argument("--window-s", type=float, help="default 15 (quick: 5)")
    parser.add_argument("--no-server", action="store_true", help="leave the whole server out")
    parser.add_argument("--output", type=Path, help="default bench/results/<commit>.json")
    options = parser.parse_args()
    window_s = options.window_s or (5.0 if options.quick else 15.0)
    rounds = options.rounds or (1 if options.quick else 3)
    counts = [int(count) for count in (options.destinations or ("100" if options.quick else "100,400")).split(",")]
    protocols = options.protocols.split(",")
    result: dict[str, Any] = {
        "commit": facts.commit(),
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "machine": facts.machine(),
        "clip": "720p25 H.264 2.5 Mbit/s, keyframe each second, AAC 128 kbit/s, looped",
        "window_s": window_s,
        "rounds": rounds,
    }
    print(f"commit {result['commit']}  {json.dumps(result['machine'])}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        clip = read_clip(clip_path())
        result["mux"] = mux.measure(clip)
        print(mux.report(result["mux"]), end="\n\n")
        _print_comparison_head()
        traces = _write_traces(clip, Path(folder), WARM_S + window_s)
        result["fanout"] = [
            _compare(protocol, count, traces[CONTAINERS[protocol]], window_s, rounds, clip)
            for protocol in protocols
            for count in counts
        ]
    if not options.no_server:
        result["server"] = []
        for protocol in protocols:
            for count in counts:
                figures = fanout_server.measure(protocol, count, WARM_S, window_s)
                result["server"].append(figures)
                _print_server(figures)
    result["machine_load_at_end"] = facts.machine()["load"]
    output = options.output or RESULTS / f"{result['commit']}.json"
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(result, indent=1) + "\n")
    print(f"kept in {os.path.relpath(output, build.ROOT)}; load at the end {result['machine_load_at_end']}")


def _write_traces(clip: Clip, folder: Path, seconds: float) -> dict[str, Path]:
    """The engine's own container bytes, for the raw loops."""
    traces = {container: folder / f"{container}.trace" for container in set(CONTAINERS.values())}
    for container, path in traces.items():
        write_trace(path, muxed(clip, container, seconds))
    return traces


def _compare(protocol: str, count: int, trace: Path, window_s: float, rounds: int, clip: Clip) -> dict[str, Any]:
    """Floor and engine in turns; medians, ratios, every run."""
    runs: list[dict[str, Any]] = []
    for _ in range(rounds):
        runs.append(_run(_raw_command(protocol, trace, clip), protocol, count, window_s))
        runs.append(_run(_engine_command(protocol), protocol, count, window_s))
    floors, engines = runs[::2], runs[1::2]
    ratios = [engine["cpu_s"] / floor["cpu_s"] for floor, engine in zip(floors, engines, strict=True)]
    sender_ratios = [
        (engine["cpu_s"] - engine["threads_s"].get("MainThread", 0)) / floor["cpu_s"]
        for floor, engine in zip(floors, engines, strict=True)
    ]
    compared = {
        "protocol": protocol,
        "destinations": count,
        "floor_us_per_dest_tick": _median(floors, "us_per_dest_tick"),
        "engine_us_per_dest_tick": _median(engines, "us_per_dest_tick"),
        "floor_us_per_datagram": _median(floors, "us_per_datagram"),
        "engine_us_per_datagram": _median(engines, "us_per_datagram"),
        "ratio": round(statistics.median(ratios), 3),
        "ratio_low": round(min(ratios), 3),
        "ratio_high": round(max(ratios), 3),
        "ratio_without_source": round(statistics.median(sender_ratios), 3),
        "floor_gap_ms": max(run["longest_gap_ms"] for run in floors),
        "engine_gap_ms": max(run["longest_gap_ms"] for run in engines),
        "verdicts": sorted({verdict for run in runs for verdict in run["verdict"]}) or ["all bytes arrived"],
        "runs": runs,
    }
    _print_comparison(compared)
    return compared


def _raw_command(protocol: str, trace: Path, clip: Clip) -> list[str]:
    command = [str(build.program(f"raw_{protocol}")), "--trace", str(trace)]
    if protocol == "srt":
        from pushcast.egress.multiplexer import MAX_SOCKETS
        from pushcast.egress.srt import sender_buffers

        bytes_per_s = sum(len(frame.data) for frame in clip.frames) * 90000 // clip.lap_ticks
        buffers = sender_buffers(bytes_per_s, 120, 1316)
        command += ["--fc", str(buffers["fc"]), "--send-buffer", str(buffers["sndbuf"])]
        command += ["--receive-buffer", str(buffers["rcvbuf"]), "--udp-send-buffer", str(buffers["udp_sndbuf"])]
        command += ["--udp-receive-buffer", str(buffers["udp_rcvbuf"]), "--sockets-per-port", str(MAX_SOCKETS)]
    return command


def _engine_command(protocol: str) -> list[str]:
    return [sys.executable, "-m", "bench.fanout_engine", "--protocol", protocol]


def _run(command: list[str], protocol: str, count: int, window_s: float) -> dict[str, Any]:
    """One sender against a fresh receiver, with the receiver's view and what is wrong by it."""
    with discard(protocol) as sink:
        arguments = ["--ports", ",".join(map(str, sink.ports)), "--destinations", str(count)]
        arguments += ["--warm-s", str(WARM_S), "--window-s", str(window_s)]
        answer = subprocess.run(
            [*command, *arguments],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            cwd=build.ROOT,
            timeout=WARM_S + window_s + END_S,
        )
    figures: dict[str, Any] = json.loads(answer.stdout)
    figures["receiver"] = sink.summary
    figures["verdict"] = _verdict(figures, sink.summary, count)
    return figures


def _verdict(sent: dict[str, Any], got: dict[str, Any], count: int) -> list[str]:
    """What sender and receiver do not agree on; empty when all is well."""
    wrong = []
    if got["senders"] != count:
        wrong.append(f"{got['senders']} of {count} senders arrived")
    if got["bytes"] != sent["total_bytes"]:
        wrong.append(f"{sent['program']}: {sent['total_bytes'] - got['bytes']} of {sent['total_bytes']} bytes missing")
    for figures, name in (
        (got, "lost"),
        (got, "again"),
        (got, "malformed"),
        (sent, "srt_dropped"),
        (sent, "srt_broken"),
    ):
        if figures.get(name):
            wrong.append(f"{sent['program']}: {name} {figures[name]}")
    for name in ("jumps", "damaged", "refused", "losses"):
        if sent.get(name):
            wrong.append(f"{sent['program']}: {name} {sent[name]}")
    return wrong


def _median(runs: list[dict[str, Any]], name: str) -> float:
    return round(float(statistics.median(run[name] for run in runs)), 3)


def _print_comparison_head() -> None:
    print(f"{'':12}{'N':>5} | us per dest, tick  | ratio  low  high | sender only | longest gap ms  | receivers say")
    print(f"{'':12}{'':>5} | {'floor':>8}{'engine':>10} |{'':18} |{'':12} | floor   engine  |", flush=True)


def _print_comparison(c: dict[str, Any]) -> None:
    print(
        f"{NAMES[c['protocol']]:12}{c['destinations']:5} | {c['floor_us_per_dest_tick']:8.2f}"
        f"{c['engine_us_per_dest_tick']:10.2f} |  {c['ratio']:.2f}  {c['ratio_low']:.2f}  {c['ratio_high']:.2f} |"
        f" {c['ratio_without_source']:11.2f} | {c['floor_gap_ms']:5.0f} {c['engine_gap_ms']:8.0f}  |"
        f" {'; '.join(c['verdicts'])}",
        flush=True,
    )


def _print_server(f: dict[str, Any]) -> None:
    got = f["receiver"]
    print(
        f"server {f['program'][7:]:4} N={f['destinations']:4}: {f['us_per_dest_tick']:.2f} us per destination and tick,"
        f" CPU {f['cpu_s']:.2f} s of {f['window_s']:.0f} s (without pushes {f['idle_cpu_s']:.2f} s),"
        f" {f['pushing_at_the_end']} pushing, all within {f['all_pushing_after_s']} s of the first request;"
        f" receiver: {got['senders']} senders, longest gap {got['longest_gap_ms']:.0f} ms,"
        f" lost {got.get('lost', got.get('errors', 0))}",
        flush=True,
    )


if __name__ == "__main__":
    main()
