"""The audit log: what a line holds, that nobody waits for it, and what happens to the file meanwhile."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import stat
import threading
import time
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from pushcast import audit as module
from pushcast.audit import FILE_NAME, MAX_TEXT_CHARS, AuditLog, Entry
from pushcast.errors import ConfigError

DEADLINE_S = 10.0
ENTRY = Entry(
    time=1764052200.0625,
    token="watcher",
    remote="198.51.100.4",
    method="POST",
    path="/v1/vhosts/east/apps/live:startPush",
    action="startPush",
    status=409,
    push="p-7",
    stream="east/live/show",
)


def until(condition: Callable[[], Any]) -> Any:
    end = time.monotonic() + DEADLINE_S
    pause = threading.Event()
    while not (answer := condition()):
        assert time.monotonic() < end
        pause.wait(0.005)
    return answer


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    monkeypatch.setattr(logging.getLogger("pushcast"), "propagate", True)
    caplog.set_level(logging.INFO)
    return caplog


async def test_a_line(tmp_path: Path) -> None:
    log = AuditLog(tmp_path)
    log.record(ENTRY)
    log.record(replace(ENTRY, action="login", token="", status=401, push="", stream=""))
    await log.close()
    first, second = lines(log.path)
    assert first == {
        "time": "2025-11-25T06:30:00.062+00:00",
        "token": "watcher",
        "remote": "198.51.100.4",
        "method": "POST",
        "path": "/v1/vhosts/east/apps/live:startPush",
        "action": "startPush",
        "status": 409,
        "push": "p-7",
        "stream": "east/live/show",
    }
    assert list(first) == ["time", "token", "remote", "method", "path", "action", "status", "push", "stream"]
    assert second == {
        **{name: first[name] for name in ("time", "remote", "method", "path")},
        "token": "",
        "action": "login",
        "status": 401,
    }


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("a\nb", "a\nb"),
        ("\x1b[2J", "\x1b[2J"),
        ('"}\n{"token":"admin', '"}\n{"token":"admin'),
        ("übung", "übung"),
        ("half \udcff", "half \udcff"),
        ("nul\0", "nul\0"),
        ("x" * MAX_TEXT_CHARS, "x" * MAX_TEXT_CHARS),
        ("x" * 100_000, "x" * MAX_TEXT_CHARS + "..."),
    ],
)
def test_texts_from_outside_stay_one_line_of_ascii(given: str, written: str) -> None:
    for name in ("token", "remote", "method", "path", "action", "push", "stream"):
        line = replace(ENTRY, **{name: given}).line()
        assert line.isascii()
        assert all(byte >= 0x20 for byte in line[:-1])
        assert json.loads(line)[name] == written


@pytest.mark.parametrize("path", ["/v1/x?token=swordfish", "/v1/x#swordfish", "/v1/x?a#swordfish?b"])
def test_of_a_path_nothing_behind_its_end(path: str) -> None:
    assert json.loads(replace(ENTRY, path=path).line())["path"] == "/v1/x"


def test_an_entry_has_no_place_for_a_secret() -> None:
    names = {field.name for field in fields(Entry)}
    assert names == {"time", "token", "remote", "method", "path", "action", "status", "push", "stream"}


async def test_the_file_is_private_and_grows(tmp_path: Path) -> None:
    state = tmp_path / "deep" / "state"
    for status in (200, 404):
        log = AuditLog(state)
        log.record(replace(ENTRY, status=status))
        await log.close()
    assert [line["status"] for line in lines(state / FILE_NAME)] == [200, 404]
    assert stat.S_IMODE((state / FILE_NAME).stat().st_mode) == 0o600
    assert stat.S_IMODE(state.stat().st_mode) == 0o700


@pytest.mark.parametrize("gone", [lambda path: path.rename(path.with_suffix(".1")), Path.unlink])
async def test_a_file_that_was_moved_or_removed_is_made_anew(tmp_path: Path, gone: Callable[[Path], object]) -> None:
    log = AuditLog(tmp_path)
    log.record(replace(ENTRY, status=201))
    until(lambda: log.path.stat().st_size)
    gone(log.path)
    log.record(replace(ENTRY, status=202))
    await log.close()
    assert [line["status"] for line in lines(log.path)] == [202]
    assert stat.S_IMODE(log.path.stat().st_mode) == 0o600
    moved = log.path.with_suffix(".1")
    if moved.exists():
        assert [line["status"] for line in lines(moved)] == [201]


async def test_everything_that_waits_is_written_in_order(tmp_path: Path) -> None:
    log = AuditLog(tmp_path)
    for status in range(3000):
        log.record(replace(ENTRY, status=status))
    await log.close()
    assert [line["status"] for line in lines(log.path)] == list(range(3000))


async def test_a_disk_that_hangs_holds_up_nobody_and_what_is_lost_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pipe that nobody reads stands for the disk: to open it for writing waits."""
    monkeypatch.setattr(module, "QUEUE_LINES", 20)
    log = AuditLog(tmp_path)
    log.path.unlink()
    os.mkfifo(log.path)
    log.record(replace(ENTRY, status=1000))
    until(lambda: log._lines.empty())  # the thread has taken it, and hangs
    for status in range(1001, 1051):
        log.record(replace(ENTRY, status=status))
    found: list[dict[str, Any]] = []
    reading = threading.Thread(target=lambda: found.extend(lines(log.path)), daemon=True)
    reading.start()
    until(lambda: log._lines.empty())
    log.record(replace(ENTRY, status=1051))
    await log.close()
    await asyncio.to_thread(reading.join, DEADLINE_S)
    statuses = [line["status"] for line in found if line["action"] != "lost"]
    assert statuses == [*range(1000, 1021), 1051]
    (lost,) = [line for line in found if line["action"] == "lost"]
    assert lost["count"] == 30
    assert found.index(lost) == 1, "it stands before the first line that was written after the loss"


