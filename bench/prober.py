"""Asks one question of the API again and again at a steady rate, on one connection, and notes how long answers take.

An answer's time counts from when its question was due, not from when it could be sent: an answer that is late delays
the questions behind it, and hides nothing.  The kernel is asked to run this before others, so far as it may be: a
question that waits for a core, which load generators and receivers of the same bench take, is not the API's wait.

    python -m bench.prober --port P --per-s N [--body JSON] PATH        with a body a POST, else a GET

Says {"event":"probing"} after the first answer; ends on SIGTERM with {"event":"summary"}: ``due_ns`` (CLOCK_MONOTONIC)
and ``took_ms`` of each question.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import socket
import time

from bench.request import read_answer, request


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--per-s", type=float, default=50)
    parser.add_argument("--body", default="")
    parser.add_argument("path")
    options = parser.parse_args()
    stopping: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, frame: stopping.append(number))
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, -10)
    question = request(options.path, options.body)
    due_ns: list[int] = []
    took_ms: list[float] = []
    with socket.create_connection(("127.0.0.1", options.port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _ask(connection, question)
        print(json.dumps({"event": "probing"}), flush=True)
        due = time.monotonic_ns()
        while not stopping:
            due += round(1e9 / options.per_s)
            time.sleep(max(0, due - time.monotonic_ns()) / 1e9)
            _ask(connection, question)
            due_ns.append(due)
            took_ms.append(round((time.monotonic_ns() - due) / 1e6, 3))
    print(json.dumps({"event": "summary", "due_ns": due_ns, "took_ms": took_ms}), flush=True)


def _ask(connection: socket.socket, question: bytes) -> None:
    connection.sendall(question)
    received = bytearray()
    while not read_answer(received):
        more = connection.recv(65536)
        if not more:
            raise ConnectionError("the API closed the connection")
        received += more


if __name__ == "__main__":
    main()
