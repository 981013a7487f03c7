"""Python's own collection of everything comes at set times only, so nothing of ours may need it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import weakref
from collections.abc import Callable, Iterator

import pytest
from adversity.sinks import sinks
from live import LiveStream, engine, refusing_tcp_port, settings, until

from pushcast import garbage
from pushcast.push import Push
from pushcast.push_state import PushState
from pushcast.scheduler import Scheduler


@contextlib.contextmanager
def kept_as_it_was() -> Iterator[None]:
    thresholds = gc.get_threshold()
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()


# Of no other test's push: theirs may still lie about.
ID = "leaves-no-cycle"


class Node:
    """Something in a cycle with itself."""

    def __init__(self) -> None:
        self.itself = self


def test_young_garbage_is_collected_and_the_old_left_alone() -> None:
    full: list[int] = []

    def note(phase: str, found: dict[str, int]) -> None:
        if phase == "start" and found["generation"] == 2:
            full.append(1)

    with kept_as_it_was():
        garbage.settle()
        assert gc.get_freeze_count() > 10_000, "the modules are out of it"
        young = weakref.ref(Node())
        gc.callbacks.append(note)
        held = [[number] for number in range(300_000)]  # as a storm of starts makes them
        gc.callbacks.remove(note)
    assert len(held) == 300_000
    assert young() is None
    assert full == []


async def test_the_old_is_collected_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    with kept_as_it_was():
        garbage.settle()
        monkeypatch.setattr(garbage, "FULL_S", 0.01)
        node = Node()
        gc.collect()  # it is old now
        old = weakref.ref(node)
        del node
        gc.collect(1)
        assert old() is not None
        running = asyncio.create_task(garbage.collect_at_times())
        await until(lambda: old() is None)
        running.cancel()
        await asyncio.wait({running})


def pushing(push: Push) -> bool:
    return push.state is PushState.PUSHING


def failed(push: Push) -> bool:
    return push.state is PushState.ERROR


@pytest.mark.parametrize("protocol", ["rtmp", "srt", "udp", "tcp"])
async def test_a_push_that_ran_and_was_stopped_leaves_no_cycle(protocol: str) -> None:
    with sinks(protocol) as receivers:
        url = f"{protocol}://127.0.0.1:{receivers[protocol].port}" + ("/live" if protocol == "rtmp" else "")
        await leaves_no_cycle(url, pushing)


async def test_a_push_that_failed_and_was_stopped_leaves_no_cycle() -> None:
    await leaves_no_cycle(f"rtmp://127.0.0.1:{refusing_tcp_port()}/live", failed)


async def leaves_no_cycle(url: str, reached: Callable[[Push], bool]) -> None:
    async with engine() as built:
        live = LiveStream(built.registry)
        live.up()
        async with live.playing():
            try:
                await run_and_stop(built.scheduler, url, reached)
                await until(
                    lambda: not any(isinstance(each, Push) and each.settings.id == ID for each in gc.get_objects())
                )
            finally:
                gc.enable()


async def run_and_stop(scheduler: Scheduler, url: str, reached: Callable[[Push], bool]) -> None:
    """Returns with automatic collections off."""
    push = scheduler.start(settings(ID, url, key="k"))
    await until(lambda: reached(push))
    gc.collect()
    gc.disable()
    scheduler.stop("v", "a", ID)
    await until(lambda: push.state is PushState.STOPPED)