async def test_the_end_does_not_wait_for_a_disk_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "CLOSE_S", 0.05)
    log = AuditLog(tmp_path)
    log.path.unlink()
    os.mkfifo(log.path)
    log.record(ENTRY)
    await log.close()
    assert "took nothing for 0.05 s, its last lines are lost" in said.text
    await asyncio.to_thread(log.path.read_bytes)  # lets the thread go


async def test_a_full_disk_is_logged_once_and_what_it_lost_is_said(
    tmp_path: Path, said: pytest.LogCaptureFixture
) -> None:
    log = AuditLog(tmp_path)
    log.path.unlink()
    log.path.symlink_to("/dev/full")
    for status in (500, 501, 502):
        log.record(replace(ENTRY, status=status))
        count = status - 499
        until(lambda count=count: log._not_written == count)
    log.path.unlink()
    log.record(replace(ENTRY, status=200))
    await log.close()
    lost, written = lines(log.path)
    assert (lost["action"], lost["count"], written["status"]) == ("lost", 3, 200)
    assert said.text.count("cannot be written, lines are lost: No space left on device") == 1
    assert said.text.count("is written again") == 1


async def test_half_a_batch_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fills up in the middle of a line leaves no half of it behind."""
    log = AuditLog(tmp_path)
    log.record(replace(ENTRY, status=201))
    until(lambda: log.path.stat().st_size)
    real = os.write
    room = iter([30])

    def nearly_full(file: int, data: memoryview) -> int:
        try:
            return real(file, data[: next(room)])
        except StopIteration:
            raise OSError(28, "No space left on device") from None

    monkeypatch.setattr(module.os, "write", nearly_full)
    log.record(replace(ENTRY, status=202))
    until(lambda: log._not_written)
    monkeypatch.setattr(module.os, "write", real)
    log.record(replace(ENTRY, status=203))
    await log.close()
    assert [line.get("status", line.get("count")) for line in lines(log.path)] == [201, 1, 203]


@pytest.mark.parametrize("taken", ["state", f"state/{FILE_NAME}/x"])
def test_a_file_that_cannot_be_had_stops_the_start(tmp_path: Path, taken: str) -> None:
    (tmp_path / taken).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / taken).write_text("")
    with pytest.raises(ConfigError) as caught:
        AuditLog(tmp_path / "state")
    assert str(caught.value).startswith(f'state.path: found "{tmp_path}/state/{FILE_NAME}", which fails with ')
    assert str(caught.value).endswith(", allowed: a folder in which pushcast may make and write it")
