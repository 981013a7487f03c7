"""pushcast as it is shipped, its engine without the server, and the bare loops that are the floor of both."""

from __future__ import annotations

import secrets
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bench import build
from bench.clip import clip_path, read_clip
from bench.fanout_server import APP, STREAM, Api
from bench.peers.participant import Job, Participant, Running, ended, lines, processes, wait_until
from bench.peers.rivals import free_port, listens, publisher

FLOORS = {"rtmp": "tcp", "udp": "udp", "srt": "srt"}
SETTINGS = {"rtmp": "tcp_ms", "udp": "udp_ms", "srt": "srt_ms"}
API_PROTOCOLS = {"rtmp": "rtmp", "udp": "mpegts", "srt": "srt"}
SRT_LATENCY_MS = 120
DATAGRAM_BYTES = 1316


CONFIG = """
[api]
host = "127.0.0.1"
port = {api_port}
access_token = "{token}"
[rtmp]
host = "127.0.0.1"
port = {rtmp_port}
[state]
path = "{folder}/state"
[log]
level = "WARNING"
[sender]
{setting} = {interval_ms}
[[vhosts]]
name = "default"
[[vhosts.apps]]
name = "app"
"""


class Pushcast(Participant):
    """`pushcast serve`, fed by the publisher, its pushes started one REST call after the other."""

    interval_ms: int

    def __init__(self, protocol: str, interval_ms: int) -> None:
        self.name = f"pushcast-{interval_ms}"
        self.protocols = (protocol,)
        self.interval_ms = interval_ms

    @contextmanager
    def running(self, job: Job) -> Iterator[Running]:
        api_port, rtmp_port, token = free_port(), free_port(), secrets.token_urlsafe(12)
        config = job.folder / "pushcast.toml"
        config.write_text(
            CONFIG.format(
                api_port=api_port,
                rtmp_port=rtmp_port,
                token=token,
                folder=job.folder,
                setting=SETTINGS[job.protocol],
                interval_ms=self.interval_ms,
            )
        )
        api = Api(api_port, token)
        command = [sys.executable, "-m", "pushcast", "serve", "--config", str(config)]
        with processes([command], job.folder, "pushcast") as server:
            wait_until("pushcast listens", lambda: ended(server) or (listens(api_port) and listens(rtmp_port)))
            with publisher(f"rtmp://127.0.0.1:{rtmp_port}/app/{STREAM}", job.folder) as feeding:
                wait_until("the stream is live", lambda: STREAM in (api.ask("GET", f"{APP}/streams") or []))
                request_ns = time.monotonic_ns()
                for index in range(job.count):
                    api.ask("POST", f"{APP}:startPush", _push(job, index))
                yield Running(
                    roots=[server[0].pid],
                    start_from="first REST call",
                    request_ns=request_ns,
                    publishers=[feeding.pid],
                    complaints=lambda: [
                        *ended([*server, feeding]),
                        *_not_pushing(api, job.count),
                        *lines(job.folder / "pushcast.log"),
                        *lines(job.folder / "publisher.log"),
                    ],
                )


def _push(job: Job, index: int) -> dict[str, Any]:
    at = f"127.0.0.1:{job.port(index)}"
    return {
        "id": f"push-{index}",
        "stream": {"name": STREAM},
        "protocol": API_PROTOCOLS[job.protocol],
        "url": {"rtmp": f"rtmp://{at}/bench", "udp": f"udp://{at}", "srt": f"srt://{at}"}[job.protocol],
        "streamKey": f"stream-{index}" if job.protocol == "rtmp" else "",
    }


def _not_pushing(api: Api, count: int) -> list[str]:
    try:
        states = Counter(push["state"] for push in api.ask("POST", f"{APP}:pushes", {}))
    except (OSError, RuntimeError) as error:
        return [f"the API does not answer: {error}"]
    return [] if states == {"pushing": count} else [f"states of the pushes: {dict(states)}"]


class Engine(Participant):
    """Source, feed and one sender thread in a process of their own (bench.fanout_engine); RTMP without handshakes."""

    plain = True
    interval_ms: int

    def __init__(self, protocol: str, interval_ms: int) -> None:
        self.name = f"engine-{interval_ms}"
        self.protocols = (protocol,)
        self.interval_ms = interval_ms

    @contextmanager
    def running(self, job: Job) -> Iterator[Running]:
        command = [sys.executable, "-m", "bench.fanout_engine", "--protocol", FLOORS[job.protocol]]
        with _loop(command, job, self.name, self.interval_ms) as running:
            yield running


class Floor(Participant):
    """raw_tcp (behind raw_rtmp.py), raw_udp or raw_srt: what the kernel or libsrt takes for the same bytes at the same
    interval, into the same receivers.

    Its memory is that of the bytes which it plays, and says nothing.
    """

    interval_ms: int

    def __init__(self, protocol: str, interval_ms: int, traces: dict[str, Any]) -> None:
        self.name = f"floor-{interval_ms}"
        self.protocols = (protocol,)
        self.interval_ms = interval_ms
        self._traces = traces

    @contextmanager
    def running(self, job: Job) -> Iterator[Running]:
        program = build.program(f"raw_{FLOORS[job.protocol]}")
        command = [str(program), "--trace", str(self._traces[job.protocol])]
        if job.protocol == "rtmp":
            command = [sys.executable, "-m", "bench.raw_rtmp", *command]
        if job.protocol == "srt":
            command += _srt_buffers()
        with _loop(command, job, self.name, self.interval_ms) as running:
            yield running


@contextmanager
def _loop(command: list[str], job: Job, name: str, interval_ms: int) -> Iterator[Running]:
    """A program that paces itself; the window is taken from outside, as for everybody, so its own never ends."""
    command += ["--ports", ",".join(map(str, job.ports)), "--destinations", str(job.count)]
    command += ["--tick-ms", str(interval_ms), "--warm-s", "0", "--window-s", str(int(job.lasts_s))]
    request_ns = time.monotonic_ns()
    with processes([command], job.folder, name) as children:
        yield Running(
            roots=[children[0].pid],
            start_from="launch of the process",
            request_ns=request_ns,
            complaints=lambda: [*ended(children), *lines(job.folder / f"{name}.log")],
        )


def _srt_buffers() -> list[str]:
    """The floor's libsrt has the buffers and the sharing of ports that pushcast gives it."""
    from pushcast.egress.multiplexer import MAX_SOCKETS
    from pushcast.egress.srt import sender_buffers

    clip = read_clip(clip_path())
    bytes_per_s = sum(len(frame.data) for frame in clip.frames) * 90000 // clip.lap_ticks
    buffers = sender_buffers(bytes_per_s, SRT_LATENCY_MS, DATAGRAM_BYTES)
    return [
        *("--fc", str(buffers["fc"]), "--send-buffer", str(buffers["sndbuf"])),
        *("--receive-buffer", str(buffers["rcvbuf"]), "--udp-send-buffer", str(buffers["udp_sndbuf"])),
        *("--udp-receive-buffer", str(buffers["udp_rcvbuf"]), "--sockets-per-port", str(MAX_SOCKETS)),
    ]
