"""Desired state: kept before it is done, there again after a crash, and changed by one at a time."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from live import Kept, LiveStream, UdpSink, settings, until
from serving import Served, make_clip
from serving import until as wait_for

from pushcast.errors import Conflict, NotFound, StoreError
from pushcast.push_state import Halt, PushState
from pushcast.settings import read_settings


@pytest_asyncio.fixture
async def kept(tmp_path: Path) -> AsyncIterator[Kept]:
    made = Kept(folder=tmp_path)
    yield made
    await made.close()


def wanted(push_id: str, url: str = "udp://127.0.0.1:9", **more: Any) -> Any:
    return settings(push_id, url, **more)


async def another_life(kept: Kept, folder: Path) -> Kept:
    await kept.close()
    later = Kept(folder=folder)
    later.desired.restore()
    return later


async def test_pushes_come_back_with_what_they_were(tmp_path: Path) -> None:
    kept = Kept(folder=tmp_path)
    request = {
        "id": "whole",
        "stream": {"name": "s", "variantNames": ["cam"], "trackIds": [7]},
        "protocol": "rtmp",
        "url": "rtmp://127.0.0.1:9/live",
        "streamKey": "s3cret?x=1",
        "startAt": "2999-01-01T00:00:00+02:00",
        "stopAt": 40_000_000_000,
        "maxDuration": 12.5,
    }
    first = await kept.desired.start(read_settings("v", "a", request))
    await kept.desired.start(wanted("gone"))
    await kept.desired.stop("v", "a", "gone")
    paused = await kept.desired.start(wanted("paused"))
    await kept.desired.pause(paused)
    later = await another_life(kept, tmp_path)
    try:
        assert [push.settings.id for push in later.scheduler.pushes("v", "a")] == ["paused", "whole"]
        again = later.scheduler.get("v", "a", "whole")
        assert again is not None
        assert (again.settings, again.created_time) == (first.settings, first.created_time)
        other = later.scheduler.get("v", "a", "paused")
        assert other is not None
        assert (other.state, other.halt) == (PushState.STOPPED, Halt.PAUSED)
        await later.desired.resume(other)
        assert other.state is PushState.READY
    finally:
        await later.close()


async def test_totals_come_back(tmp_path: Path) -> None:
    kept, sink = Kept(folder=tmp_path), UdpSink()
    live = LiveStream(kept.registry)
    live.up()
    push = await kept.desired.start(wanted("p", f"udp://127.0.0.1:{await sink.open()}"))
    async with live.playing():
        await until(lambda: push.progress().sent_bytes > 20_000)
    live.down()
    await until(lambda: push.state is PushState.READY)
    noting = asyncio.create_task(kept.desired.run())
    await asyncio.sleep(0)
    noting.cancel()
    await asyncio.wait({noting})
    sent = push.progress().total_sent_bytes
    later = await another_life(kept, tmp_path)
    try:
        again = later.scheduler.get("v", "a", "p")
        assert again is not None
        assert (again.progress().total_sent_bytes, again.sequence) == (sent, 1)
    finally:
        await later.close()
        sink.close()


async def test_an_id_that_is_being_written_is_busy(kept: Kept) -> None:
    first = asyncio.create_task(kept.desired.start(wanted("p")))
    await asyncio.sleep(0)
    with pytest.raises(Conflict, match="Duplicate ID"):
        await kept.desired.start(wanted("p"))
    push = await first
    stopping = asyncio.create_task(kept.desired.stop("v", "a", "p"))
    await asyncio.sleep(0)
    with pytest.raises(NotFound):
        await kept.desired.stop("v", "a", "p")
    with pytest.raises(Conflict, match="is being changed"):
        await kept.desired.pause(push)
    await stopping
    await kept.desired.start(wanted("p"))


async def test_what_cannot_be_kept_is_not_done(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    running = await kept.desired.start(wanted("running"))

    async def full(*_: object) -> None:
        raise StoreError("The store cannot be written: database or disk is full")

    monkeypatch.setattr(kept.store, "put", full)
    monkeypatch.setattr(kept.store, "remove", full)
    with pytest.raises(StoreError):
        await kept.desired.start(wanted("new"))
    with pytest.raises(StoreError):
        await kept.desired.stop("v", "a", "running")
    with pytest.raises(StoreError):
        await kept.desired.pause(running)
    assert [push.settings.id for push in kept.scheduler.pushes("v", "a")] == ["running"]
    assert running.state is PushState.READY


async def test_many_at_once_have_an_outcome_each(kept: Kept) -> None:
    await kept.desired.start(wanted("b"))
    outcomes = await kept.desired.start_all([wanted("a"), wanted("b"), wanted("a"), wanted("c")])
    assert [type(each).__name__ for each in outcomes] == ["Push", "Conflict", "Conflict", "Push"]
    stopped = await kept.desired.stop_all("v", "a", ["c", "none", "a", "c"])
    assert [type(each).__name__ for each in stopped] == ["NoneType", "NotFound", "NoneType", "NotFound"]


async def test_times_begin_and_end_a_push(kept: Kept) -> None:
    sink = UdpSink()
    url = f"udp://127.0.0.1:{await sink.open()}"
    live = LiveStream(kept.registry)
    live.up()
    now = time.time()
    later = await kept.desired.start(wanted("later", url, start_at=now + 0.4))
    ends = await kept.desired.start(wanted("ends", url, stop_at=now + 0.4))
    lasts = await kept.desired.start(wanted("lasts", url, max_duration_s=0.3))
    assert later.state is PushState.READY
    async with live.playing():
        await until(lambda: later.state is PushState.PUSHING)
        assert time.time() >= now + 0.4
        await until(lambda: ends.state is lasts.state is PushState.STOPPED)
    assert (ends.halt, lasts.halt) == (Halt.STOP_AT, Halt.MAX_DURATION)
    assert 0.2 < lasts.pushing_s() < 2  # as sent: the last send is up to two turns before the end
    sink.close()


async def test_pause_resume_restart_and_replace_while_it_pushes(kept: Kept) -> None:
    old, new = UdpSink(), UdpSink()
    live = LiveStream(kept.registry)
    live.up()
    push = await kept.desired.start(wanted("p", f"udp://127.0.0.1:{await old.open()}"))
    async with live.playing():
        await until(lambda: push.state is PushState.PUSHING)
        await kept.desired.pause(push)
        await until(lambda: push.state is PushState.STOPPED)
        await kept.desired.resume(push)
        await until(lambda: push.state is PushState.PUSHING)
        sessions = push.sequence
        kept.scheduler.restart(push)
        await until(lambda: push.sequence == sessions + 1 and push.state is PushState.PUSHING)
        await kept.desired.replace(push, wanted("p", f"udp://127.0.0.1:{await new.open()}"))
        await until(lambda: new.received)
    old.close()
    new.close()


def test_kill_9_in_the_middle_of_starts(tmp_path: Path) -> None:
    """Exactly what was accepted is there after the restart, and runs."""
    clip = make_clip(tmp_path / "clip.ts", 4)
    source = f'[[sources]]\nname = "live"\nurl = "file://{clip}?loop=1"'
    first = Served(tmp_path, sources=source)
    first.until_stream()
    for number in range(150):
        first.start(f"p{number:03}", "mpegts", "udp://127.0.0.1:9")
    first.process.stop(signal.SIGKILL)
    second = Served(tmp_path, sources=source)
    try:
        assert [push["id"] for push in second.pushes()] == [f"p{number:03}" for number in range(150)]
        second.until_stream()
        wait_for("all are pushing", lambda: {push["state"] for push in second.pushes()} == {"pushing"}, 3)
        second.close()
    finally:
        second.process.stop(signal.SIGKILL)
