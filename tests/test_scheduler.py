"""The scheduler decides when pushes run: reservations, retries, stops, and crowds of them."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import random
import socket
import time
import weakref
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
import uvloop
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st
from live import (
    Engine,
    LiveStream,
    Peers,
    UdpSink,
    engine,
    refusing_tcp_port,
    settings,
    silent_udp_port,
    until,
    within,
)

from pushcast import retry as retry_module
from pushcast import scheduler as scheduler_module
from pushcast import settings as settings_module
from pushcast.errors import Conflict, NotFound
from pushcast.push import Push
from pushcast.push_state import TRANSITIONS, PushState
from pushcast.retry import RetryPolicy


@pytest_asyncio.fixture
async def sink() -> AsyncIterator[UdpSink]:
    opened = UdpSink()
    opened.port = await opened.open()  # type: ignore[attr-defined]
    yield opened
    opened.close()


def to(sink: UdpSink) -> str:
    return f"udp://127.0.0.1:{sink.port}"  # type: ignore[attr-defined]


@pytest.fixture
def fast_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings_module, "DEFAULT_RETRY", RetryPolicy(0.02, 0.1))
    monkeypatch.setattr(retry_module, "SLOW_INITIAL_S", 0.2)
    monkeypatch.setattr(retry_module, "SLOW_MAX_S", 0.4)


async def test_a_reserved_push_starts_with_its_stream_and_returns_to_ready(world: Engine, sink: UdpSink) -> None:
    push = world.scheduler.start(settings("p", to(sink)))
    other = world.scheduler.start(settings("q", to(sink), stream="another"))
    assert push.state is PushState.READY
    assert not world.scheduler._tasks, "a push that waits costs no task"
    for number in (1, 2):
        live = LiveStream(world.registry)
        live.up()
        live.feed(30)
        await until(lambda: push.state is PushState.PUSHING and push.progress().sent_bytes)
        live.down()
        await until(lambda: push.state is PushState.READY)
        assert push.sequence == number
        assert not world.scheduler._tasks
    assert other.state is PushState.READY
    assert other.start_time == 0
    assert len(sink.received) == 2


async def test_a_push_for_a_live_stream_starts_at_once(world: Engine, sink: UdpSink) -> None:
    live = LiveStream(world.registry)
    live.up()
    live.feed(30)
    push = world.scheduler.start(settings("p", to(sink)))
    assert push.state is PushState.READY, "the answer to the request comes first"
    await until(lambda: push.state is PushState.PUSHING)
    assert world.scheduler.get("v", "a", "p") is push


async def test_a_push_keeps_nothing_of_the_request_that_started_it(world: Engine, sink: UdpSink) -> None:
    live = LiveStream(world.registry)
    live.up()
    live.feed(30)
    under_way: contextvars.ContextVar[Peers] = contextvars.ContextVar("under_way")

    def respond(request: Peers) -> Push:
        under_way.set(request)
        return world.scheduler.start(settings("p", to(sink)))

    request = Peers()
    push = contextvars.copy_context().run(respond, request)
    await until(lambda: push.state is PushState.PUSHING)
    kept = weakref.ref(request)
    del request
    gc.collect()
    assert kept() is None


async def test_a_stream_that_returns_while_the_old_session_drains(world: Engine, sink: UdpSink) -> None:
    push = world.scheduler.start(settings("p", to(sink)))
    live = LiveStream(world.registry)
    live.up()
    live.feed(30)
    await until(lambda: push.state is PushState.PUSHING)
    live.down()
    again = LiveStream(world.registry)
    again.up()
    again.feed(30)
    await until(lambda: push.sequence == 1 and push.state is PushState.PUSHING)


async def test_ids_are_unique_in_an_app(world: Engine, sink: UdpSink) -> None:
    world.scheduler.start(settings("p", to(sink)))
    with pytest.raises(Conflict, match=r"^Duplicate ID$"):
        world.scheduler.start(settings("p", to(sink), stream="other"))
    with pytest.raises(NotFound, match=r"Could not find id 'p': \[v/b\]"):
        world.scheduler.stop("v", "b", "p")


async def test_lists_are_by_id(world: Engine, sink: UdpSink) -> None:
    for push_id in ("b", "a10", "", "a2", " b"):
        world.scheduler.start(settings(push_id, to(sink)))
    assert [push.settings.id for push in world.scheduler.pushes("v", "a")] == ["", " b", "a10", "a2", "b"]
    assert world.scheduler.pushes("v", "b") == []
    assert world.scheduler.get("v", "a", "zz") is None


async def test_stop_frees_the_id_at_once(world: Engine) -> None:
    """The peer of the old session takes nothing any more, so that the old session cannot end before its drain time."""
    live = LiveStream(world.registry)
    live.up()
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        url = f"tcp://127.0.0.1:{deaf.getsockname()[1]}"
        old = world.scheduler.start(settings("p", url))
        live.feed(1)
        await until(lambda: old.progress().sent_bytes)
        live.feed(100, padding_bytes=40_000)
        assert old.session is not None
        destination = old.session.attachment.destination
        await until(lambda: destination.counters()["short_sends"])
        world.scheduler.stop("v", "a", "p")
        new = world.scheduler.start(settings("p", url))
        assert new is not old
        with pytest.raises(Conflict):
            world.scheduler.start(settings("p", url))
        await until(lambda: new.state is PushState.PUSHING, 0.5)
        assert old.state is PushState.STOPPING
        assert world.scheduler.pushes("v", "a") == [new]
        await until(lambda: old.state is PushState.STOPPED)
        assert new.state is PushState.PUSHING


async def test_stop_of_a_reserved_push_is_done_at_once(world: Engine, sink: UdpSink) -> None:
    push = world.scheduler.start(settings("p", to(sink)))
    world.scheduler.stop("v", "a", "p")
    assert push.state is PushState.STOPPED
    with pytest.raises(NotFound, match=r"Could not find id 'p': \[v/a\]"):
        world.scheduler.stop("v", "a", "p")
    live = LiveStream(world.registry)
    live.up()
    assert not world.scheduler._tasks


@pytest.mark.usefixtures("fast_retries")
async def test_a_peer_that_comes_late_is_reached(world: Engine) -> None:
    live = LiveStream(world.registry)
    live.up()
    live.feed(30)
    port = refusing_tcp_port()
    push = world.scheduler.start(settings("p", f"tcp://127.0.0.1:{port}"))
    await until(lambda: push.retry_count == 3)
    assert push.last_error is not None
    assert push.last_error.code == "connect_refused"
    peers = Peers()
    await peers.listen(port)
    await until(lambda: push.state is PushState.PUSHING)
    assert push.next_retry_time == 0
    peers.transports[-1].abort()
    async with live.playing():
        await until(lambda: len(peers.received) == 2 and push.state is PushState.PUSHING)
    assert push.sequence == 1
    await peers.close()


async def test_what_is_due_next_is_known(world: Engine) -> None:
    live = LiveStream(world.registry)
    live.up()
    push = world.scheduler.start(settings("p", f"tcp://127.0.0.1:{refusing_tcp_port()}"))
    await until(lambda: push.next_retry_time)
    assert push.state is PushState.ERROR
    assert push.retry_count == 1
    assert 0.5 < push.next_retry_time - time.time() <= 2.0
    live.down()
    await until(lambda: push.state is PushState.READY)
    assert push.next_retry_time == 0


@pytest.mark.usefixtures("fast_retries")
async def test_a_stream_that_ends_while_an_attempt_stands_in_line_leaves_it_ready(
    world: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    crowd_passed, waiting = asyncio.Event(), asyncio.Event()

    class Crowd:
        async def enter(self) -> None:
            waiting.set()
            await crowd_passed.wait()

    live = LiveStream(world.registry)
    live.up()
    push = world.scheduler.start(settings("p", f"tcp://127.0.0.1:{refusing_tcp_port()}"))
    await until(lambda: push.state is PushState.ERROR)
    monkeypatch.setattr(world.scheduler, "_starts", Crowd())
    await within(waiting.wait())
    live.down()
    crowd_passed.set()
    await until(lambda: push.state is PushState.READY)
    assert not world.scheduler._tasks


async def test_what_cannot_work_waits_for_another_stream(world: Engine, sink: UdpSink) -> None:
    live = LiveStream(world.registry, tracks=LiveStream(world.registry).stream.tracks[1:])
    live.up()
    push = world.scheduler.start(settings("p", to(sink), variant_names=("cam",)))
    await until(lambda: push.state is PushState.ERROR and push.retry_count)
    assert push.last_error is not None
    assert push.last_error.code == "media"
    assert push.next_retry_time == 0
    live.down()
    await until(lambda: push.state is PushState.READY)
    better = LiveStream(world.registry)
    better.up()
    better.feed(1)
    await until(lambda: push.state is PushState.PUSHING)


@pytest.mark.usefixtures("fast_retries")
async def test_a_healthy_session_starts_the_backoff_over(world: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    live = LiveStream(world.registry)
    live.up()
    live.feed(30)
    port = refusing_tcp_port()
    push = world.scheduler.start(settings("p", f"tcp://127.0.0.1:{port}"))
    await until(lambda: push.retry_count >= 3)
    peers = Peers()
    await peers.listen(port)
    await until(lambda: push.state is PushState.PUSHING)
    before = push.retry_count
    peers.transports[-1].abort()
    async with live.playing():
        await until(lambda: push.retry_count > before, 3)  # a short session does not count
        await until(lambda: push.state is PushState.PUSHING)
        monkeypatch.setattr(scheduler_module, "HEALTHY_S", 0.0)
        peers.transports[-1].abort()
        await until(lambda: push.retry_count == 1)
    await peers.close()


async def test_three_hundred_starts_and_a_hundred_dead(world: Engine, sink: UdpSink) -> None:
    """200 live ones push within 2 s although 100 dead ones, started first, hold their connects."""
    live = LiveStream(world.registry)
    live.up()
    live.feed(30)
    peers = Peers()
    tcp_port = await peers.listen()
    mute, mute_port = silent_udp_port()
    with socket.create_server(("127.0.0.1", 0), backlog=256) as silent:
        rtmp_port = silent.getsockname()[1]
        dead_urls = (f"srt://127.0.0.1:{mute_port}", f"rtmp://127.0.0.1:{rtmp_port}/x/k")
        dead = [world.scheduler.start(settings(f"d{n}", dead_urls[n % 2])) for n in range(100)]
        began = time.monotonic()
        urls = (f"tcp://127.0.0.1:{tcp_port}", to(sink))
        alive = [world.scheduler.start(settings(f"l{n}", urls[n % 2])) for n in range(200)]
        async with live.playing():
            await until(lambda: all(push.state is PushState.PUSHING for push in alive), 2.0)
            took_s = time.monotonic() - began
            assert all(push.state is PushState.CONNECTING for push in dead)
            await until(lambda: all(push.progress().sent_bytes for push in alive))
        assert took_s < 2
        await within(world.scheduler.close(), 4.0)
        assert {push.state for push in [*alive, *dead]} == {PushState.STOPPED}
        assert all(push.sequence == 1 for push in alive)
        await until(lambda: peers.ended == 100)
    mute.close()
    await peers.close()


async def test_close_says_goodbye_to_all_and_takes_no_more(world: Engine, sink: UdpSink) -> None:
    live = LiveStream(world.registry)
    live.up()
    live.feed(30)
    pushes = [world.scheduler.start(settings(f"p{n}", to(sink))) for n in range(5)]
    pushes.append(world.scheduler.start(settings("reserved", to(sink), stream="none")))
    await until(lambda: all(push.state is PushState.PUSHING for push in pushes[:5]))
    await within(world.scheduler.close(), 3.0)
    assert all(push.state is PushState.STOPPED for push in pushes)
    with pytest.raises(Conflict, match="shutting down"):
        world.scheduler.start(settings("late", to(sink)))


async def test_close_cuts_off_what_does_not_end(
    world: Engine, sink: UdpSink, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(scheduler_module, "CLOSE_DEADLINE_S", 0.05)
    live = LiveStream(world.registry)
    live.up()
    live.feed(30)
    push = world.scheduler.start(settings("p", to(sink)))
    await until(lambda: push.state is PushState.PUSHING)

    async def endless(*_: object) -> None:
        await asyncio.Event().wait()

    assert push.session is not None
    monkeypatch.setattr(push.session.attachment, "release", endless)
    await within(world.scheduler.close(), 1.0)
    assert "1 pushes were cut off" in caplog.text


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("start"), st.integers(0, 3), st.sampled_from(["udp", "refused", "nothing selected"])),
        st.tuples(st.just("stop"), st.integers(0, 3), st.just("")),
        st.tuples(st.just("up"), st.just(0), st.just("")),
        st.tuples(st.just("down"), st.just(0), st.just("")),
        st.tuples(st.just("wait"), st.integers(0, 30), st.just("")),
    ),
    max_size=25,
)


@examples(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(operations=OPERATIONS)
def test_any_order_of_requests_and_streams_keeps_the_rules(operations: list[tuple[str, int, str]]) -> None:
    uvloop.run(_any_order(operations))


async def _any_order(operations: list[tuple[str, int, str]]) -> None:
    moves: list[tuple[PushState, PushState]] = []
    told: dict[str, Push] = {}
    live: LiveStream | None = None
    sink = UdpSink()
    urls = {"udp": f"udp://127.0.0.1:{await sink.open()}", "refused": f"tcp://127.0.0.1:{refusing_tcp_port()}"}
    monkeypatch = pytest.MonkeyPatch()
    monkeypatch.setattr(settings_module, "DEFAULT_RETRY", RetryPolicy(0.002, 0.01))
    plain_move = Push.move

    def watched_move(push: Push, state: PushState, why: str = "") -> None:
        before = push.state
        plain_move(push, state, why)
        moves.append((before, state))

    monkeypatch.setattr(Push, "move", watched_move)
    try:
        async with engine() as world:
            for word, number, kind in operations:
                push_id = f"p{number}"
                if word == "start":
                    asked = settings(
                        push_id,
                        urls.get(kind, urls["udp"]),
                        variant_names=("no such name",) if kind == "nothing selected" else (),
                    )
                    if push_id in told:
                        with pytest.raises(Conflict):
                            world.scheduler.start(asked)
                    else:
                        told[push_id] = world.scheduler.start(asked)
                elif word == "stop":
                    if push_id in told:
                        stopped = told.pop(push_id)
                        world.scheduler.stop("v", "a", push_id)
                        assert stopped.stop_wanted
                    else:
                        with pytest.raises(NotFound):
                            world.scheduler.stop("v", "a", push_id)
                elif word == "up" and live is None:
                    live = LiveStream(world.registry)
                    live.up()
                    live.feed(3)
                elif word == "down" and live is not None:
                    live.down()
                    live = None
                elif word == "wait":
                    await asyncio.sleep(number / 1000)
                _check(world, told)
            await _settle(world, told, live is not None)
    finally:
        monkeypatch.undo()
        sink.close()
    assert all(after in TRANSITIONS[before] for before, after in moves)


def _check(world: Engine, told: dict[str, Push]) -> None:
    assert world.scheduler.pushes("v", "a") == [told[push_id] for push_id in sorted(told)]
    for push in told.values():
        progress = push.progress()
        assert progress.total_sent_bytes >= progress.sent_bytes >= 0
        assert push.state is not PushState.STOPPED
        assert (push.finish_time > 0) == (push.sequence > 0)


async def _settle(world: Engine, told: dict[str, Push], is_live: bool) -> None:
    def settled() -> bool:
        for push in told.values():
            if not is_live:
                wanted = {PushState.READY}
            elif push.settings.variant_names:
                wanted = {PushState.ERROR}
            elif push.settings.url.startswith("udp"):
                wanted = {PushState.PUSHING}
            else:
                wanted = {PushState.ERROR, PushState.CONNECTING}
            if push.state not in wanted:
                return False
        return is_live or not world.scheduler._tasks

    await until(settled, 3.0)
    random.shuffle(order := list(told))
    for push_id in order:
        world.scheduler.stop("v", "a", push_id)
    await until(lambda: not world.scheduler._tasks, 3.0)
    assert all(push.state is PushState.STOPPED for push in told.values())
    assert not world.scheduler._by_stream
    assert not world.fanout._workers[0].attachments
