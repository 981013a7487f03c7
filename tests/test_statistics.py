"""Statistics: totals of places, what stays of streams and pushes that end, rates, and the turns of the event loop."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from live import Engine, LiveStream, UdpSink, engine, refusing_tcp_port, settings, until, within

from pushcast import statistics as module
from pushcast.push import Push
from pushcast.push_state import Before, PushState
from pushcast.statistics import AVERAGE_S, Flow, Rate, Statistics
from pushcast.store import Totals


@pytest_asyncio.fixture
async def running() -> AsyncIterator[Engine]:
    async with engine() as built:
        yield built


@pytest_asyncio.fixture
async def sink() -> AsyncIterator[UdpSink]:
    made = UdpSink()
    await made.open()
    yield made
    made.close()


def url_of(sink: UdpSink) -> str:
    assert sink.transport is not None
    return f"udp://127.0.0.1:{sink.transport.get_extra_info('sockname')[1]}"


def bytes_of(flow: Flow) -> int:
    return flow.total_bytes


@pytest.mark.parametrize(
    ("seconds", "last", "most"),
    [([1.0], 8 * 700.0, 8 * 700.0), ([0.5, 2.0], 8 * 350.0, 8 * 1400.0), ([1.0, 1.0, 4.0], 8 * 175.0, 8 * 700.0)],
)
def test_a_rate_is_bits_over_the_seconds_of_its_sample(seconds: list[float], last: float, most: float) -> None:
    rate = Rate()
    for count, each in enumerate(seconds, 1):
        rate.measure(700 * count, each)
    assert rate.last == pytest.approx(last)
    assert rate.most == pytest.approx(most)


def test_the_average_is_the_mean_at_first_and_forgets_later() -> None:
    rate = Rate()
    total = 0
    for step in (100, 300, 500):
        total += step
        rate.measure(total, 1.0)
    assert rate.average == pytest.approx(8 * 300)
    for _ in range(60):
        total += 2000
        rate.measure(total, 1.0)
    assert rate.average == pytest.approx(8 * 2000, rel=0.01)
    for _ in range(int(AVERAGE_S)):
        rate.measure(total, 1.0)
    assert rate.last == 0
    assert rate.average == pytest.approx(8 * 2000 * math.exp(-1), rel=0.01), "a third is left after the time constant"
    assert rate.most == pytest.approx(8 * 2000)


async def test_bytes_in_of_a_stream_stay_in_its_places_when_it_ends(running: Engine) -> None:
    statistics = Statistics(running.registry, running.scheduler)
    first = LiveStream(running.registry, "one")
    first.feed(9, padding_bytes=313)  # before it is announced
    stream = first.up()
    first.feed(14, padding_bytes=211)
    await statistics.sample()
    counted = first.source.byte_count
    assert counted > 9 * 313 + 14 * 211
    for metrics in (statistics.stream(stream), statistics.app("v", "a"), statistics.vhost("v"), statistics.server()):
        assert bytes_of(metrics.received) == counted
        assert bytes_of(metrics.sent) == metrics.connections == 0
    assert bytes_of(statistics.app("v", "b").received) == 0
    first.feed(3)  # never seen by a sample
    first.down()
    total = first.source.byte_count
    assert total > counted
    assert bytes_of(statistics.app("v", "a").received) == total
    again = LiveStream(running.registry, "one")
    again.up()
    again.feed(5)
    await statistics.sample()
    assert bytes_of(statistics.stream(again.stream).received) == again.source.byte_count, "a new stream begins at 0"
    assert bytes_of(statistics.server().received) == total + again.source.byte_count


async def test_streams_that_were_live_before(running: Engine) -> None:
    early = LiveStream(running.registry, "early")
    early.up()
    early.feed(4)
    statistics = Statistics(running.registry, running.scheduler)
    await statistics.sample()
    assert bytes_of(statistics.stream(early.stream).received) == early.source.byte_count
    early.down()
    assert bytes_of(statistics.vhost("v").received) == early.source.byte_count


async def test_names_leave_nothing_behind(running: Engine) -> None:
    statistics = Statistics(running.registry, running.scheduler)
    for number in range(40):
        live = LiveStream(running.registry, f"made up {number}")
        live.up()
        live.down()
    held = (statistics._streams, statistics._sources, statistics._pushes)
    assert [len(entries) for entries in held] == [0, 0, 0]
    assert set(statistics._apps) == {("v", "a"), ("v", "b")}


async def test_bytes_out_and_connections_of_pushes(running: Engine, sink: UdpSink) -> None:
    statistics = Statistics(running.registry, running.scheduler)
    live = LiveStream(running.registry)
    live.up()
    begun = time.time()
    pushes = [running.scheduler.start(settings(f"p{number}", url_of(sink))) for number in range(3)]
    async with live.playing():
        await until(lambda: all(push.progress().sent_bytes > 20_000 for push in pushes))
    assert {push.state for push in pushes} == {PushState.PUSHING}
    await statistics.sample()
    shown = statistics.stream(live.stream)
    assert 60_000 < bytes_of(shown.sent) <= sum(push.progress().sent_bytes for push in pushes)
    assert bytes_of(shown.sent) == bytes_of(statistics.server().sent)
    assert (shown.connections, shown.most_connections) == (3, 3)
    assert begun <= shown.most_connections_time <= shown.sent.last_time <= time.time()

    for push in pushes[:2]:
        running.scheduler.stop("v", "a", push.settings.id)
    await until(lambda: all(push.state is PushState.STOPPED for push in pushes[:2]))
    shown = statistics.app("v", "a")
    assert (shown.connections, shown.most_connections) == (1, 3)
    live.down()
    await until(lambda: pushes[2].state is PushState.READY)
    await statistics.sample()
    total = sum(push.progress().total_sent_bytes for push in pushes)
    for metrics in (statistics.app("v", "a"), statistics.vhost("v"), statistics.server()):
        assert bytes_of(metrics.sent) == total, "without a sample while it ran its last bytes are there all the same"
        assert (metrics.connections, metrics.most_connections) == (0, 3)
    assert statistics._pushes == {}


async def test_a_push_shorter_than_a_sample_counts(running: Engine, sink: UdpSink) -> None:
    statistics = Statistics(running.registry, running.scheduler)
    live = LiveStream(running.registry)
    live.up()
    push = running.scheduler.start(settings("brief", url_of(sink)))
    async with live.playing():
        await until(lambda: push.progress().sent_bytes > 3000)
    running.scheduler.stop("v", "a", "brief")
    await until(lambda: push.state is PushState.STOPPED)
    assert bytes_of(statistics.server().sent) == push.progress().total_sent_bytes > 3000


async def test_what_was_sent_in_an_earlier_life_is_not_counted(running: Engine, sink: UdpSink) -> None:
    statistics = Statistics(running.registry, running.scheduler)
    live = LiveStream(running.registry)
    live.up()
    earlier = Before(totals=Totals(sequence=4, sent_bytes=5_000_000_000, sent_time_ms=77))
    push = running.scheduler.start(settings("kept", url_of(sink)), earlier)
    async with live.playing():
        await until(lambda: push.progress().sent_bytes > 3000)
    running.scheduler.stop("v", "a", "kept")
    await until(lambda: push.state is PushState.STOPPED)
    assert bytes_of(statistics.server().sent) == push.progress().total_sent_bytes - 5_000_000_000


async def test_a_push_that_never_connects_is_no_connection(running: Engine) -> None:
    statistics = Statistics(running.registry, running.scheduler)
    LiveStream(running.registry).up()
    push = running.scheduler.start(settings("dead", f"tcp://127.0.0.1:{refusing_tcp_port()}"))
    await until(lambda: push.state is PushState.ERROR)
    await statistics.sample()
    shown = statistics.server()
    assert (shown.connections, shown.most_connections, bytes_of(shown.sent)) == (0, 0, 0)


async def test_run_measures_once_a_second(running: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SAMPLE_S", 0.05)
    statistics = Statistics(running.registry, running.scheduler)
    live = LiveStream(running.registry)
    live.up()
    task = asyncio.create_task(statistics.run())
    async with live.playing(padding_bytes=5000):
        await until(lambda: statistics.stream(live.stream).received.average_bits_per_s > 0)
        await until(lambda: live.source.byte_count > 100_000)
    flow = statistics.stream(live.stream).received
    # 25 frames of 5 kB and their sound, each second, which no machine feeds ten times as fast.
    assert 100_000 < flow.average_bits_per_s < 10_000_000
    assert flow.most_bits_per_s >= flow.average_bits_per_s
    assert statistics.server().updated_time > statistics.server().created_time
    await until(lambda: statistics.stream(live.stream).received.last_bits_per_s == 0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_new_place_has_no_rate_before_half_a_second(running: Engine) -> None:
    statistics = Statistics(running.registry, running.scheduler)
    live = LiveStream(running.registry)
    live.feed(50)
    live.up()
    await statistics.sample()
    flow = statistics.stream(live.stream).received
    assert bytes_of(flow) == live.source.byte_count
    assert (flow.last_bits_per_s, flow.most_bits_per_s) == (0, 0)


async def test_a_sample_gives_others_their_turns(running: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """With slices of no length there is a turn after each step; what ends meanwhile is counted once."""
    monkeypatch.setattr(module, "SLICE_S", 0.0)
    statistics = Statistics(running.registry, running.scheduler)
    lives = [LiveStream(running.registry, f"s{number}") for number in range(12)]
    for live in lives:
        live.up()
        live.feed(2)
    sampling = asyncio.create_task(statistics.sample())
    turns = 0
    while not sampling.done():
        await asyncio.sleep(0)
        turns += 1
        if turns == 3:
            lives[7].down()
            lives[8].feed(6)
    assert turns >= len(lives)
    await within(sampling)
    await statistics.sample()
    assert bytes_of(statistics.server().received) == sum(live.source.byte_count for live in lives)


async def test_a_sample_costs_the_same_with_a_thousand_pushes(running: Engine, sink: UdpSink) -> None:
    statistics = Statistics(running.registry, running.scheduler)
    live = LiveStream(running.registry)
    live.up()
    real = running.scheduler.start(settings("real", url_of(sink)))
    async with live.playing():
        await until(lambda: real.progress().sent_bytes > 3000)
    steps = sum(1 for _ in statistics._steps())
    for number in range(1000):
        push = Push(settings(f"n{number}", url_of(sink)))
        push.on_move = statistics._push_moved
        push.move(PushState.CONNECTING)
        push.move(PushState.PUSHING)
    assert statistics.server().connections == 1001
    assert sum(1 for _ in statistics._steps()) == steps
    assert bytes_of(statistics.server().sent) > 3000


async def test_a_push_that_waited_for_its_stream_counts_with_the_stream_that_is_back(
    running: Engine, sink: UdpSink
) -> None:
    statistics = Statistics(running.registry, running.scheduler)
    push = running.scheduler.start(settings("held", url_of(sink), hold_s=60.0))
    for number in range(3):
        live = LiveStream(running.registry)
        live.up()
        before = push.progress().total_sent_bytes
        async with live.playing():
            await until(lambda before=before: push.progress().total_sent_bytes > before + 3000)
        await statistics.sample()
        shown = statistics.stream(live.stream)
        assert bytes_of(shown.sent) > 3000, f"stream {number}"
        assert (shown.connections, statistics.server().connections) == (1, 1)
        live.down()
        await until(lambda: push.session is not None and push.session.holding)
        assert push.state is PushState.PUSHING
    running.scheduler.stop("v", "a", "held")
    await until(lambda: push.state is PushState.STOPPED)
    await statistics.sample()
    assert bytes_of(statistics.app("v", "a").sent) == push.progress().total_sent_bytes
    assert (statistics.server().connections, statistics.server().most_connections) == (0, 1)


async def test_tallies_go_with_their_pushes(running: Engine, sink: UdpSink) -> None:
    statistics = Statistics(running.registry, running.scheduler)
    for number in range(5):
        live = LiveStream(running.registry)
        live.up()
        push = running.scheduler.start(settings(f"p{number}", url_of(sink)))
        async with live.playing():
            await until(lambda push=push: push.progress().sent_bytes > 3000)
        live.down()
        await until(lambda push=push: push.state is PushState.READY)
        running.scheduler.stop("v", "a", push.settings.id)
        await until(lambda push=push: push.state is PushState.STOPPED)
    await statistics.sample()
    assert statistics._sendings == {}
