"""The whole product: `pushcast serve` with a looped file source and N pushes made over its REST API.

The figure is the CPU time of the server process in the window, less what it used in an equal window with the source
running and no push.  So it holds everything a destination costs beyond the source: muxing, ring, sender, watching the
peer, counters, the loop.
"""

from __future__ import annotations

import base64
import http.client
import json
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.clip import clip_path
from bench.receivers import Receiver, discard, receiver

TICK_MS = {"udp": 20, "tcp": 40, "srt": 20}
API_PROTOCOL = {"udp": "mpegts", "tcp": "rtmp", "srt": "srt"}
START_S = 20
APP = "/v1/vhosts/default/apps/app"
STREAM = "clip"


class Api:
    """The server's REST API, with its token."""

    def __init__(self, port: int, token: str) -> None:
        self._port = port
        self._headers = {"Authorization": "Basic " + base64.b64encode(token.encode()).decode()}

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """The ``response`` member of the answer; RuntimeError for any status but 200."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        try:
            connection.request(method, path, None if body is None else json.dumps(body), self._headers)
            answer = connection.getresponse()
            data = answer.read()
        finally:
            connection.close()
        if answer.status != 200:
            raise RuntimeError(f"{method} {path}: {answer.status} {data[:200].decode(errors='replace')}")
        return json.loads(data).get("response")


def measure(protocol: str, count: int, warm_s: float, window_s: float) -> dict[str, Any]:
    """Figures of one protocol with one number of destinations, and the receiver's verdict."""
    with _receiver(protocol) as sink, _server() as (process, api):
        idle_s = _cpu_in_window(process, window_s)
        first_post = time.monotonic()
        for index in range(count):
            api.ask("POST", f"{APP}:startPush", _push(protocol, index, sink.ports))
        _wait(lambda: _pushing(api) == count, f"{count} pushes of {protocol} in state pushing")
        ready_s = time.monotonic() - first_post
        time.sleep(warm_s)
        busy_s = _cpu_in_window(process, window_s)
        pushing = _pushing(api)
        for index in range(count):
            api.ask("POST", f"{APP}:stopPush", {"id": f"bench-{index}"})
        _wait(lambda: not api.ask("POST", f"{APP}:pushes", {}), "no pushes left")
    ticks = count * window_s * 1000 / TICK_MS[protocol]
    return {
        "program": f"server_{protocol}",
        "destinations": count,
        "window_s": window_s,
        "idle_cpu_s": round(idle_s, 4),
        "cpu_s": round(busy_s, 4),
        "us_per_dest_tick": round((busy_s - idle_s) * 1e6 / ticks, 3),
        "all_pushing_after_s": round(ready_s, 2),
        "pushing_at_the_end": pushing,
        "receiver": sink.summary,
    }


def _push(protocol: str, index: int, ports: list[int]) -> dict[str, Any]:
    port = ports[index % len(ports)]
    url = {"udp": f"udp://127.0.0.1:{port}", "srt": f"srt://127.0.0.1:{port}", "tcp": f"rtmp://127.0.0.1:{port}/bench"}
    key = f"stream-{index}" if protocol == "tcp" else ""
    push = {"id": f"bench-{index}", "stream": {"name": STREAM}, "protocol": API_PROTOCOL[protocol]}
    return {**push, "url": url[protocol], "streamKey": key}


@contextmanager
def _receiver(protocol: str) -> Iterator[Receiver]:
    """RTMP needs a peer that answers; the product's own verifying sink is one."""
    if protocol != "tcp":
        with discard(protocol) as sink:
            yield sink
        return
    with receiver([sys.executable, "-m", "pushcast", "sink", "rtmp", "--port", "0", "--json"]) as sink:
        yield sink
    senders = sink.summary.pop("senders")
    sink.summary.update(
        senders=len(senders),
        bytes=sum(sender["bytes"] for sender in senders),
        longest_gap_ms=max((sender["longest_gap_ms"] for sender in senders), default=0),
        slowest_mbps=min((sender["mbps"] for sender in senders), default=0),
    )


@contextmanager
def _server() -> Iterator[tuple[subprocess.Popen[bytes], Api]]:
    """A server with the clip as a looped source, live."""
    token, port = secrets.token_urlsafe(12), _free_port()
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "pushcast.toml"
        config.write_text(
            f'[api]\nhost = "127.0.0.1"\nport = {port}\naccess_token = "{token}"\n'
            f'[rtmp]\nhost = "127.0.0.1"\nport = {_free_port()}\n[srt]\nport = 0\n'
            f'[state]\npath = "{folder}/state"\n[log]\nlevel = "WARNING"\n'
            '[[vhosts]]\nname = "default"\n[[vhosts.apps]]\nname = "app"\n'
            f'[[sources]]\nvhost = "default"\napp = "app"\nname = "{STREAM}"\nurl = "{clip_path().as_uri()}?loop=1"\n'
        )
        process = subprocess.Popen([sys.executable, "-m", "pushcast", "serve", "--config", str(config)])
        try:
            api = Api(port, token)
            _wait(lambda: process.poll() is not None or STREAM in _streams(api), "the server's stream")
            if process.poll() is not None:
                raise RuntimeError(f"pushcast serve ended with {process.returncode}")
            yield process, api
        finally:
            process.terminate()
            try:
                process.wait(START_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _streams(api: Api) -> list[str]:
    try:
        return api.ask("GET", f"{APP}/streams") or []
    except OSError:  # it does not listen yet
        return []


def _pushing(api: Api) -> int:
    return sum(push["state"] == "pushing" for push in api.ask("POST", f"{APP}:pushes", {}))


def _cpu_in_window(process: subprocess.Popen[bytes], window_s: float) -> float:
    """CPU time of the process, all threads; its clock's id is made of the process id (clock_getcpuclockid(3))."""
    clock = (~process.pid << 3) | 2
    start = time.clock_gettime(clock)
    time.sleep(window_s)
    return time.clock_gettime(clock) - start


def _wait(done: Callable[[], object], what: str) -> None:
    start = time.monotonic()
    while not done():
        if time.monotonic() - start > START_S:
            raise TimeoutError(f"{what}: not within {START_S} s")
        time.sleep(0.05)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
