"""Store: what was acknowledged is there after a crash, what cannot be kept is refused, and one server owns the file."""

from __future__ import annotations

import asyncio
import os
import re
import resource
import signal
import sqlite3
import stat
import subprocess
import sys
from collections.abc import AsyncIterator
from glob import glob
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from pushcast.errors import ConfigError, StoreError
from pushcast.store import FILE_NAME, MIGRATIONS, Store, StoredPush, Totals

DEADLINE_S = 20.0


def push(push_id: str, **members: Any) -> StoredPush:
    return StoredPush(("live", "main", push_id), 1700000000.125, {"id": push_id, "url": "udp://h:1", **members})


@pytest_asyncio.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    made = Store(tmp_path)
    yield made
    await made.close()


async def again(store: Store, folder: Path) -> list[StoredPush]:
    """What another life of the process finds."""
    await store.close()
    later = Store(folder)
    try:
        return later.load()
    finally:
        await later.close()


async def test_rows_come_back_as_they_were_put(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.load() == []
    odd = push("ключ/\x01 😀", streamKey="s3cret", stream={"name": "é", "trackIds": [4294967295]})
    await store.put(push("b", n=1), odd)
    await store.put(push("a"), push("b", n=2))
    await store.remove(("live", "main", "a"), ("live", "main", "never"), ("other", "main", "b"))
    assert await again(store, tmp_path) == [push("b", n=2), odd]


async def test_totals_are_noted_of_what_is_there(tmp_path: Path) -> None:
    store = Store(tmp_path)
    await store.put(push("p"), push("q"))
    store.note([(("live", "main", "p"), Totals(3, 1 << 40, 77)), (("live", "main", "gone"), Totals(1, 1, 1))])
    store.note([])
    found = await again(store, tmp_path)
    assert [each.totals for each in found] == [Totals(3, 1 << 40, 77), Totals()]


async def test_many_callers_at_once_all_get_what_they_asked_for(tmp_path: Path) -> None:
    store = Store(tmp_path)
    await asyncio.gather(*(store.put(push(f"p{number:03}")) for number in range(500)))
    await asyncio.gather(*(store.remove(("live", "main", f"p{number:03}")) for number in range(0, 500, 2)))
    found = await again(store, tmp_path)
    assert [each.key[2] for each in found] == [f"p{number:03}" for number in range(1, 500, 2)]


async def test_others_cannot_read_the_file(store: Store, tmp_path: Path) -> None:
    await store.put(push("p", streamKey="s3cret"))
    files = [Path(each) for each in glob(f"{tmp_path}/{FILE_NAME}*")]
    assert len(files) >= 1
    assert [stat.S_IMODE(each.stat().st_mode) & 0o077 for each in files] == [0] * len(files)


async def test_settings_have_no_repr() -> None:
    assert "s3cret" not in repr(push("p", streamKey="s3cret"))


async def test_a_second_server_on_one_folder_is_refused(store: Store, tmp_path: Path) -> None:
    await store.put(push("p"))
    with pytest.raises(ConfigError, match=r"^state\.path: found \"[^\"]+pushes\.db\", .*another process has it open"):
        Store(tmp_path)
    await store.put(push("q"))


def test_what_is_acknowledged_survives_kill_9(tmp_path: Path) -> None:
    """A child acknowledges on its stdout what it was told is kept, and is killed in the middle."""
    program = """
import asyncio, sys
from pathlib import Path
from pushcast.store import Store, StoredPush
async def main():
    store = Store(Path(sys.argv[1]))
    async def put(number):
        await store.put(StoredPush(("v", "a", str(number)), 1.0, {"id": str(number)}))
        print(number, flush=True)
    for first in range(0, 100_000, 20):
        await asyncio.gather(*(put(number) for number in range(first, first + 20)))
asyncio.run(main())
"""
    with subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        told = [int(child.stdout.readline()) for _ in range(300)]
        child.send_signal(signal.SIGKILL)
        told += [int(line) for line in child.stdout.read().splitlines() if line]
    assert child.returncode == -signal.SIGKILL

    async def found() -> set[int]:
        store = Store(tmp_path)
        try:
            return {int(each.key[2]) for each in store.load()}
        finally:
            await store.close()

    kept = asyncio.run(found())
    assert set(told) <= kept
    assert len(kept - set(told)) <= 20  # those of the last batch that nobody was told of any more


@pytest.mark.parametrize("full", ["disk", "row"])
async def test_what_cannot_be_written_is_refused_and_nothing_of_it_is_kept(tmp_path: Path, full: str) -> None:
    store = Store(tmp_path)
    await store.put(push("before"))
    large = push("large", padding="x" * 3_000_000)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        if full == "disk":
            resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, limits[1]))
            with pytest.raises(StoreError, match=r"^The store cannot be written: "):
                await store.put(push("small"), large)
        else:
            with pytest.raises(StoreError, match=r"^The store cannot be written: "):
                await store.put(push("small"), StoredPush(("live", "main", "odd"), "no time", {}))  # type: ignore[arg-type]
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    await store.put(push("after"))
    assert [each.key[2] for each in await again(store, tmp_path)] == ["after", "before"]


