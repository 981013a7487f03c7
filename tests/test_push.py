"""A push: its table of states, its totals, and sessions against real peers."""

from __future__ import annotations

import asyncio
import gc
import itertools
import logging
import time

import pytest
from live import (
    Engine,
    LiveStream,
    Peers,
    UdpSink,
    refusing_tcp_port,
    settings,
    silent_udp_port,
    until,
    within,
)

from pushcast import connect as connect_module
from pushcast.egress.fanout import Attachment
from pushcast.errors import (
    ConnectionLost,
    ConnectRefused,
    ConnectTimeout,
    EngineError,
    LocalProtocolError,
    MediaError,
    Retry,
)
from pushcast.places import Places
from pushcast.push import Push
from pushcast.push_state import TRANSITIONS, Progress, PushState

KEY = "k-0123-very-secret"


def tcp_push(peers: Peers, push_id: str = "p") -> Push:
    return Push(settings(push_id, f"tcp://127.0.0.1:{peers.port}"))


async def run(push: Push, live: LiveStream, world: Engine) -> None:
    await push.run(live.output, world.fanout, Places(4), lambda stream: None)


# A shortest way into each state, by the table itself.
WAYS = {
    PushState.READY: (),
    PushState.CONNECTING: (PushState.CONNECTING,),
    PushState.PUSHING: (PushState.CONNECTING, PushState.PUSHING),
    PushState.ERROR: (PushState.CONNECTING, PushState.ERROR),
    PushState.STOPPING: (PushState.STOPPING,),
    PushState.STOPPED: (PushState.STOPPING, PushState.STOPPED),
}

POSSIBLE = {
    ("ready", "connecting"),
    ("ready", "stopping"),
    ("connecting", "pushing"),
    ("connecting", "error"),
    ("connecting", "ready"),
    ("connecting", "stopping"),
    ("pushing", "error"),
    ("pushing", "stopping"),
    ("error", "connecting"),
    ("error", "ready"),
    ("error", "stopping"),
    ("stopping", "stopped"),
    ("stopped", "ready"),
    ("stopping", "ready"),
}


@pytest.mark.parametrize(("before", "after"), list(itertools.product(PushState, PushState)))
def test_moves(before: PushState, after: PushState) -> None:
    push = Push(settings("p", "udp://127.0.0.1:9"))
    for state in WAYS[before]:
        push.move(state)
    if (before.value, after.value) in POSSIBLE:
        push.move(after)
        assert push.state is after
    else:
        with pytest.raises(LocalProtocolError, match=f"from {before.value} to {after.value}"):
            push.move(after)
        assert push.state is before


def test_the_table_knows_every_state() -> None:
    assert set(TRANSITIONS) == set(PushState)
    assert {state.value for state in PushState} == {"ready", "connecting", "pushing", "stopping", "stopped", "error"}


def test_one_log_line_for_a_change_and_no_secret_in_it(caplog: pytest.LogCaptureFixture) -> None:
    asked = settings("p\n1", "rtmp://127.0.0.1:1935/live", key=KEY)
    assert KEY not in repr(asked)
    assert "live" not in repr(asked), "an RTMP url may carry the key"
    push = Push(asked)
    with caplog.at_level(logging.INFO, "pushcast"):
        push.move(PushState.CONNECTING)
        push.fail(ConnectionLost("the peer\nwent"))
        push.move(PushState.STOPPING)
    lines = [record.getMessage() for record in caplog.records]
    assert lines == [
        r"push v/a/p\n1: connecting",
        r"push v/a/p\n1: error: the peer\nwent",
        r"push v/a/p\n1: stopping",
    ]
    assert KEY not in "".join(lines)
    assert push.last_error is not None
    assert push.last_error.code == "connection_lost"
    assert abs(push.last_error.time - time.time()) < 5


async def test_a_session_until_stop(world: Engine, peers: Peers) -> None:
    live = LiveStream(world.registry)
    live.up()
    live.feed(30)
    push = tcp_push(peers)
    assert push.progress() == Progress(0, 0, 0, 0)
    assert push.start_time == push.finish_time == 0
    began = time.time()
    running = asyncio.create_task(run(push, live, world))
    await until(lambda: push.state is PushState.PUSHING)
    assert began <= push.start_time <= time.time()
    async with live.playing():
        await until(lambda: push.progress().sent_time_ms > 100)
    during = push.progress()
    assert during.sent_bytes == during.total_sent_bytes > 0
    assert during.sent_time_ms == during.total_sent_time_ms
    assert push.sequence == 0
    push.stop()
    await within(running)
    assert push.state is PushState.STOPPING, "whoever ran it says what it is then"
    await until(lambda: peers.ended)
    after = push.progress()
    assert (after.sent_bytes, after.sent_time_ms) == (0, 0)
    assert after.total_sent_bytes == len(peers.received[0]) >= during.sent_bytes
    assert after.total_sent_time_ms >= during.sent_time_ms
    assert push.sequence == 1
    assert push.start_time < push.finish_time <= time.time()
    assert live.source.feed_count == 0
    assert peers.received[0][0] == 0x47


