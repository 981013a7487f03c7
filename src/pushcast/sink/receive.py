"""The loop around a sink: run it in slices, report, and end in time."""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from pushcast.sink.report import JsonReport, Sink, Stats, TextReport, summarize

SLICE_S = 0.05  # how long a signal or a question may wait
LINE_BYTES = 4096  # of one question


class Questions:
    """Lines on standard input; ``summary`` asks for an interim summary.  Its end ends nothing."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._open = True
        self._text = b""

    def summaries(self) -> int:
        """How often a summary was asked for since the last call."""
        asked = 0
        while self._open and select.select([self._fd], [], [], 0)[0]:
            data = os.read(self._fd, LINE_BYTES)
            self._open = bool(data)
            *lines, self._text = (self._text + data).split(b"\n")
            self._text = self._text[:LINE_BYTES]
            asked += sum(line.strip() == b"summary" for line in lines)
        return asked


class Silence:
    """Nobody asks."""

    def summaries(self) -> int:
        return 0


def questions(json: bool) -> Questions | Silence:
    """Questions are taken with JSON lines only, and when there is a standard input."""
    return Questions(sys.stdin.fileno()) if json and sys.stdin is not None else Silence()


@contextmanager
def stop_signals() -> Iterator[list[int]]:
    """A list that SIGINT and SIGTERM put themselves into."""
    seen: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        seen.append(number)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield seen
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def receive(
    sink: Sink, report: JsonReport | TextReport, asked: Questions | Silence, count: int | None, seconds: float | None
) -> bool:
    """Receive until a signal, for ``seconds``, or until ``count`` senders came and left.  True when all was well."""
    began = time.monotonic()
    last_time, last_bytes, ticks = began, 0, 0
    with stop_signals() as stopped:
        while not stopped:
            now = time.monotonic()
            until = began + ticks + 1
            if seconds is not None:
                until = min(until, began + seconds)
            sink.run(max(0.0, min(SLICE_S, until - now)))
            for _ in range(asked.summaries()):
                report.summary(summarize(sink, count))
            came, left, active, received, errors = sink.totals()
            now = time.monotonic()
            if now - began >= ticks + 1:
                ticks = int(now - began)
                mbps = (received - last_bytes) * 8e-6 / (now - last_time)
                report.stats(Stats(now - began, came, active, mbps, errors))
                last_time, last_bytes = now, received
            if (seconds is not None and now - began >= seconds) or (count is not None and left >= count):
                break
    sink.run(0.0)
    summary = summarize(sink, count)
    report.summary(summary)
    return summary.ok
