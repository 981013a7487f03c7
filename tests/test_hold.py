"""A stream that is lost and comes back, and pushes that keep their connection meanwhile."""

from __future__ import annotations

import asyncio

import pytest
from live import Engine, LiveStream, Peers, settings, until

from pushcast.errors import InvalidRequest
from pushcast.health import Health
from pushcast.push import Push
from pushcast.push_state import PushState
from pushcast.settings import read_settings
from pushcast.verify import TsChecker


def start(world: Engine, peers: Peers, hold_s: float) -> Push:
    url = f"tcp://127.0.0.1:{peers.port}"
    return world.scheduler.start(settings("p", url, hold_s=hold_s))


def holding(push: Push) -> bool:
    return push.session is not None and push.session.holding


async def play(world: Engine, push: Push, at_least: int) -> LiveStream:
    """A stream that is there until so many bytes more were sent, and then ends."""
    live = LiveStream(world.registry)
    live.up()
    before = push.progress().sent_bytes
    async with live.playing():
        await until(lambda: push.progress().sent_bytes > before + at_least)
    live.down()
    return live


async def test_the_connection_is_kept_and_times_go_on(world: Engine, peers: Peers) -> None:
    push = start(world, peers, 5.0)
    await play(world, push, 20_000)
    await until(lambda: holding(push))
    assert push.state is PushState.PUSHING
    push.look()
    assert push.session is not None
    assert push.session.condition.health is Health.DEGRADED
    assert push.session.condition.reason == "the stream is gone, and the connection is held for it"
    sent = push.progress().sent_bytes
    for _ in range(2):
        await play(world, push, 20_000)
        await until(lambda: holding(push))
    assert push.progress().sent_bytes > sent + 40_000, "bytes of all streams count in one session"
    assert (push.sequence, len(peers.received), peers.ended) == (0, 1, 0)
    world.scheduler.stop("v", "a", "p")
    await until(lambda: peers.ended == 1)
    checker = TsChecker()
    checker.feed(bytes(peers.received[0]))
    assert checker.errors() == {}
    assert checker.stats()["video_frames"] > 30


async def test_it_leaves_when_the_stream_stays_away(world: Engine, peers: Peers) -> None:
    push = start(world, peers, 0.2)
    await play(world, push, 10_000)
    await until(lambda: holding(push))
    await until(lambda: push.state is PushState.READY and peers.ended == 1)
    await play(world, push, 10_000)
    assert len(peers.received) == 2


async def test_it_does_not_hold_unless_asked(world: Engine, peers: Peers) -> None:
    push = start(world, peers, 0.0)
    await play(world, push, 10_000)
    await until(lambda: push.state is PushState.READY)


async def test_a_stop_and_a_lost_peer_end_the_wait(world: Engine, peers: Peers) -> None:
    push = start(world, peers, 60.0)
    await play(world, push, 10_000)
    await until(lambda: holding(push))
    peers.transports[0].abort()
    await until(lambda: not holding(push) and push.state is PushState.READY)
    again = LiveStream(world.registry)
    again.up()
    async with again.playing():
        await until(lambda: push.state is PushState.PUSHING and len(peers.received) == 2)
    again.down()
    await until(lambda: holding(push))
    world.scheduler.stop("v", "a", "p")
    await until(lambda: peers.ended == 2)


async def test_many_returns_leave_nothing_behind(world: Engine, peers: Peers) -> None:
    push = start(world, peers, 5.0)
    for _ in range(6):
        await play(world, push, 5_000)
        await until(lambda: holding(push))
    assert len(asyncio.all_tasks()) < 8


@pytest.mark.parametrize("value", [-1, 600_001, 1.5, "5", True])
def test_times_that_are_none(value: object) -> None:
    asked = {"id": "p", "stream": {"name": "s"}, "protocol": "mpegts", "url": "udp://h:9", "holdMs": value}
    with pytest.raises(InvalidRequest, match=r"^holdMs: found .*, allowed: 0 to 600000 milliseconds$"):
        read_settings("v", "a", asked)


def test_what_is_asked_for_is_kept() -> None:
    asked = {"id": "p", "stream": {"name": "s"}, "protocol": "mpegts", "url": "udp://h:9", "holdMs": 2500}
    kept = read_settings("v", "a", asked).members()
    assert kept["holdMs"] == 2500
    assert read_settings("v", "a", kept).hold_s == 2.5
