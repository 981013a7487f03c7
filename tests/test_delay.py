"""Pushes that stay behind their stream: what they get, what they keep, and what a lost stream leaves them."""

from __future__ import annotations

import asyncio
import time

import pytest
from live import Engine, LiveStream, Peers, settings, until

from pushcast.api.check import Checks
from pushcast.errors import InvalidRequest, MediaError
from pushcast.push import Push
from pushcast.push_state import PushState
from pushcast.ring import Ring
from pushcast.settings import read_settings
from pushcast.verify import TsChecker

KEY = 1


def start(world: Engine, peers: Peers, delay_ms: int, push_id: str = "p", **more: object) -> Push:
    url = f"tcp://127.0.0.1:{peers.port}"
    return world.scheduler.start(settings(push_id, url, delay_ms=delay_ms, **more))


def test_what_is_due_goes_on_with_the_clock() -> None:
    ring = Ring()
    ring.keep(10_000)
    assert ring.due_in_ms(100) is None
    ring.write(bytes(8), 0)
    assert ring.due_in_ms(100) is None, "nothing to begin with"
    ring.write(bytes(8), 90_000, KEY)
    first = ring.due_in_ms(500)
    assert first is not None
    assert 480 <= first <= 500
    ring.write(bytes(8), 90_000 + 27_000)
    second = ring.due_in_ms(500)
    assert second is not None
    assert 180 <= second <= 200
    assert ring.due_in_ms(100) == 0


def test_a_ring_that_keeps_more_takes_more() -> None:
    """64 MiB are the bound of a ring that nobody asked for more."""
    frame = bytes(1 << 20)
    held = []
    for keep_ms in (0, 20_000):
        ring = Ring(1 << 28, 1 << 20, 1 << 10)
        ring.keep(keep_ms)
        for number in range(250):
            ring.write(frame, number * 9000, KEY if number % 250 == 0 else 0)
        held.append(ring.head - ring.tail)
    assert held[0] <= 64
    assert held[1] >= 200


async def test_it_connects_when_something_is_due_and_stays_behind(world: Engine, peers: Peers) -> None:
    live = LiveStream(world.registry)
    push = start(world, peers, 1500)
    live.up()
    async with live.playing():
        began = time.monotonic()
        await until(lambda: push.state is PushState.CONNECTING)
        assert not peers.received
        await until(lambda: peers.received and peers.received[0])
        assert 1.4 < time.monotonic() - began < 2.5
        session = push.session
        assert session is not None
        await asyncio.sleep(1.0)
        held = session.attachment.ring
        counters = session.attachment.counters()
        behind = TsChecker()
        behind.feed(bytes(peers.received[0]))
        sent_frames = behind.stats()["video_frames"]
        made_frames = live.source.measured()[7]["frames_per_s"] * (time.monotonic() - began)
        assert 1.3 < (made_frames - sent_frames) / 25 < 1.9
        assert counters.lag_ms < 200, "not behind where it should be"
        assert counters.jumps == 0
        assert held.head - held.tail > 60
    assert behind.errors() == {}


async def test_a_stream_that_ends_is_sent_to_its_end(world: Engine, peers: Peers) -> None:
    live = LiveStream(world.registry)
    push = start(world, peers, 1000)
    live.up()
    async with live.playing():
        await until(lambda: push.state is PushState.PUSHING)
    live.down()
    ended = time.monotonic()
    await until(lambda: push.state is PushState.READY)
    assert 0.8 < time.monotonic() - ended < 2.0
    checker = TsChecker()
    checker.feed(bytes(peers.received[0]))
    # The last PES packet of an endless one has no end that a checker could see.
    assert checker.stats()["video_frames"] >= live.source.frame_count - checker.stats()["audio_frames"] - 2


async def test_a_stream_that_returns_within_the_delay_goes_on(world: Engine, peers: Peers) -> None:
    push = start(world, peers, 1000)
    for _ in range(2):
        live = LiveStream(world.registry)
        live.up()
        async with live.playing():
            await until(lambda: push.state is PushState.PUSHING and live.source.frame_count > 100)  # noqa: B023
        live.down()
    await until(lambda: push.state is PushState.READY)
    assert len(peers.received) == 1, "one connection"
    assert push.sequence == 1
    checker = TsChecker()
    checker.feed(bytes(peers.received[0]))
    assert checker.errors() == {}
    assert checker.stats()["video_frames"] + checker.stats()["audio_frames"] > 190


