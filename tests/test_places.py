"""Places for connects: bounded in number, and never all in the hands of those who do not answer."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack

import pytest
from live import Engine, LiveStream, Peers, settings, until

from pushcast.config import Config
from pushcast.places import Places
from pushcast.push_state import PushState

AT_ONCE = 16


async def held(places: Places, holder: AsyncExitStack, endpoint: str, *, failed: bool = False) -> bool:
    """Whether there was a place at once; it is held then."""
    try:
        async with asyncio.timeout(0):
            await holder.enter_async_context(places.place(endpoint, failed=failed))
    except TimeoutError:
        return False
    return True


async def test_all_together_are_bounded() -> None:
    places = Places(AT_ONCE)
    async with AsyncExitStack() as holder:
        assert [await held(places, holder, f"h{number}:1") for number in range(AT_ONCE)] == [True] * AT_ONCE
        assert not await held(places, holder, "other:1")
    async with AsyncExitStack() as holder:
        assert await held(places, holder, "other:1")


async def test_an_endpoint_has_a_quarter() -> None:
    places = Places(AT_ONCE)
    async with AsyncExitStack() as holder:
        assert [await held(places, holder, "dead:1") for _ in range(6)] == [True] * 4 + [False] * 2
        assert await held(places, holder, "dead:2")


async def test_those_that_failed_have_half() -> None:
    places = Places(AT_ONCE)
    async with AsyncExitStack() as holder:
        got = [await held(places, holder, f"h{number}:1", failed=True) for number in range(10)]
        assert got == [True] * 8 + [False] * 2
        assert await held(places, holder, "new:1")


async def test_nothing_is_kept_of_endpoints_that_are_gone() -> None:
    places = Places(AT_ONCE)
    for number in range(1000):
        async with places.place(f"h{number}:1", failed=False):
            pass
    assert len(places._endpoints) <= 1


async def test_hundreds_that_never_answer_keep_nobody_waiting(world: Engine) -> None:
    """They accept and say nothing, and each holds its place for five seconds and more."""
    mute, peers = Peers(), Peers()
    ports = [await Peers().listen() for _ in range(3)]
    port = await peers.listen()
    live = LiveStream(world.registry)
    live.up()
    async with live.playing():
        dead = [
            world.scheduler.start(settings(f"d{number}", f"rtmp://127.0.0.1:{ports[number % 3]}/app", key="k"))
            for number in range(600)
        ]
        await until(lambda: sum(push.state is PushState.CONNECTING for push in dead) == 600)
        began = time.monotonic()
        push = world.scheduler.start(settings("live", f"tcp://127.0.0.1:{port}"))
        await until(lambda: push.state is PushState.PUSHING)
        assert time.monotonic() - began < 1.0
    await mute.close()
    await peers.close()


@pytest.mark.parametrize(("value", "right"), [(4, True), (10_000, True), (3, False), (0, False)])
def test_the_configured_number(value: int, right: bool) -> None:
    if right:
        assert Config(destinations={"connects_at_once": value}).destinations.connects_at_once == value
        return
    with pytest.raises(ValueError, match="connects_at_once"):
        Config(destinations={"connects_at_once": value})
