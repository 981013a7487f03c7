"""The store: what was asked for and must outlive the process, in SQLite.

One table, one row for each push.  All writing is done by one thread, which takes everything that waits, writes it in
one transaction and then lets the callers go on: however many clients ask at once, they share one fsync.  With
``synchronous=FULL`` a row that was acknowledged is on the disk, whatever happens to the power.

Callers see five calls (``put``, ``remove``, ``note``, ``load``, ``close``), so that a store that several hosts share
can stand here one day.  Two writes of one key are never under way at once: whoever calls waits for the first
(desired.py).

A batch is one statement for each kind of write, with its rows as one JSON text: the thread would otherwise have to win
Python's lock back for every row, from an event loop that is busy.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import queue
import sqlite3
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from pushcast.errors import ConfigError, StoreError
from pushcast.log import logger

_log = logger("store")

FILE_NAME = "pushes.db"
# What one transaction takes: a second of starts at any rate that one event loop answers, some MiB of JSON at the most.
MOST_AT_ONCE = 4096
# How long to wait for another process that reads the file, a backup as a rule.
BUSY_TIMEOUT_S = 2.0

Key = tuple[str, str, str]
"""(vhost, app, id) of a push."""

# Each step makes one schema version of the one before; the file's user_version says how many have been taken.
MIGRATIONS = (
    """
    CREATE TABLE push (
        vhost TEXT NOT NULL, app TEXT NOT NULL, id TEXT NOT NULL,
        created_time REAL NOT NULL,
        settings TEXT NOT NULL,
        sequence INTEGER NOT NULL DEFAULT 0,
        total_sent_bytes INTEGER NOT NULL DEFAULT 0,
        total_sent_time_ms INTEGER NOT NULL DEFAULT 0,
        PRIMARY KEY (vhost, app, id)
    ) STRICT, WITHOUT ROWID
    """,
)

_PUT = """
    INSERT INTO push SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6, value->>7
    FROM json_each(?) WHERE true
    ON CONFLICT DO UPDATE SET created_time = excluded.created_time, settings = excluded.settings,
        sequence = excluded.sequence, total_sent_bytes = excluded.total_sent_bytes,
        total_sent_time_ms = excluded.total_sent_time_ms
"""
_NOTE = """
    UPDATE push SET sequence = each.value->>3, total_sent_bytes = each.value->>4, total_sent_time_ms = each.value->>5
    FROM json_each(?) AS each
    WHERE push.vhost = each.value->>0 AND push.app = each.value->>1 AND push.id = each.value->>2
"""
_REMOVE = """
    DELETE FROM push WHERE (vhost, app, id) IN (SELECT value->>0, value->>1, value->>2 FROM json_each(?))
"""
_LOAD = """
    SELECT vhost, app, id, created_time, settings, sequence, total_sent_bytes, total_sent_time_ms
    FROM push ORDER BY vhost, app, id
"""


@dataclass(frozen=True, slots=True)
class Totals:
    """What a push has done in all its sessions."""

    sequence: int = 0
    sent_bytes: int = 0
    sent_time_ms: int = 0


NO_TOTALS = Totals()


@dataclass(frozen=True, slots=True)
class StoredPush:
    """One row.  ``settings`` is the request's members as JSON values; it holds keys and has no repr."""

    key: Key
    created_time: float
    settings: dict[str, Any] = field(repr=False)
    totals: Totals = NO_TOTALS


@dataclass(slots=True)
class _Write:
    """Rows to write together, and who waits for them."""

    done: asyncio.Future[None] | None = None
    put: list[tuple[Any, ...]] = field(default_factory=list)
    note: list[tuple[Any, ...]] = field(default_factory=list)
    remove: list[Key] = field(default_factory=list)