async def test_the_end_of_the_stream_ends_the_session(world: Engine, peers: Peers) -> None:
    live = LiveStream(world.registry)
    live.up()
    live.feed(30)
    push = tcp_push(peers)
    running = asyncio.create_task(run(push, live, world))
    await until(lambda: push.progress().sent_bytes)
    live.down()
    push.interrupt()
    await within(running)
    assert push.state is PushState.STOPPING
    push.move(PushState.READY)
    assert push.sequence == 1
    assert push.last_error is None


async def test_totals_add_up_over_sessions(world: Engine) -> None:
    sink = UdpSink()
    port = await sink.open()
    push = Push(settings("p", f"udp://127.0.0.1:{port}"))
    totals = [0]
    for number in range(1, 4):
        live = LiveStream(world.registry)
        live.up()
        live.feed(30)
        running = asyncio.create_task(run(push, live, world))
        await until(lambda: push.progress().sent_bytes > 1000)
        progress = push.progress()
        assert progress.total_sent_bytes == totals[-1] + progress.sent_bytes
        live.down()
        push.interrupt()
        await within(running)
        push.move(PushState.READY)
        assert push.sequence == number
        totals.append(push.progress().total_sent_bytes)
        assert totals[-1] > totals[-2]
    await until(lambda: sum(map(len, sink.received.values())) == totals[-1])
    sink.close()


async def test_a_peer_that_goes_is_an_error(world: Engine, peers: Peers) -> None:
    live = LiveStream(world.registry)
    live.up()
    push = tcp_push(peers)
    running = asyncio.create_task(run(push, live, world))
    async with live.playing():
        await until(lambda: peers.received and peers.received[0])
        peers.transports[0].close()
        with pytest.raises(ConnectionLost) as caught:
            await within(running)
    assert push.state is PushState.ERROR
    assert push.last_error is not None
    assert push.last_error.reason == str(caught.value)
    assert push.sequence == 1, "a session that broke has ended too"
    assert push.finish_time > 0
    assert push.progress().sent_bytes == 0
    assert live.source.feed_count == 0


async def test_a_refused_connect_is_an_error_and_no_session(world: Engine) -> None:
    live = LiveStream(world.registry)
    live.up()
    port = refusing_tcp_port()
    push = Push(settings("p", f"tcp://127.0.0.1:{port}"))
    with pytest.raises(ConnectRefused, match=str(port)):
        await run(push, live, world)
    assert push.state is PushState.ERROR
    assert push.sequence == 0
    assert push.start_time > 0
    assert push.finish_time == 0
    assert live.source.feed_count == 0


@pytest.mark.parametrize(
    ("selection", "text"),
    [
        ({"variant_names": ("h264_fhd",)}, "asked for h264_fhd, there are cam .id 7., Audio .id 9."),
        ({"track_ids": (3, 4)}, "asked for id 3, id 4"),
    ],
)
async def test_nothing_selected_is_named_and_never_retried(
    world: Engine, selection: dict[str, tuple[int | str, ...]], text: str
) -> None:
    live = LiveStream(world.registry)
    live.up()
    push = Push(settings("p", "udp://127.0.0.1:9", **selection))
    with pytest.raises(MediaError, match=text) as caught:
        await run(push, live, world)
    assert caught.value.retry is Retry.NEVER
    assert push.state is PushState.ERROR


async def test_selected_tracks_share_a_feed(world: Engine) -> None:
    sink = UdpSink()
    port = await sink.open()
    live = LiveStream(world.registry)
    live.up()
    live.feed(30)
    asked = [{"track_ids": (9,)}, {"variant_names": ("Audio",)}, {"variant_names": ("Audio:0",)}, {}]
    pushes = [Push(settings(f"p{n}", f"udp://127.0.0.1:{port}", **each)) for n, each in enumerate(asked)]
    running = [asyncio.create_task(run(push, live, world)) for push in pushes]
    await until(lambda: all(push.state is PushState.PUSHING for push in pushes))
    assert live.source.feed_count == 2
    for push in pushes:
        push.stop()
    await within(asyncio.gather(*running))
    assert live.source.feed_count == 0
    sink.close()


