"""A real pushcast in a process of its own, its REST API, and clips to publish: for tests against real peers."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

DEADLINE_S = 30.0
TOKEN = "test-token-no-default"


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A port that was free a moment ago."""
    with socket.socket(socket.AF_INET, kind) as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def until(what: str, condition: Callable[[], Any], deadline_s: float = DEADLINE_S) -> Any:
    """The first true answer of ``condition``, asked every 20 ms; fails after the deadline, naming what was awaited."""
    pause = threading.Event()
    end = time.monotonic() + deadline_s
    while not (answer := condition()):
        assert time.monotonic() < end, f"{what}: not within {deadline_s:g} s"
        pause.wait(0.02)
    return answer


def port_bound(port: int, process: int | str = "self") -> bool:
    """True when somebody listens on this TCP port or has bound this UDP port, over IPv4 or IPv6, in the network
    namespace of a process.
    """
    listening = "0A"
    for table, states in (("tcp", (listening,)), ("tcp6", (listening,)), ("udp", ("07",)), ("udp6", ("07",))):
        for line in Path(f"/proc/{process}/net/{table}").read_text().splitlines()[1:]:
            _, local, _, state, *_ = line.split()
            if int(local.rpartition(":")[2], 16) == port and state in states:
                return True
    return False


class Process:
    """A child whose output is kept and which never outlives the test."""

    def __init__(self, arguments: list[str], log: Path, **options: Any) -> None:
        self.log = log
        self._output = log.open("wb")
        self.child = subprocess.Popen(
            arguments, stdin=subprocess.DEVNULL, stdout=self._output, stderr=subprocess.STDOUT, **options
        )

    def said(self, words: str) -> bool:
        return words in self.log.read_text(errors="replace")

    def wait(self, deadline_s: float = DEADLINE_S) -> int:
        return self.child.wait(deadline_s)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """End the child; killed after five seconds."""
        if self.child.poll() is None:
            self.child.send_signal(how)
            try:
                self.child.wait(5)
            except subprocess.TimeoutExpired:
                self.child.kill()
                self.child.wait()
        self._output.close()
        return self.child.returncode

    @property
    def pid(self) -> int:
        return self.child.pid


class Served:
    """pushcast serve with a configuration of its own; ``app`` is the base path of the push API."""

    app = "/v1/vhosts/default/apps/app"

    def __init__(
        self, folder: Path, sources: str = "", extra: str = "", program: tuple[str, ...] = ("pushcast",)
    ) -> None:
        self.api_port, self.rtmp_port = free_port(), free_port()
        self.srt_port = free_port(socket.SOCK_DGRAM)
        config = folder / "pushcast.toml"
        config.write_text(
            f'[api]\nport = {self.api_port}\naccess_token = "{TOKEN}"\n'
            f'[rtmp]\nhost = "127.0.0.1"\nport = {self.rtmp_port}\n[srt]\nhost = "127.0.0.1"\nport = {self.srt_port}\n'
            f'[state]\npath = "{folder}/state"\n{extra}\n{sources}'
        )
        self.process = Process(
            [sys.executable, "-m", *program, "serve", "--config", str(config)],
            folder / "serve.log",
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
        until("the API listens", self._listens)

    def _listens(self) -> bool:
        assert self.process.child.poll() is None, self.process.log.read_text()
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.api_port), 1):
            return True
        return False

    def call(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """(status, parsed body) of one request."""
        connection = http.client.HTTPConnection("127.0.0.1", self.api_port, timeout=DEADLINE_S)
        credentials = base64.b64encode(TOKEN.encode()).decode()
        payload = None if body is None else json.dumps(body)
        connection.request(method, path, payload, {"Authorization": f"Basic {credentials}"})
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        return answer.status, json.loads(text) if text else None

    def start(self, push_id: str, protocol: str, url: str, key: str = "", stream: str = "live", **more: Any) -> Any:
        body = {"id": push_id, "stream": {"name": stream, **more}, "protocol": protocol, "url": url, "streamKey": key}
        status, answer = self.call("POST", f"{self.app}:startPush", body)
        assert status == 200, answer
        return answer["response"]

    def stop(self, push_id: str) -> None:
        status, answer = self.call("POST", f"{self.app}:stopPush", {"id": push_id})
        assert status == 200, answer

    def push(self, push_id: str) -> dict[str, Any]:
        _, answer = self.call("POST", f"{self.app}:pushes", {"id": push_id})
        assert len(answer["response"]) == 1, answer
        return dict(answer["response"][0])

    def pushes(self) -> list[dict[str, Any]]:
        return list(self.call("POST", f"{self.app}:pushes", {})[1]["response"])

    def until_state(self, push_id: str, state: str, deadline_s: float = DEADLINE_S) -> dict[str, Any]:
        until(f"push {push_id} is {state}", lambda: self.push(push_id)["state"] == state, deadline_s)
        return self.push(push_id)

    def until_stream(self, name: str = "live", deadline_s: float = DEADLINE_S) -> None:
        path = f"{self.app}/streams"
        until(f"stream {name} is live", lambda: name in self.call("GET", path)[1]["response"], deadline_s)

    def close(self) -> None:
        code = self.process.stop(signal.SIGINT)
        assert code == 0, self.process.log.read_text()


@contextlib.contextmanager
def serving(folder: Path, **options: Any) -> Iterator[Served]:
    served = Served(folder, **options)
    try:
        yield served
        served.close()
    finally:
        served.process.stop(signal.SIGKILL)


def make_clip(path: Path, seconds: float = 8, *, video: str = "", audio: str = "", kbit_per_s: int = 2500) -> Path:
    """A clip with moving pictures and two tones: 1280x720, 25 fps, GOP of one second, B-frames, AAC 48 kHz."""
    source = ["-f", "lavfi", "-i", "testsrc2=s=1280x720:r=25", "-f", "lavfi", "-i", "sine=f=440:r=48000:b=2"]
    encode = video or (
        f"-c:v libx264 -preset veryfast -bf 2 -g 25 -keyint_min 25 -sc_threshold 0 "
        f"-b:v {kbit_per_s}k -maxrate {kbit_per_s}k -bufsize {kbit_per_s}k -pix_fmt yuv420p"
    )
    sound = audio or "-c:a aac -b:a 128k -ac 2"
    subprocess.run(
        ["ffmpeg", "-v", "error", "-y", *source, "-t", str(seconds), *encode.split(), *sound.split(), str(path)],
        check=True,
    )
    return path


def ffmpeg_publish(clip: Path, url: str, log: Path, *, loop: bool = False, rate: float = 1.0) -> Process:
    """ffmpeg plays the clip in real time to an RTMP URL, packets as they are."""
    again = ["-stream_loop", "-1"] if loop else []
    pace = ["-re"] if rate == 1.0 else ["-readrate", str(rate)]
    return Process(["ffmpeg", "-v", "warning", *pace, *again, "-i", str(clip), "-c", "copy", "-f", "flv", url], log)
