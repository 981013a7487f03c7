"""Backup destinations: the order of trying, the way back, and lists that are none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from live import Engine, LiveStream, Peers, engine, refusing_tcp_port, until

from pushcast import backups as backups_module
from pushcast import settings as settings_module
from pushcast.errors import InvalidRequest
from pushcast.push import Push
from pushcast.push_state import PushState
from pushcast.retry import RetryPolicy
from pushcast.settings import read_settings

ASKED = {"id": "p", "stream": {"name": "s"}, "protocol": "mpegts", "url": "tcp://127.0.0.1:9"}


@pytest_asyncio.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Engine]:
    monkeypatch.setattr(settings_module, "DEFAULT_RETRY", RetryPolicy(0.05, 0.2))
    monkeypatch.setattr(backups_module, "FAIL_BACKS_S", (0.01, 10.0))
    async with engine() as built:
        yield built


def start(world: Engine, *ports: int, **more: Any) -> Push:
    first, *others = (f"tcp://127.0.0.1:{port}" for port in ports)
    asked = {**ASKED, "url": first, "backupUrls": others, **more}
    return world.scheduler.start(read_settings("v", "a", asked))


async def test_a_destination_that_fails_is_followed_by_the_next_at_once(world: Engine) -> None:
    live = LiveStream(world.registry)
    live.up()
    peers = Peers()
    push = start(world, refusing_tcp_port(), refusing_tcp_port(), await peers.listen())
    async with live.playing():
        await until(lambda: push.state is PushState.PUSHING)
        assert push.on_backup == 2
        assert push.retry_count == 0, "there was no wait"
        moves = [(move.state.value, move.why) for move in push.history]
        assert [why for state, why in moves if state == "connecting"] == ["", "backup 1", "backup 2"]
        await until(lambda: peers.received and len(peers.received[0]) > 5000)
    await peers.close()


async def test_behind_the_last_it_waits_and_begins_with_the_first(world: Engine) -> None:
    live = LiveStream(world.registry)
    live.up()
    live.feed(30)
    ports = (refusing_tcp_port(), refusing_tcp_port())
    push = start(world, *ports)
    await until(lambda: push.retry_count >= 2)
    tried = [move.why for move in push.history if move.state is PushState.CONNECTING]
    assert tried[:4] == ["", "backup 1", "", "backup 1"]
    peers = Peers()
    await peers.listen(ports[0])
    async with live.playing():
        await until(lambda: push.state is PushState.PUSHING)
    assert push.on_backup == 0
    await peers.close()


async def test_it_goes_back_when_the_first_accepts_again(world: Engine) -> None:
    live = LiveStream(world.registry)
    live.up()
    first, second = refusing_tcp_port(), Peers()
    push = start(world, first, await second.listen(), failBack=0.1)
    async with live.playing():
        await until(lambda: push.state is PushState.PUSHING and push.on_backup == 1)
        await asyncio.sleep(0.3)
        assert (push.state, push.sequence) == (PushState.PUSHING, 0), "a first one that refuses disturbs nothing"
        back = Peers()
        await back.listen(first)
        await until(lambda: push.state is PushState.PUSHING and push.on_backup == 0)
        await until(lambda: any(len(received) > 5000 for received in back.received))
        await until(lambda: second.ended == 1)
    await back.close()
    await second.close()


async def test_a_stream_that_returns_begins_with_the_first(world: Engine) -> None:
    peers, backup = Peers(), Peers()
    port = refusing_tcp_port()
    push = start(world, port, await backup.listen())
    live = LiveStream(world.registry)
    live.up()
    async with live.playing():
        await until(lambda: push.state is PushState.PUSHING and push.on_backup == 1)
    live.down()
    await until(lambda: push.state is PushState.READY)
    await peers.listen(port)
    again = LiveStream(world.registry)
    again.up()
    async with again.playing():
        await until(lambda: push.state is PushState.PUSHING)
    assert push.on_backup == 0
    await peers.close()
    await backup.close()


async def test_fewer_backups_while_it_is_on_one(world: Engine) -> None:
    live = LiveStream(world.registry)
    live.up()
    first, second = Peers(), Peers()
    push = start(world, refusing_tcp_port(), await second.listen())
    async with live.playing():
        await until(lambda: push.state is PushState.PUSHING and push.on_backup == 1)
        asked = {**ASKED, "url": f"tcp://127.0.0.1:{await first.listen()}"}
        world.scheduler.replace(push, read_settings("v", "a", asked))
        await until(lambda: bool(first.received) and push.state is PushState.PUSHING)
    await first.close()
    await second.close()


def test_what_is_asked_for_is_kept() -> None:
    more = {"backupUrls": ["tcp://h:1", {"url": "tcp://h:2", "streamKey": "k"}], "failBack": 30.0}
    kept = read_settings("v", "a", {**ASKED, **more}).members()
    assert (kept["backupUrls"], kept["failBack"]) == (more["backupUrls"], 30.0)
    assert read_settings("v", "a", kept).members() == kept
    assert "tcp://h:2" not in repr(read_settings("v", "a", kept))


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"backupUrls": "tcp://h:1"}, "backupUrls: found str, allowed: a list of up to 8 URLs"),
        ({"backupUrls": ["tcp://h:1"] * 9}, "backupUrls: found 9 of them, allowed: a list of up to 8 URLs"),
        ({"backupUrls": ["tcp://h:1", 5]}, "backupUrls[1]: allowed: a URL, or an object with url and streamKey"),
        ({"backupUrls": [{"streamKey": "k"}]}, "backupUrls[0]: allowed: a URL, or an object with url and streamKey"),
        ({"backupUrls": [{"url": "tcp://h:1", "key": "k"}]}, "backupUrls[0]: allowed: a URL, or an object"),
        ({"backupUrls": ["srt://h:1"]}, "backupUrls[0]: Unsupported protocol"),
        ({"backupUrls": ["tcp://169.254.169.254:80"]}, "backupUrls[0]: "),
        ({"failBack": 0}, "failBack: found 0, allowed: 1 to 86400 seconds"),
        ({"failBack": "soon"}, "failBack: found soon, allowed: 1 to 86400 seconds"),
    ],
)
def test_lists_that_are_none(more: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_settings("v", "a", {**ASKED, **more})
    assert str(caught.value).startswith(words)