async def test_a_silent_peer_is_given_up_at_the_deadline(world: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connect_module, "CONNECT_DEADLINE_S", 0.25)
    live = LiveStream(world.registry)
    live.up()
    mute, port = silent_udp_port()
    push = Push(settings("p", f"srt://127.0.0.1:{port}?mode=caller&timeout=20000000"))
    began = time.monotonic()
    with pytest.raises(ConnectTimeout, match=rf"127.0.0.1:{port}.*0.25 s"):
        await run(push, live, world)
    assert 0.2 < time.monotonic() - began < 2
    mute.close()


async def test_stop_ends_a_connect(world: Engine) -> None:
    live = LiveStream(world.registry)
    live.up()
    mute, port = silent_udp_port()
    push = Push(settings("p", f"srt://127.0.0.1:{port}"))
    running = asyncio.create_task(run(push, live, world))
    await until(lambda: push.state is PushState.CONNECTING)
    push.stop()
    await within(running, 1.0)
    assert push.state is PushState.CONNECTING
    assert push.sequence == 0
    mute.close()


async def test_stop_before_the_connect_connects_nobody(world: Engine, peers: Peers) -> None:
    live = LiveStream(world.registry)
    live.up()
    push = tcp_push(peers)
    push.stop()
    await within(run(push, live, world), 1.0)
    assert push.sequence in (0, 1), "it may have been accepted in that very moment, and then it was disconnected"
    assert push.state in (PushState.CONNECTING, PushState.STOPPING)


async def test_a_place_among_the_connects_is_waited_for_and_given_back(world: Engine, peers: Peers) -> None:
    live = LiveStream(world.registry)
    live.up()
    live.feed(30)
    connects = Places(1)
    mute, port = silent_udp_port()
    dead, alive = Push(settings("dead", f"srt://127.0.0.1:{port}")), tcp_push(peers)
    first = asyncio.create_task(dead.run(live.output, world.fanout, connects, lambda stream: None))
    await until(lambda: connects.full)
    second = asyncio.create_task(alive.run(live.output, world.fanout, connects, lambda stream: None))
    await asyncio.sleep(0.05)
    assert alive.state is PushState.CONNECTING
    dead.stop()
    await within(first)
    await until(lambda: alive.state is PushState.PUSHING)
    alive.stop()
    await within(second)
    assert not connects.full
    mute.close()


async def test_a_bug_in_a_protocol_is_an_error_of_the_push(
    world: Engine, peers: Peers, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    live = LiveStream(world.registry)
    live.up()

    async def broken(*_: object) -> None:
        raise KeyError("a bug")

    monkeypatch.setattr(connect_module.PROTOCOLS["mpegts"], "connect", broken)
    push = tcp_push(peers)
    with pytest.raises(EngineError, match="internal error: KeyError") as caught:
        await run(push, live, world)
    assert caught.value.retry is Retry.SOON
    assert push.state is PushState.ERROR
    assert "unexpected error" in caplog.text
    assert live.source.feed_count == 0


async def test_a_session_that_ended_is_forgotten_by_the_feed_that_others_keep(world: Engine, peers: Peers) -> None:
    live = LiveStream(world.registry)
    live.up()
    live.feed(30)
    sink = UdpSink()
    staying, flapping = Push(settings("stays", f"udp://127.0.0.1:{await sink.open()}")), tcp_push(peers)

    async def lose_peer() -> None:
        count = len(peers.transports) + 1
        attempt = asyncio.create_task(run(flapping, live, world))
        await until(lambda: len(peers.transports) == count and flapping.state is PushState.PUSHING)
        peers.transports[-1].abort()
        with pytest.raises(ConnectionLost):
            await within(attempt)

    def attachments() -> int:
        gc.collect()
        return sum(isinstance(each, Attachment) for each in gc.get_objects())

    running = asyncio.create_task(run(staying, live, world))
    await lose_peer()
    after_one = attachments()
    for _ in range(3):
        await lose_peer()
    assert attachments() <= after_one
    staying.stop()
    await within(running)
    sink.close()


async def test_cancelling_lets_the_sender_go(world: Engine, peers: Peers) -> None:
    live = LiveStream(world.registry)
    live.up()
    live.feed(30)
    push = tcp_push(peers)
    running = asyncio.create_task(run(push, live, world))
    await until(lambda: push.progress().sent_bytes)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await until(lambda: not world.fanout._workers[0].attachments)
