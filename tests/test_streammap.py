"""Automatic pushes follow streams and edits."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Callable
from itertools import count
from pathlib import Path

import pytest
import pytest_asyncio
from live import Engine, LiveStream, UdpSink, settings, until, within
from stream_maps import item, rule

from pushcast import streammap as streammap_module
from pushcast.push_state import PushState
from pushcast.scheduler import Scheduler
from pushcast.streammap import StreamMap
from pushcast.streammap_rule import Rule


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    monkeypatch.setattr(logging.getLogger("pushcast"), "propagate", True)
    caplog.set_level(logging.WARNING)
    return caplog


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "map.xml"


@pytest_asyncio.fixture
async def port() -> AsyncIterator[int]:
    sink = UdpSink()
    yield await sink.open()
    sink.close()


_writes = count(1)


def write(path: Path, *items: str, end: str = "</PushInfo>") -> None:
    """As an editor does; two writes never have the same time."""
    path.write_text("<PushInfo>" + "".join(items) + end)
    os.utime(path, ns=(next(_writes) * 10**9,) * 2)


def udp(port: int, **elements: str) -> str:
    return item(**({"Protocol": "mpegts", "Url": f"udp://127.0.0.1:{port}", "StreamKey": ""} | elements))


def mapped(world: Engine, *rules: Rule, path: Path | None = None) -> StreamMap:
    built = StreamMap(world.registry, world.scheduler, "v", "a", rules, path)
    world.registry.subscribe(built)
    return built


def ids(scheduler: Scheduler) -> list[str]:
    return [push.settings.id for push in scheduler.pushes("v", "a")]


def live(world: Engine, name: str) -> LiveStream:
    stream = LiveStream(world.registry, name)
    stream.up()
    stream.feed(30)
    return stream


async def pushing(world: Engine, push_id: str) -> None:
    push = world.scheduler.get("v", "a", push_id)
    assert push is not None
    await until(lambda: push.state is PushState.PUSHING)


async def test_a_stream_gets_its_pushes_and_takes_them_along(world: Engine, port: int) -> None:
    url = f"udp://127.0.0.1:{port}"
    mapped(
        world,
        rule(id="all", protocol="mpegts", url=url),
        rule(id="shows", stream="show*", protocol="mpegts", url=url + "?x=${Stream}"),
        rule(id="cams", stream="cam*", protocol="mpegts", url=url),
    )
    assert ids(world.scheduler) == []
    for _ in range(2):
        show, cam = live(world, "show1"), live(world, "cam1")
        assert ids(world.scheduler) == ["all:cam1", "all:show1", "cams:cam1", "shows:show1"]
        assert all(push.settings.is_config for push in world.scheduler.pushes("v", "a"))
        await pushing(world, "shows:show1")
        show.down()
        assert ids(world.scheduler) == ["all:cam1", "cams:cam1"]
        cam.down()
        assert ids(world.scheduler) == []


async def test_streams_of_other_apps_are_not_looked_at(world: Engine, port: int) -> None:
    other = StreamMap(
        world.registry, world.scheduler, "v", "b", [rule(protocol="mpegts", url=f"udp://127.0.0.1:{port}")], None
    )
    world.registry.subscribe(other)
    live(world, "s")
    assert world.scheduler.pushes("v", "a") == world.scheduler.pushes("v", "b") == []


async def test_what_the_api_did_is_left_alone(world: Engine, port: int, lines: pytest.LogCaptureFixture) -> None:
    url = f"udp://127.0.0.1:{port}"
    mapped(world, rule(id="r", protocol="mpegts", url=url), rule(id="q", protocol="mpegts", url=url))
    theirs = world.scheduler.start(settings("r:s", url, stream="other"))
    first = live(world, "s")
    assert ids(world.scheduler) == ["q:s", "r:s"]
    assert [record.getMessage() for record in lines.records] == [
        "stream map v/a: push r:s is not started: Duplicate ID"
    ]
    world.scheduler.stop("v", "a", "q:s")
    also_theirs = world.scheduler.start(settings("q:s", url, stream="other"))
    first.down()
    assert world.scheduler.pushes("v", "a") == [also_theirs, theirs]
    world.scheduler.stop("v", "a", "q:s")
    live(world, "s").down()
    assert world.scheduler.pushes("v", "a") == [theirs]


async def test_a_rule_that_makes_no_push_of_a_name_costs_one_line(
    world: Engine, port: int, lines: pytest.LogCaptureFixture
) -> None:
    mapped(
        world,
        rule(id="long", protocol="srt", url="srt://192.0.2.9:9000?passphrase=swordfish1&latency=${Stream}"),
        rule(id="key", stream_key="swordfish${Stream}"),
        rule(id="good", protocol="mpegts", url=f"udp://127.0.0.1:{port}"),
    )
    live(world, "bad\x1b\n")
    assert ids(world.scheduler) == ["good:bad\x1b\n"]
    assert [record.getMessage() for record in lines.records] == [
        "stream map v/a: PLACE: stream bad\\x1b\\n gets no push: Option latency: found 'bad\\x1b\\n', "
        "allowed 0us..65535000us, a number without suffix counts in us",
        "stream map v/a: PLACE: stream bad\\x1b\\n gets no push: "
        "Could not parse streamKey: a name in it holds a control character",
    ]


async def test_edits_are_followed(world: Engine, port: int, path: Path) -> None:
    write(path, udp(port, StreamName="s*", Id="kept"), udp(port), udp(port, Id="gone"), udp(port, Id="changed"))
    follower = mapped(world, path=path)
    stream = live(world, "s1")
    assert ids(world.scheduler) == []
    await follower.check()
    assert ids(world.scheduler) == ["changed:s1", "gone:s1", "kept:s1", "map-2:s1"]
    for push_id in ids(world.scheduler):
        await pushing(world, push_id)
    before = {push.settings.id: push for push in world.scheduler.pushes("v", "a")}

    write(
        path,
        udp(port, StreamName="?1", Id="new"),
        udp(port, Enable="false", Id="gone"),
        udp(port, Id="changed", VariantNames="cam"),
        udp(port),
        udp(port, StreamName="s?", Id="kept"),
    )
    await follower.check()
    after = {push.settings.id: push for push in world.scheduler.pushes("v", "a")}
    assert sorted(after) == ["changed:s1", "kept:s1", "map-2:s1", "new:s1"]
    for push_id in ("kept:s1", "map-2:s1"):
        assert after[push_id] is before[push_id]
        assert (after[push_id].state, after[push_id].sequence) == (PushState.PUSHING, 0)
    assert after["changed:s1"] is not before["changed:s1"]
    assert after["changed:s1"].settings.variant_names == ("cam",)
    await until(lambda: before["gone:s1"].state is PushState.STOPPED)
    await pushing(world, "changed:s1")

    write(path)
    await follower.check()
    assert ids(world.scheduler) == []
    stream.down()


async def test_a_push_that_the_api_stopped_stays_so_over_an_edit(world: Engine, port: int, path: Path) -> None:
    write(path, udp(port, Id="r"))
    follower = mapped(world, path=path)
    await follower.check()
    stream = live(world, "s")
    world.scheduler.stop("v", "a", "r:s")
    write(path, udp(port, Id="r"), udp(port, Id="q"))
    await follower.check()
    assert ids(world.scheduler) == ["q:s"]
    stream.down()
    live(world, "s")
    assert ids(world.scheduler) == ["q:s", "r:s"]


async def test_a_file_that_is_no_map_any_more_leaves_its_rules(
    world: Engine, port: int, path: Path, lines: pytest.LogCaptureFixture
) -> None:
    write(path, udp(port, Id="r"))
    follower = mapped(world, rule(id="c", protocol="mpegts", url=f"udp://127.0.0.1:{port}"), path=path)
    await follower.check()
    live(world, "s")
    push = world.scheduler.get("v", "a", "r:s")
    told: list[str] = []
    for spoil in (
        lambda: write(path, udp(port, Id="r"), udp(port), end=""),
        path.unlink,
        lambda: write(path, "<!-- ", end=""),
        path.unlink,
    ):
        spoil()
        lines.clear()
        for _ in range(3):
            await follower.check()
        (record,) = lines.records
        told.append(record.getMessage())
        assert world.scheduler.get("v", "a", "r:s") is push
        another = live(world, "t")
        assert ids(world.scheduler) == ["c:s", "c:t", "r:s", "r:t"]
        another.down()
    assert told[1] == f"stream map v/a: {path}: cannot be read: No such file or directory; the rules of before stay: 1"
    write(path)
    await follower.check()
    assert ids(world.scheduler) == ["c:s"]


async def test_faults_are_told_once_and_not_without_end(
    world: Engine, port: int, path: Path, lines: pytest.LogCaptureFixture
) -> None:
    write(path, udp(port, Id="c"), udp(port, Protocol="x"), "<Pull/>" * 90)
    follower = mapped(world, rule(id="c"), path=path)
    await follower.check()
    await follower.check()
    told = [record.getMessage() for record in lines.records]
    assert told[0].startswith(f'stream map v/a: {path}: Push 1: Id: found "c" a second time')
    assert told[1].startswith(f'stream map v/a: {path}: Push 2: Protocol: found "x"')
    assert told[-1] == f"stream map v/a: {path}: 42 more faults"
    assert len(told) == streammap_module.MAX_TOLD + 1


def rewrite(path: Path, item: str) -> None:
    write(path, item)


def replace_by_another(path: Path, item: str) -> None:
    """A new file under the name, with the time of the old one."""
    beside = path.with_suffix(".new")
    write(beside, item)
    os.utime(beside, ns=(path.stat().st_mtime_ns,) * 2)
    beside.rename(path)


def overwrite_and_hide_it(path: Path, item: str) -> None:
    """The same file with the same size and time; but its change time is the kernel's, and moves by milliseconds."""
    before = path.stat()
    deadline_s = time.monotonic() + 5
    while path.stat().st_ctime_ns == before.st_ctime_ns:
        write(path, item)
        os.utime(path, ns=(before.st_mtime_ns,) * 2)
        assert time.monotonic() < deadline_s
    after = path.stat()
    assert (after.st_mtime_ns, after.st_size, after.st_ino) == (before.st_mtime_ns, before.st_size, before.st_ino)