def _folder_is_a_file(folder: Path) -> None:
    folder.rmdir()
    folder.write_text("")


def _garbage(folder: Path) -> None:
    (folder / FILE_NAME).write_bytes(b"no database " * 1000)


def _damaged(folder: Path) -> None:
    """A page in the middle of a real one is overwritten."""
    with sqlite3.connect(folder / FILE_NAME) as made:
        made.execute(MIGRATIONS[0])
        made.execute("PRAGMA user_version = 1")
        for number in range(500):
            made.execute("INSERT INTO push VALUES ('v', 'a', ?, 1.0, ?, 0, 0, 0)", (str(number), "x" * 300))
    made.close()
    with open(folder / FILE_NAME, "r+b") as file:
        file.seek(3 * 4096)
        file.write(os.urandom(4096))


def _from_the_future(folder: Path) -> None:
    with sqlite3.connect(folder / FILE_NAME) as made:
        made.execute("PRAGMA user_version = 4711")
    made.close()


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (_folder_is_a_file, "fails with '(File exists|Not a directory)'"),
        (_garbage, "fails with 'file is not a database'"),
        (_damaged, "fails with '.+', allowed: a database of pushcast"),
        (_from_the_future, f"schema version 4711, allowed: up to {len(MIGRATIONS)}"),
    ],
)
async def test_a_file_that_cannot_be_used_is_one_sentence(tmp_path: Path, spoil: Any, words: str) -> None:
    spoil(tmp_path)
    with pytest.raises(ConfigError) as caught:
        Store(tmp_path)
    assert re.match(rf'^state\.path: found "[^"]+".*{words}', str(caught.value)), str(caught.value)
    assert "\n" not in str(caught.value)


async def test_a_row_that_is_no_settings_is_left_where_it_is(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store = Store(tmp_path)
    await store.put(push("good"), push("bad"))
    await store.close()
    with sqlite3.connect(tmp_path / FILE_NAME) as made:
        made.execute("UPDATE push SET settings = '[1]' WHERE id = 'bad'")
    made.close()
    store = Store(tmp_path)
    assert [each.key[2] for each in store.load()] == ["good"]
    assert "push live/main/bad is no JSON object" in caplog.text
    await store.close()
    with sqlite3.connect(tmp_path / FILE_NAME) as made:
        assert made.execute("SELECT count(*) FROM push").fetchone() == (2,)
    made.close()


async def test_every_earlier_schema_becomes_the_present_one(tmp_path: Path) -> None:
    """An empty file is version 0: each migration is taken once, and a second opening takes none."""
    store = Store(tmp_path)
    await store.close()
    with sqlite3.connect(tmp_path / FILE_NAME) as made:
        assert made.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
    made.close()
    await Store(tmp_path).close()
