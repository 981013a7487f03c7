"""Senders over TCP, and sinks that run until something is so."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import build_ts as ts

from pushcast.sinks import Sink

DEADLINE_S = 10.0
HOST = "127.0.0.1"
TS = ts.join(ts.Clip().packets())
HELLO = b"\x03" + bytes(range(256)) * 6


def until(sink: Sink, done: Callable[[], bool]) -> None:
    """Run the sink until then."""
    deadline = time.monotonic() + DEADLINE_S
    while not done():
        assert time.monotonic() < deadline, sink.rows()
        sink.run(0.01)


@contextmanager
def closing_sinks() -> Iterator[Callable[[Sink], Any]]:
    """Closes at its end what it was called with."""
    sinks: list[Sink] = []

    def keep(sink: Sink) -> Sink:
        sinks.append(sink)
        return sink

    yield keep
    for sink in sinks:
        sink.close()


def connect(port: int) -> socket.socket:
    return socket.create_connection((HOST, port), timeout=DEADLINE_S)


def read_exactly(sock: socket.socket, sink: Sink, size: int) -> bytes:
    sock.setblocking(False)
    got = bytearray()

    def read() -> bool:
        try:
            data = sock.recv(size - len(got))
        except BlockingIOError:
            return False
        assert data, f"closed after {len(got)} of {size} bytes"
        got.extend(data)
        return len(got) == size

    until(sink, read)
    return bytes(got)


def is_closed(sock: socket.socket) -> bool:
    sock.setblocking(False)
    try:
        return sock.recv(1 << 16) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True
