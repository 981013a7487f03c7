"""What a stream costs that comes in: 100 of 2.5 Mbit/s over RTMP beside nginx-rtmp, over SRT beside ffmpeg.

No pushes: a server reads the streams and keeps what a push would begin with.  nginx-rtmp has the same publishers in the
same run; ffmpeg is one process for each stream, which reads it and throws it away.  CPU is that of the whole process,
the kernel's part included, between two looks.

Lines: CPU per stream at most 1.5 of nginx-rtmp's and 0.5 of ffmpeg's, and no frame lost. Exit code 1 when one does not
hold.

    python -m bench.intake [--rounds N] [--streams N] [--window-s S]      from the repository's root
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from bench.lines import Line, Results
from bench.peers.processes import cpu_s
from bench.peers.rivals import NGINX_MODULE
from bench.served import QUIET, Child, Process, Served, child, free_port, port_bound, serving, until

FRAMES_PER_S = 25.0
SETTLE_S = 6.0
NGINX = """
load_module {module};
daemon off;
worker_processes 1;
worker_rlimit_nofile 16384;
error_log {folder}/errors.log error;
pid {folder}/nginx.pid;
events {{ worker_connections 8192; }}
rtmp {{ server {{ listen 127.0.0.1:{port}; chunk_size 65536; application app {{ live on; }} }} }}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--streams", type=int, default=100)
    parser.add_argument("--window-s", type=float, default=15.0)
    parser.add_argument("--kbit-per-s", type=int, default=2500)
    parser.add_argument("--output", type=Path, help="default bench/results/intake-<commit>.json")
    options = parser.parse_args()
    results = Results("intake", options.output, **{k: v for k, v in vars(options).items() if k != "output"})
    for number in range(options.rounds):
        run = {"round": number}
        for name, measure in (
            ("nginx", _nginx),
            ("rtmp", lambda given: _ours("rtmp", given)),
            ("ffmpeg", _ffmpeg),
            ("srt", lambda given: _ours("srt", given)),
        ):
            run[name] = measure(options)
        results.add(run)
        shown = ", ".join(f"{name} {run[name]['us_per_stream_s']:.0f}" for name in ("nginx", "rtmp", "ffmpeg", "srt"))
        lost = f"{run['rtmp']['lost']:g}, {run['srt']['lost']:g}"
        print(f"us per stream and second: {shown}; frames missing: {lost}", flush=True)
    results.finish(_lines(results.all["runs"]))


def _lines(runs: list[dict[str, Any]]) -> Iterator[Line]:
    def ratio(ours: str, theirs: str) -> float:
        return statistics.median(run[ours]["us_per_stream_s"] / run[theirs]["us_per_stream_s"] for run in runs)

    yield Line("RTMP ingest : nginx-rtmp", ratio("rtmp", "nginx"), 1.5, "")
    yield Line("SRT ingest : ffmpeg", ratio("srt", "ffmpeg"), 0.5, "")
    for name in ("rtmp", "srt"):
        yield Line(f"{name}: frames lost", sum(run[name]["lost"] for run in runs), 0, "")


def _window(pids: list[int], options: argparse.Namespace, feeding: Child) -> dict[str, Any]:
    time.sleep(SETTLE_S)
    before, fed, at_s = sum(map(cpu_s, pids)), cpu_s(feeding.pid), time.monotonic()
    time.sleep(options.window_s)
    used, lasted_s = sum(map(cpu_s, pids)) - before, time.monotonic() - at_s
    return {
        "us_per_stream_s": used / lasted_s * 1e6 / options.streams,
        "cores": used / lasted_s,
        "publisher_cores": (cpu_s(feeding.pid) - fed) / lasted_s,
    }


@contextmanager
def _rtmp_publishers(port: int, options: argparse.Namespace) -> Iterator[Child]:
    command = ("--port", str(port), "--count", str(options.streams), "--kbit-per-s", str(options.kbit_per_s))
    with child(sys.executable, "-m", "bench.many_publishers", *command) as publishers:
        publishers.hear("publishing")
        yield publishers
        publishers.stop()


@contextmanager
def _srt_publishers(ports: list[int], options: argparse.Namespace) -> Iterator[Child]:
    seconds = SETTLE_S + options.window_s + 6
    command = ("--count", str(options.streams), "--seconds", str(seconds), "--kbit-per-s", str(options.kbit_per_s))
    with child(sys.executable, "-m", "bench.many_srt", *command, "--port", *map(str, ports)) as publishers:
        publishers.hear("publishing")
        yield publishers
        publishers.hear("summary")


def _ours(way: str, options: argparse.Namespace) -> dict[str, Any]:
    with ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory()))
        served = running.enter_context(serving(folder, extra=QUIET))
        feed = (
            _rtmp_publishers(served.rtmp_port, options)
            if way == "rtmp"
            else _srt_publishers([served.srt_port], options)
        )
        feeding = running.enter_context(feed)
        found = _window([served.process.pid], options, feeding)
        return found | {"lost": _frames_lost(served, options.streams)}


def _frames_lost(served: Served, streams: int) -> float:
    """By the frame rates of all videos since they began: a frame in 20 s is 0.05 of 25 a second."""
    found = 0.0
    for number in range(streams):
        status, answer = served.call("GET", f"{served.app}/streams/s-{number}")
        assert status == 200, f"stream s-{number} is not there"
        rate = answer["response"]["input"]["tracks"][0]["video"]["framerateAvg"]
        found += round(max(FRAMES_PER_S - rate, 0) * (SETTLE_S + 10))
    return found


def _nginx(options: argparse.Namespace) -> dict[str, Any]:
    with ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory()))
        port = free_port()
        config = folder / "nginx.conf"
        config.write_text(NGINX.format(module=NGINX_MODULE, folder=folder, port=port))
        command = ["nginx", "-e", "stderr", "-c", str(config), "-p", str(folder)]
        nginx = Process(command, folder / "nginx.log")
        running.callback(nginx.stop)
        until("nginx listens", lambda: port_bound(port))
        feeding = running.enter_context(_rtmp_publishers(port, options))
        return _window([nginx.pid, *_children(nginx.pid)], options, feeding)


def _children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _ffmpeg(options: argparse.Namespace) -> dict[str, Any]:
    with ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory()))
        first = 20_000
        ports = [first + number for number in range(options.streams)]
        readers = []
        for port in ports:
            url = f"srt://127.0.0.1:{port}?mode=listener"
            command = ["ffmpeg", "-v", "error", "-nostdin", "-i", url, "-map", "0", "-c", "copy", "-f", "null", "-"]
            readers.append(Process(command, folder / f"{port}.log"))
            running.callback(readers[-1].stop)
        until("all listen", lambda: all(port_bound(port) for port in ports))
        feeding = running.enter_context(_srt_publishers(ports, options))
        return _window([reader.pid for reader in readers], options, feeding)


if __name__ == "__main__":
    main()
