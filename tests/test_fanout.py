"""The fan-out hands links to sender threads and gets them back, over real sockets."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from live import LiveStream, Peers, UdpSink, until, within

from pushcast.egress import PROTOCOLS, Link
from pushcast.egress.fanout import FanOut, Pace
from pushcast.errors import ConnectionLost, LocalProtocolError, Stalled
from pushcast.feed import Feed
from pushcast.media import Container, FeedKey
from pushcast.source import Clock
from pushcast.stream import Registry

KEY = FeedKey(Container.MPEGTS, (7, 9))
FINAL = b"farewell, said once"


@pytest_asyncio.fixture
async def fanout() -> AsyncIterator[FanOut]:
    made = FanOut(udp=Pace(8, 8), tcp=Pace(8, 8))
    yield made
    await made.close()


@pytest.fixture
def live() -> LiveStream:
    made = LiveStream(Registry({"v": ("a",)}, Clock()))
    made.up()
    made.feed(30)
    return made


@pytest.fixture
def feed(live: LiveStream) -> Feed:
    return live.source.feed(KEY)


async def connect(scheme: str, port: int) -> Link:
    protocol = PROTOCOLS["mpegts"]
    return await protocol.connect(protocol.parse(f"{scheme}://127.0.0.1:{port}", ""), 0)


async def connect_to(peers: Peers) -> Link:
    assert peers.server is not None
    link = await connect("tcp", peers.server.sockets[0].getsockname()[1])
    await until(lambda: peers.received)
    return link


async def test_datagrams_arrive_and_are_counted(fanout: FanOut, live: LiveStream, feed: Feed) -> None:
    sink = UdpSink()
    link = await connect("udp", await sink.open())
    attachment = fanout.attach(feed, link)
    assert attachment.counters().sent_bytes == 0
    live.feed(20)
    await until(lambda: attachment.counters().lag_ms == 0 and attachment.counters().sends > 1)
    await attachment.release()
    counters = attachment.counters()
    (received,) = sink.received.values()
    await until(lambda: len(received) == counters.sent_bytes)
    assert len(received) % 188 == 0
    assert received[0] == 0x47
    assert counters.jumps == counters.skipped_spans == counters.refused == 0
    assert counters.last_send_ns > 0
    assert not attachment.lost.done()
    await link.close()
    sink.close()


async def test_release_says_the_final_bytes_last(fanout: FanOut, peers: Peers, live: LiveStream, feed: Feed) -> None:
    link = await connect_to(peers)
    attachment = fanout.attach(feed, link)
    await until(lambda: len(peers.received[0]) > 188)
    await attachment.release(FINAL)
    await link.close()
    await until(lambda: peers.ended)
    assert peers.received[0].endswith(FINAL)
    assert peers.received[0].count(FINAL) == 1
    assert (len(peers.received[0]) - len(FINAL)) % 188 == 0, "the span in hand was finished before"
    await within(attachment.release(FINAL), 1.0)
    attachment.control(b"nobody is there any more")


async def test_an_ended_stream_is_sent_to_its_end(fanout: FanOut, peers: Peers, live: LiveStream, feed: Feed) -> None:
    link = await connect_to(peers)
    attachment = fanout.attach(feed, link)
    await until(lambda: attachment.counters().sends)
    live.feed(5)
    live.down()
    await attachment.release()
    spans = range(feed.ring.tail, feed.ring.head)
    media = b"".join(feed.ring.read(seq) for seq in spans)
    await until(lambda: peers.received[0].endswith(media[-188:]))
    await link.close()


async def test_control_bytes_stand_between_spans(fanout: FanOut, peers: Peers, live: LiveStream, feed: Feed) -> None:
    link = await connect_to(peers)
    attachment = fanout.attach(feed, link)
    await until(lambda: peers.received[0])
    attachment.control(FINAL)
    live.feed(3)
    await until(lambda: FINAL in peers.received[0])
    assert peers.received[0].index(FINAL) % 188 == 0
    await attachment.release()
    await link.close()


async def test_a_peer_that_goes_is_lost(fanout: FanOut, peers: Peers, live: LiveStream, feed: Feed) -> None:
    link = await connect_to(peers)
    attachment = fanout.attach(feed, link)
    await until(lambda: peers.received[0])
    peers.transports[0].abort()
    async with live.playing():
        error = await within(asyncio.shield(attachment.lost))
    assert isinstance(error, ConnectionLost)
    assert "reset" in str(error) or "Broken pipe" in str(error)
    await within(attachment.release(FINAL), 1.0)
    await link.close()


async def test_a_peer_that_takes_nothing_is_stalled(fanout: FanOut, live: LiveStream, feed: Feed) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        link = await connect("tcp", deaf.getsockname()[1])
        attachment = fanout.attach(feed, link, stall_ms=150, max_lag_ms=60_000)
        await until(lambda: attachment.counters().sends)
        live.feed(75, padding_bytes=30_000)
        error = await within(asyncio.shield(attachment.lost))
    assert isinstance(error, Stalled)
    assert "150 ms" in str(error)
    await within(attachment.release(), 1.0)
    await link.close()


async def test_a_peer_that_asks_and_does_not_read_is_lost(fanout: FanOut, feed: Feed, live: LiveStream) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        link = await connect("tcp", deaf.getsockname()[1])
        attachment = fanout.attach(feed, link)
        for _ in range(3):
            attachment.control(bytes(40_000))
        if not attachment.lost.done():  # the thread may have taken the first ones already
            attachment.control(bytes(70_000))
        assert isinstance(attachment.lost.result(), ConnectionLost)
        attachment.control(b"ignored")
    await attachment.release(drain_ms=50)
    await link.close()


async def test_destinations_go_to_the_least_loaded_thread(live: LiveStream) -> None:
    fanout = FanOut(threads=3)
    sink = UdpSink()
    port = await sink.open()
    feeds = [live.source.feed(FeedKey(Container.MPEGTS, ids)) for ids in ((7, 9), (9,))]
    live.feed(100)
    attachments = [fanout.attach(feeds[0], await connect("udp", port))]
    attachments += [fanout.attach(feeds[1], await connect("udp", port)) for _ in range(4)]
    by_worker: dict[int, int] = {}
    for attachment in attachments:
        key = id(attachment._worker)
        by_worker[key] = by_worker.get(key, 0) + 1
    assert sorted(by_worker.values()) == [1, 2, 2], "the heavy feed's thread got none of the light ones"
    await asyncio.gather(*(attachment.release() for attachment in attachments))
    assert [(each.bytes_per_s, each.udp.destinations) for each in fanout.statistics()] == [(0, 0)] * 3
    await fanout.close()
    sink.close()


async def test_two_threads_share_the_bytes_of_streams_of_all_rates() -> None:
    """Never further apart than one destination of the heaviest stream, and what a stream weighs is its rate of now."""
    registry, fanout, sink = Registry({"v": ("a",)}, Clock()), FanOut(threads=2), UdpSink()
    port = await sink.open()
    streams = [LiveStream(registry, name) for name in ("light", "middle", "heavy")]
    feeds = [stream.up().source.feed(KEY) for stream in streams]
    attachments = [fanout.attach(feeds[2], await connect("udp", port)) for _ in range(3)]  # of unknown rate
    for stream, padding_bytes in zip(streams, (100, 2000, 9000), strict=True):
        stream.feed(100, padding_bytes)
    heaviest = feeds[2].ring.bytes_per_s
    assert heaviest > 3 * feeds[1].ring.bytes_per_s > 6 * feeds[0].ring.bytes_per_s > 0
    for feed in (*feeds * 4, *(feeds[0],) * 9, *(feeds[2],) * 5):
        attachments.append(fanout.attach(feed, await connect("udp", port)))
        one, other = (thread.bytes_per_s for thread in fanout.statistics())
        assert abs(one - other) <= heaviest, f"{one} and {other} after {len(attachments)}"
    loads = [thread.bytes_per_s for thread in fanout.statistics()]
    assert sum(loads) == sum(attachment.ring.bytes_per_s for attachment in attachments)
    await asyncio.gather(*(attachment.release() for attachment in attachments))
    await fanout.close()
    sink.close()


async def test_closing_releases_what_is_left(live: LiveStream, feed: Feed) -> None:
    fanout = FanOut()
    sink = UdpSink()
    attachment = fanout.attach(feed, await connect("udp", await sink.open()))
    await until(lambda: attachment.counters().sends)
    await within(fanout.close(), 2.0)
    await within(attachment.release(), 1.0)
    sink.close()


async def test_abandoned_is_released_soon(fanout: FanOut, feed: Feed) -> None:
    sink = UdpSink()
    attachment = fanout.attach(feed, await connect("udp", await sink.open()))
    attachment.abandon()
    await until(lambda: fanout.statistics()[0].bytes_per_s == 0)
    sink.close()


async def test_a_thread_that_does_not_answer_is_a_fault_of_ours(
    fanout: FanOut, feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pushcast.egress.fanout.RELEASE_SLACK_S", 0.05)
    sink = UdpSink()
    attachment = fanout.attach(feed, await connect("udp", await sink.open()))
    monkeypatch.setattr(attachment, "_worker", type("Deaf", (), {"detach": lambda *_: None})())
    with pytest.raises(LocalProtocolError, match="did not release"):
        await attachment.release(drain_ms=10)
    sink.close()


def test_errnos_become_errors() -> None:
    from pushcast.egress.fanout import _lost

    assert isinstance(_lost(errno.EPIPE, 7), ConnectionLost)
    assert isinstance(_lost(errno.ETIMEDOUT, 7), Stalled)
    assert isinstance(_lost(errno.EOVERFLOW, 7), Stalled)
