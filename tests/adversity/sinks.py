"""``pushcast sink`` in a process of its own, asked for what it has seen."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

ANSWER_S = 20.0


class Sink:
    """A running sink; ``port`` 0 takes a free one, ``inside`` is what the command begins with on another host."""

    def __init__(
        self, protocol: str, *options: str, host: str = "127.0.0.1", port: int = 0, inside: Sequence[str] = ()
    ) -> None:
        self.protocol = protocol
        command = [sys.executable, "-m", "pushcast", "sink", protocol, "--host", host, "--port", str(port)]
        command = [*inside, *command]
        self.child = subprocess.Popen(
            [*command, "--json", *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ}
        )
        self._said: queue.Queue[dict[str, Any]] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        self.port = int(self._next("listening")["port"])

    def _read(self) -> None:
        assert self.child.stdout is not None
        for line in self.child.stdout:
            event = json.loads(line)
            if event["event"] != "stats":
                self._said.put(event)
        self._said.put({"event": "end"})

    def _next(self, kind: str) -> dict[str, Any]:
        event = self._said.get(timeout=ANSWER_S)
        assert event["event"] == kind, f"sink {self.protocol}: expected {kind}, got {event['event']}"
        return event

    def summary(self) -> dict[str, Any]:
        """What it has seen until now; the sink goes on."""
        assert self.child.stdin is not None
        self.child.stdin.write("summary\n")
        self.child.stdin.flush()
        return self._next("summary")

    def rows(self) -> list[dict[str, Any]]:
        """A row for each sender that it has seen."""
        return list(self.summary()["senders"])

    def stop(self) -> dict[str, Any]:
        """End it in order; its last summary."""
        self.child.send_signal(signal.SIGTERM)
        summary = self._next("summary")
        self.child.wait(ANSWER_S)
        self._close()
        return summary

    def kill(self) -> None:
        """SIGKILL: the kernel closes what was open and nobody says goodbye."""
        self.child.kill()
        self.child.wait()
        self._close()

    def _close(self) -> None:
        self._reader.join(ANSWER_S)
        for pipe in (self.child.stdin, self.child.stdout):
            assert pipe is not None
            pipe.close()

    def cpu_s(self) -> float:
        """CPU time of the process, user and system."""
        fields = Path(f"/proc/{self.child.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def sinks(*protocols: str) -> Iterator[dict[str, Sink]]:
    """One sink for each protocol, which ends with the block however that ends."""
    with ExitStack() as started:
        made: dict[str, Sink] = {}
        for protocol in protocols:
            made[protocol] = Sink(protocol)
            started.callback(made[protocol].kill)
        yield made


def url(protocol: str, port: int) -> tuple[str, str, str]:
    """(protocol of the API, URL, stream key) of a push to a sink."""
    match protocol:
        case "rtmp":
            return "rtmp", f"rtmp://127.0.0.1:{port}/in", f"key-of-{port}"
        case "srt":
            return "srt", f"srt://127.0.0.1:{port}?latency=120000", ""
        case _:
            return "mpegts", f"{protocol}://127.0.0.1:{port}", ""
