"""A server that speaks the API's envelope and says what it is told to, and the console script in a process."""

from __future__ import annotations

import base64
import contextlib
import http.server
import json
import os
import select
import signal
import ssl
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
DEADLINE_S = 30.0
TOKEN = "a-token:of the tests"
APP = "/v1/vhosts/default/apps/app"

KEY = "live-4711-geheim"
PUSH: dict[str, Any] = {
    "id": "studio",
    "state": "pushing",
    "vhost": "default",
    "app": "app",
    "stream": {"name": "gala", "trackIds": [3], "variantNames": ["v720"]},
    "protocol": "rtmp",
    "url": "rtmp://ingest.example.net:1940/live2",
    "streamKey": KEY,
    "sentBytes": 12_345_678,
    "sentTime": 3_723_000,
    "sequence": 4,
    "totalsentBytes": 2_500_000_000,
    "totalsentTime": 90_061_000,
    "createdTime": "2019-07-08T23:30:00.000+00:00",
    "startTime": "2019-07-09T20:00:00.000+00:00",
    "finishTime": "1970-01-01T05:30:00.000+05:30",
    "isConfig": True,
}


@dataclass(frozen=True)
class Seen:
    """A request as it came; ``token`` is what its Authorization header holds, None without one."""

    method: str
    path: str
    token: str | None
    body: Any
    last_event_id: str | None


@dataclass
class ApiServer:
    """What it answers and what it saw; a path without an answer is an unknown one."""

    port: int = 0
    scheme: str = "http"
    answers: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    events: deque[tuple[bytes, bool]] = field(default_factory=deque)
    seen: list[Seen] = field(default_factory=list)
    done: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}"

    def on(self, path: str, response: Any = None, status: int = 200, message: str = "OK") -> None:
        """Answer a path (or an action of the app, ``:word``) with an envelope."""
        envelope = {"statusCode": status, "message": message}
        if response is not None:
            envelope["response"] = response
        self.on_bytes(path, json.dumps(envelope).encode(), status)

    def on_bytes(self, path: str, body: bytes, status: int = 200) -> None:
        self.answers[APP + path if path.startswith(":") else path] = (status, body)

    def on_events(self, content: bytes, *, hold: bool) -> None:
        """The next connection to /v1/events gets this; ``hold``: and then nothing, until the test ends."""
        self.events.append((content, hold))


def _handler(server: ApiServer) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self._serve()

        def do_GET(self) -> None:
            self._serve()

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: a test's output is its own."""

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            scheme, _, credential = self.headers.get("Authorization", "").partition(" ")
            token = base64.b64decode(credential).decode() if scheme == "Basic" else None
            last_event_id = self.headers.get("Last-Event-ID")
            server.seen.append(Seen(self.command, self.path, token, json.loads(body) if body else None, last_event_id))
            if self.path == "/v1/events" and server.events:
                self._stream(*server.events.popleft())
                return
            unknown = b'{"statusCode":404,"message":"[HTTP] Controller not found (404)"}'
            status, answer = server.answers.get(self.path, (404, unknown))
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def _stream(self, content: bytes, hold: bool) -> None:
            self.close_connection = True
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            with contextlib.suppress(ConnectionError):  # the client may be gone
                self.wfile.write(b"%x\r\n%s\r\n" % (len(content), content))
                if hold:
                    server.done.wait(DEADLINE_S)
                self.wfile.write(b"0\r\n\r\n")

    return Handler


class _Listening(http.server.ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that leaves, or refuses the certificate, is what some tests are about."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)


@contextlib.contextmanager
def api_server(tls: ssl.SSLContext | None = None) -> Iterator[ApiServer]:
    made = ApiServer(scheme="https" if tls else "http")
    with _Listening(("127.0.0.1", 0), _handler(made)) as listening:
        if tls is not None:
            listening.socket = tls.wrap_socket(listening.socket, server_side=True, do_handshake_on_connect=False)
        made.port = listening.server_address[1]
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield made
        finally:
            made.done.set()
            listening.shutdown()
            thread.join(DEADLINE_S)


def environment(folder: Path, **more: str) -> dict[str, str]:
    """The caller's, without what changes the command line's output; a state folder and a zone of the test's own."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PUSHCAST_", "_PUSHCAST_"))}
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS"):
        kept.pop(name, None)
    return {
        **kept,
        "PYTHONPATH": str(ROOT / "src"),
        "XDG_STATE_HOME": str(folder / "state"),
        "TZ": "TST-05:30",
        **more,
    }


def pushcast(variables: dict[str, str], *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """The console script to its end."""
    return subprocess.run(
        [sys.executable, "-m", "pushcast", *arguments],
        env=variables,
        capture_output=True,
        text=True,
        input=stdin,
        timeout=DEADLINE_S,
    )


class Running:
    """The console script in a process that goes on; what it says comes without waiting longer than a deadline."""

    def __init__(self, variables: dict[str, str], *arguments: str) -> None:
        command = [sys.executable, "-m", "pushcast", *arguments]
        # A shell without job control has its background children ignore SIGINT, and they would inherit it.
        self.process = subprocess.Popen(
            command,
            env=variables,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        self.out = ""

    def wait_for_lines(self, count: int) -> list[str]:
        assert self.process.stdout is not None
        deadline_s = time.monotonic() + DEADLINE_S
        while self.out.count("\n") < count:
            left_s = deadline_s - time.monotonic()
            assert left_s > 0, f"{count} lines did not come, but: {self.out}"
            if select.select([self.process.stdout], [], [], left_s)[0]:
                content = os.read(self.process.stdout.fileno(), 65536)
                assert content, f"the process ended: {self.out}"
                self.out += content.decode()
        return self.out.splitlines()

    def end(self, number: signal.Signals | None = None) -> tuple[int, str]:
        """(exit code, stderr), after a signal or by itself."""
        if number is not None:
            self.process.send_signal(number)
        try:
            out, err = self.process.communicate(timeout=DEADLINE_S)
        finally:
            self.process.kill()
        self.out += out.decode()
        return self.process.returncode, err.decode()


def changed(**members: Any) -> dict[str, Any]:
    """PUSH with other members."""
    return {**PUSH, **members}
