"""The audit log: who changed what through the API, one JSON object a line.

``time`` (ISO 8601, UTC), ``token`` (the name of the grant, never the token; empty when there was none), ``remote``,
``method``, ``path``, ``action``, ``status`` (of the answer), and where they apply ``push`` (its id) and ``stream``.  An
entry has no place for a URL, a key or a body, and of the path nothing behind a ``?``.  Every text is cut to a length
and written in ASCII, so that one from outside forges no line and moves no cursor.

A thread of its own writes, everything that waits in one go: the event loop never waits for a disk.  What waits is
bounded.  What found no room, or could not be written, is counted, and the next line that is written says how many:
``{"time": ..., "action": "lost", "count": 3}``.

A file that was moved or removed is made anew, with mode 0600, at the next line (logrotate needs no signal).  A batch is
in the file as a whole or not at all.

It does not fsync: a machine that loses its power loses the last seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import queue
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread

from pushcast.errors import ConfigError
from pushcast.log import logger

_log = logger("audit")

FILE_NAME = "audit.log"
# More than a storm of requests makes while a disk is busy for some seconds; some 300 bytes each.
QUEUE_LINES = 8192
BATCH_LINES = 1024
# Ids and names have at most 128 characters in the configuration; what is longer was made up.
MAX_TEXT_CHARS = 256
# How long the stop waits for a disk.
CLOSE_S = 2.0


@dataclass(frozen=True, slots=True)
class Entry:
    """One change that was asked for, and how it ended.  ``time`` is in seconds since the epoch."""

    time: float
    token: str
    remote: str
    method: str
    path: str
    action: str
    status: int
    push: str = ""
    stream: str = ""

    def line(self) -> bytes:
        members: dict[str, str | int] = {
            "time": _iso(self.time),
            "token": _cut(self.token),
            "remote": _cut(self.remote),
            "method": _cut(self.method),
            "path": _cut(self.path.partition("?")[0].partition("#")[0]),
            "action": _cut(self.action),
            "status": self.status,
        }
        members |= {name: _cut(text) for name, text in (("push", self.push), ("stream", self.stream)) if text}
        return _json(members)


class AuditLog:
    """``audit.log`` in ``folder``, from now until ``close``.

    :raises ConfigError: the file cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE_NAME
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        # Lines lost so far; the first is the event loop's to count, the others are the thread's.
        self._no_room = 0
        self._not_written = 0
        self._lost_told = 0
        self._failing = False
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = _open(self.path)
        except OSError as error:
            raise ConfigError(
                f"state.path: found {json.dumps(str(self.path))}, which fails with '{error.strerror}', "
                "allowed: a folder in which pushcast may make and write it"
            ) from error
        self._thread = Thread(target=self._run, name="audit", daemon=True)
        self._thread.start()

    def record(self, entry: Entry) -> None:
        """Have an entry written; returns at once.  Only for the event loop, and not after ``close``."""
        if self._lines.qsize() >= QUEUE_LINES:
            self._no_room += 1
        else:
            self._lines.put(entry.line())

    async def close(self) -> None:
        """Write what waits, for a bounded time."""
        self._lines.put(None)
        await asyncio.get_running_loop().run_in_executor(None, self._thread.join, CLOSE_S)
        if self._thread.is_alive():
            _log.error("audit: %s took nothing for %g s, its last lines are lost", self.path, CLOSE_S)

    def _run(self) -> None:
        waiting: list[bytes | None] = []
        while None not in waiting:
            waiting = [self._lines.get()]
            with contextlib.suppress(queue.Empty):
                while len(waiting) < BATCH_LINES:
                    waiting.append(self._lines.get_nowait())
            self._append([line for line in waiting if line is not None])
        os.close(self._file)

    def _append(self, lines: list[bytes]) -> None:
        lost = self._no_room + self._not_written
        told = [] if lost == self._lost_told else [_lost_line(lost - self._lost_told)]
        if not told and not lines:
            return
        try:
            self._follow()
            _write(self._file, b"".join([*told, *lines]))
        except OSError as error:
            self._not_written += len(lines)
            if not self._failing:
                _log.error("audit: %s cannot be written, lines are lost: %s", self.path, error.strerror)
            self._failing = True
        else:
            self._lost_told = lost
            if self._failing:
                _log.info("audit: %s is written again", self.path)
            self._failing = False

    def _follow(self) -> None:
        """Open the file anew when the one that is open does not stand at its path any more."""
        mine = os.fstat(self._file)
        with contextlib.suppress(FileNotFoundError):
            there = os.stat(self.path)
            if (there.st_dev, there.st_ino) == (mine.st_dev, mine.st_ino):
                return
        fresh = _open(self.path)
        os.close(self._file)
        self._file = fresh


def _open(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _write(file: int, data: bytes) -> None:
    """All of it; on a full disk nothing, so that no half line stands before the next one."""
    size = os.fstat(file).st_size
    rest = memoryview(data)
    try:
        while rest:
            rest = rest[os.write(file, rest) :]
    except OSError:
        with contextlib.suppress(OSError):  # what is no regular file has no length
            os.ftruncate(file, size)
        raise


def _lost_line(count: int) -> bytes:
    return _json({"time": _iso(time.time()), "action": "lost", "count": count})


def _json(members: dict[str, str | int]) -> bytes:
    # The standard library's: it escapes whatever is not ASCII, halves of surrogate pairs too, and refuses no text.
    return json.dumps(members, separators=(",", ":")).encode() + b"\n"


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def _cut(text: str) -> str:
    return text if len(text) <= MAX_TEXT_CHARS else text[:MAX_TEXT_CHARS] + "..."
