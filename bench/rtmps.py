"""What TLS costs: as many RTMPS pushes as RTMP pushes, one after the other, to the same receiver.

The receiver discards RTMP (discard_tcp.c); for RTMPS nginx stands before it, takes the TLS off and passes on what
comes.  Measured is the CPU time of pushcast's process for each Gbit that arrives at the receiver, in a window in which
all pushes run.  The pushes trust nginx's certificate by its fingerprint; AES-GCM, as TLS 1.3 chooses it.

Line, the median of all rounds: RTMPS costs at most twice what RTMP costs.

bench/results/rtmps-<commit>.json: ``runs`` with both figures and, for RTMPS, how long all took to push.

    python -m bench.rtmps [--rounds N] [--pushes N]      from the repository's root
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from bench.clip import live_source
from bench.lines import Line, Results
from bench.marks import between, until_media
from bench.peers.sinks import sink
from bench.served import QUIET, Certificates, Served, Use, free_port, port_bound, serving, until

MOST_RATIO = 2.0
SETTLE_S = 3.0
DEADLINE_S = 30.0
NGINX = """
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
daemon off;
master_process off;
worker_processes 1;
worker_rlimit_nofile 16384;
error_log stderr crit;
pid {folder}/nginx.pid;
events {{ worker_connections 8192; }}
stream {{ server {{
  listen 127.0.0.1:{secure} ssl backlog=1024; proxy_pass 127.0.0.1:{plain};
  ssl_certificate {cert}; ssl_certificate_key {key}; ssl_protocols TLSv1.3; ssl_session_cache off;
}} }}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pushes", type=int, default=200)
    parser.add_argument("--window-s", type=float, default=5.0)
    parser.add_argument("--output", type=Path, help="default bench/results/rtmps-<commit>.json")
    options = parser.parse_args()
    results = Results("rtmps", options.output, pushes=options.pushes, window_s=options.window_s)
    for number in range(options.rounds):
        run: dict[str, Any] = {"round": number}
        for scheme in ("rtmp", "rtmps"):
            run[scheme] = measure(scheme, options.pushes, options.window_s)
        run["ratio"] = run["rtmps"]["ms_per_gbit"] / run["rtmp"]["ms_per_gbit"]
        results.add(run)
        figures = ", ".join(f"{scheme} {run[scheme]['ms_per_gbit']:.1f} ms/Gbit" for scheme in ("rtmp", "rtmps"))
        started = run["rtmps"]["pushing_s"]
        print(f"{figures}, ratio {run['ratio']:.3f}; RTMPS all pushing after {started:.2f} s", flush=True)
    ratio = statistics.median(run["ratio"] for run in results.all["runs"])
    results.finish([Line(f"CPU per Gbit of {options.pushes} RTMPS pushes : RTMP pushes", ratio, MOST_RATIO, "")])


def measure(scheme: str, count: int, window_s: float) -> dict[str, float]:
    """CPU per Gbit and the longest silence of a receiver, with so many pushes."""
    with ExitStack() as running:
        folder = Path(running.enter_context(tempfile.TemporaryDirectory()))
        receiver = running.enter_context(sink("rtmp", count, plain=False))
        port, tls = receiver.ports[0], None
        if scheme == "rtmps":
            port, fingerprint = running.enter_context(_nginx(folder, port))
            tls = {"fingerprint": fingerprint}
        served = running.enter_context(serving(folder, sources=QUIET + live_source()))
        served.until_stream()
        began_s = time.monotonic()
        _start(served, f"{scheme}://127.0.0.1:{port}/in", count, tls)
        until("all are pushing", lambda: all(push["state"] == "pushing" for push in served.pushes()))
        pushing_s = time.monotonic() - began_s
        until_media(receiver, count, DEADLINE_S)
        time.sleep(SETTLE_S)
        first, before = receiver.mark(), Use.of(served.process.pid)
        time.sleep(window_s)
        last, after = receiver.mark(), Use.of(served.process.pid)
        cores = sum(after.since(before, served.process.pid))
        gbit = (last.total_bytes - first.total_bytes) * 8e-9
        received = between(first, last)
        return {
            "ms_per_gbit": cores * (after.at_s - before.at_s) * 1000 / gbit,
            "least_mbps": received["least_mbps"],
            "longest_gap_ms": received["longest_gap_ms"],
            "pushing_s": pushing_s,
            "dirty_kib": after.dirty_bytes / 1024,
        }


def _start(served: Served, url: str, count: int, tls: dict[str, str] | None) -> None:
    pushes = [
        {
            "id": f"push-{number}",
            "stream": {"name": "live"},
            "protocol": "rtmp",
            "url": url,
            "streamKey": f"key-{number}",
        }
        | ({"tls": tls} if tls else {})
        for number in range(count)
    ]
    status, answer = served.call("POST", f"{Served.app}:startPushes", {"pushes": pushes})
    assert status == 207, answer
    assert all(each["statusCode"] == 200 for each in answer["response"]), answer


@contextmanager
def _nginx(folder: Path, plain: int) -> Iterator[tuple[int, str]]:
    """(port, fingerprint of its certificate) of an nginx that takes TLS off."""
    shown = Certificates(folder).self_signed("shown")
    secure = free_port()
    config = folder / "nginx.conf"
    config.write_text(NGINX.format(folder=folder, secure=secure, plain=plain, cert=shown.cert, key=shown.key))
    with subprocess.Popen(["nginx", "-e", "stderr", "-c", str(config), "-p", str(folder)]) as process:
        try:
            until("nginx listens", lambda: port_bound(secure))
            yield secure, shown.fingerprint
        finally:
            process.terminate()


if __name__ == "__main__":
    main()