@pytest.mark.parametrize("edit", [rewrite, replace_by_another, overwrite_and_hide_it])
async def test_every_kind_of_edit_is_seen(
    world: Engine, port: int, path: Path, edit: Callable[[Path, str], None]
) -> None:
    write(path, udp(port, StreamName="old"))
    follower = mapped(world, path=path)
    await follower.check()
    edit(path, udp(port, StreamName="new"))
    await follower.check()
    live(world, "new")
    assert ids(world.scheduler) == ["map-1:new"]


async def test_watch_follows_until_it_is_cancelled(
    world: Engine, port: int, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streammap_module, "LOOK_S", 0.005)
    follower = mapped(world, path=path)
    live(world, "s")
    task = asyncio.create_task(follower.watch())
    write(path, udp(port, Id="one"))
    await until(lambda: ids(world.scheduler) == ["one:s"])
    write(path, udp(port, Id="two"))
    await until(lambda: ids(world.scheduler) == ["two:s"])
    task.cancel()
    await within(asyncio.wait({task}))
    assert task.cancelled()
    await within(mapped(world).watch())


async def test_streams_that_come_and_go_while_the_file_is_read(world: Engine, port: int, path: Path) -> None:
    write(path, udp(port, Id="r"))
    follower = mapped(world, path=path)
    names = [f"s{number}" for number in range(6)]
    streams = [live(world, name) for name in names]
    checking = asyncio.create_task(follower.check())
    deadline_s = time.monotonic() + 5
    while not ids(world.scheduler):
        assert time.monotonic() < deadline_s
        await asyncio.sleep(0)
    assert ids(world.scheduler) == ["r:s0"]
    streams[3].down()
    streams[4].down()
    live(world, "s4")
    live(world, "late")
    await checking
    assert ids(world.scheduler) == [f"r:{name}" for name in ("late", "s0", "s1", "s2", "s4", "s5")]


async def test_a_scheduler_that_closed_breaks_no_stream(world: Engine, port: int) -> None:
    mapped(world, rule(protocol="mpegts", url=f"udp://127.0.0.1:{port}"))
    stream = live(world, "s")
    await world.scheduler.close()
    stream.down()
    live(world, "t").down()
    assert ids(world.scheduler) == []