async def test_nothing_is_missing_of_a_stream_that_returns(world: Engine, peers: Peers) -> None:
    """The next stream's frames are kept from its beginning on, while what was before is still sent."""
    push = start(world, peers, 2000)
    first, second = LiveStream(world.registry), LiveStream(world.registry)
    first.up()
    async with first.playing():
        await until(lambda: push.state is PushState.PUSHING)
    first.down()
    await until(lambda: push.stream_lost)
    second.up()
    async with second.playing():
        await until(lambda: second.source.frame_count > 220)
        second_frames = second.source.frame_count
    second.down()
    await until(lambda: push.state is PushState.READY)
    checker = TsChecker()
    checker.feed(bytes(peers.received[0]))
    stats = checker.stats()
    frames = int(stats["video_frames"] or 0) + int(stats["audio_frames"] or 0)
    assert frames >= first.source.frame_count + second_frames - 4
    assert len(peers.received) == 1


async def test_a_stop_waits_for_nothing_that_is_not_due(world: Engine, peers: Peers) -> None:
    live = LiveStream(world.registry)
    push = start(world, peers, 1000)
    other = start(world, peers, 600_000, "far")
    live.up()
    async with live.playing():
        await until(lambda: push.state is PushState.PUSHING)
        for push_id in ("p", "far"):
            began = time.monotonic()
            world.scheduler.stop("v", "a", push_id)
            await until(lambda: push.state is PushState.STOPPED if push_id == "p" else not other.session)  # noqa: B023
            assert time.monotonic() - began < 0.5
        await until(lambda: other.state is PushState.STOPPED)


async def test_a_stream_that_ends_without_a_keyframe_is_not_waited_for(world: Engine, peers: Peers) -> None:
    live = LiveStream(world.registry)
    push = start(world, peers, 600_000)
    live.up()
    await until(lambda: push.state is PushState.CONNECTING)
    live.down()
    await until(lambda: push.state is PushState.READY)
    assert not peers.received


async def test_a_hundred_delayed_pushes_share_one_ring(world: Engine, peers: Peers) -> None:
    live = LiveStream(world.registry)
    pushes = [start(world, peers, 500, str(number)) for number in range(100)]
    undelayed = start(world, peers, 0, "now")
    live.up()
    async with live.playing():
        await until(lambda: all(push.state is PushState.PUSHING for push in pushes))
        assert live.source.feed_count == 1
        rings = {push.session.attachment.ring for push in (*pushes, undelayed) if push.session is not None}
        assert len(rings) == 1


async def test_a_delay_that_no_ring_holds_says_so(world: Engine, peers: Peers) -> None:
    live = LiveStream(world.registry)
    live.up()
    live.feed(50, padding_bytes=500_000)
    push = start(world, peers, 600_000)
    await until(lambda: push.state is PushState.ERROR)
    assert push.last_error is not None
    assert push.last_error.code == MediaError.code
    assert push.last_error.reason.startswith("delayMs: 600000 ms of this stream take ")
    assert push.last_error.reason.endswith(" MiB, and a ring has 1024: a smaller delay is needed")


async def test_a_dry_run_leaves_no_ring_that_keeps_more(world: Engine, peers: Peers) -> None:
    live = LiveStream(world.registry)
    push = start(world, peers, 0)
    live.up()
    async with live.playing():
        await until(lambda: push.state is PushState.PUSHING)
        assert push.session is not None
        asked = {
            "stream": {"name": "s"},
            "protocol": "mpegts",
            "url": f"tcp://127.0.0.1:{peers.port}",
            "delayMs": 30_000,
        }
        answer = await Checks(world.registry).run("v", "a", asked)
        assert answer["ok"], answer
        await until(lambda: live.source.frame_count > 100)
        assert push.session.attachment.ring.idle_ms == 0, "it knows no ages"


@pytest.mark.parametrize("value", [-1, 600_001, 1.5, "5", True])
def test_delays_that_are_none(value: object) -> None:
    asked = {"id": "p", "stream": {"name": "s"}, "protocol": "mpegts", "url": "udp://h:9", "delayMs": value}
    with pytest.raises(InvalidRequest, match=r"^delayMs: found .*, allowed: 0 to 600000 milliseconds$"):
        read_settings("v", "a", asked)


def test_what_is_asked_for_is_kept() -> None:
    asked = {"id": "p", "stream": {"name": "s"}, "protocol": "mpegts", "url": "udp://h:9", "delayMs": 30_000}
    kept = read_settings("v", "a", asked).members()
    assert kept["delayMs"] == 30_000
    assert read_settings("v", "a", kept).delay_ms == 30_000