class Store:
    """The pushes of one state folder.  ``load`` first; used on one event loop; ``close`` at the end.

    :raises ConfigError: the file cannot be used, in one sentence.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE_NAME
        self._database = _open(self._path)
        self._queue: queue.SimpleQueue[_Write | None] = queue.SimpleQueue()
        self._loop = asyncio.get_running_loop()
        self._told = ""
        self._thread = threading.Thread(target=self._run, name="store", daemon=True)
        self._thread.start()

    def load(self) -> list[StoredPush]:
        """Every row, before anything is written.  A row that cannot be read is left where it is, and said."""
        found = []
        for vhost, app, push_id, created, settings, *totals in self._database.execute(_LOAD):
            try:
                members = orjson.loads(settings)
            except orjson.JSONDecodeError:
                members = None
            if isinstance(members, dict):
                found.append(StoredPush((vhost, app, push_id), created, members, Totals(*totals)))
            else:
                _log.error("%s: push %s/%s/%s is no JSON object, and is left out", self._path, vhost, app, push_id)
        return found

    async def put(self, *pushes: StoredPush) -> None:
        """Keep these, in place of what was kept of the same keys.  :raises StoreError: none of them is kept."""
        rows = [
            (
                *(*push.key, push.created_time, orjson.dumps(push.settings).decode()),
                *(push.totals.sequence, push.totals.sent_bytes, push.totals.sent_time_ms),
            )
            for push in pushes
        ]
        await self._write(_Write(put=rows))

    async def remove(self, *keys: Key) -> None:
        """Forget these; one that is not there is no error.  :raises StoreError: all of them are still kept."""
        await self._write(_Write(remove=list(keys)))

    def note(self, totals: Iterable[tuple[Key, Totals]]) -> None:
        """Keep new totals of pushes that are there, some time soon; what fails is in the log."""
        rows = [(*key, each.sequence, each.sent_bytes, each.sent_time_ms) for key, each in totals]
        if rows:
            self._queue.put(_Write(note=rows))

    async def close(self) -> None:
        """Write what waits and close the file."""
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)

    async def _write(self, write: _Write) -> None:
        write.done = self._loop.create_future()
        self._queue.put(write)
        await write.done

    # What follows runs on the store's thread.

    def _run(self) -> None:
        while (first := self._queue.get()) is not None:
            batch, last = [first], False
            with contextlib.suppress(queue.Empty):
                while len(batch) < MOST_AT_ONCE and not last:
                    following = self._queue.get_nowait()
                    last = following is None
                    if following is not None:
                        batch.append(following)
            self._settle(batch, self._commit(batch))
            if last:
                break
        self._database.close()

    def _commit(self, batch: list[_Write]) -> StoreError | None:
        try:
            with self._database:
                self._database.execute("BEGIN IMMEDIATE")
                for statement, rows in (
                    (_PUT, [row for write in batch for row in write.put]),
                    (_NOTE, [row for write in batch for row in write.note]),
                    (_REMOVE, [row for write in batch for row in write.remove]),
                ):
                    if rows:
                        self._database.execute(statement, (orjson.dumps(rows).decode(),))
        except sqlite3.Error as error:
            said = f"The store cannot be written: {error}"
            if said != self._told:  # a disk stays full for longer than one request
                _log.error("%s: %s", self._path, said)
            self._told = said
            return StoreError(said)
        if self._told:
            _log.info("%s: the store can be written again", self._path)
        self._told = ""
        return None

    def _settle(self, batch: list[_Write], error: StoreError | None) -> None:
        waiting = [write.done for write in batch if write.done is not None]
        if waiting:
            with contextlib.suppress(RuntimeError):  # the loop is gone: nobody waits any more
                self._loop.call_soon_threadsafe(_wake, waiting, error)


def _wake(waiting: list[asyncio.Future[None]], error: StoreError | None) -> None:
    for future in waiting:
        if future.done():  # whoever waited was cancelled
            continue
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(StoreError(str(error)))


def _open(path: Path) -> sqlite3.Connection:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # keys and passphrases lie in it
        database = sqlite3.connect(path, BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    except OSError as error:
        raise _unusable(path, error.strerror or str(error)) from error
    except sqlite3.Error as error:
        raise _unusable(path, str(error)) from error
    try:
        # Exclusive: two servers on one folder would both run its pushes.
        for pragma in ("locking_mode=EXCLUSIVE", "journal_mode=WAL", "synchronous=FULL"):
            database.execute(f"PRAGMA {pragma}")
        (said,) = database.execute("PRAGMA quick_check(1)").fetchone()
        if said != "ok":
            raise _unusable(path, " ".join(said.split()))
        _migrate(path, database)
    except sqlite3.Error as error:
        database.close()
        in_use = "locked" in str(error)
        raise _unusable(path, "another process has it open" if in_use else str(error)) from error
    except ConfigError:
        database.close()
        raise
    return database


def _migrate(path: Path, database: sqlite3.Connection) -> None:
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if version > len(MIGRATIONS):
        raise ConfigError(
            f"state.path: found {json.dumps(str(path))} with schema version {version}, allowed: up to "
            f"{len(MIGRATIONS)} (a newer pushcast made it)"
        )
    with database:
        database.execute("BEGIN EXCLUSIVE")
        for number, statement in enumerate(MIGRATIONS[version:], version + 1):
            database.execute(statement)
            database.execute(f"PRAGMA user_version = {number}")


def _unusable(path: Path, why: str) -> ConfigError:
    return ConfigError(
        f"state.path: found {json.dumps(str(path))}, which fails with '{why}', allowed: a database of pushcast that it "
        "may write (move a damaged one away to start without its pushes)"
    )
