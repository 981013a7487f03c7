"""The libsrt binding against real peers: options, connects, sending, refusals, statistics."""

import asyncio
import hashlib
import os
import random
import socket
from contextlib import asynccontextmanager

import pytest
from srt_peer import srt_listener, until

from pushcast.egress.srt_rejection import reject_text, rejection
from pushcast.errors import ConnectTimeout, Retry, SrtError
from pushcast.srt import SrtCaller, SrtConnector, SrtTransport

PACKET = 188


def ts_bytes(packets: int, seed: int) -> bytes:
    noise = random.Random(seed)
    return b"".join(b"\x47" + noise.randbytes(PACKET - 1) for _ in range(packets))


async def call(port: int, **options) -> int | None:
    """Connect a caller and close it; libsrt's reject reason, None when the peer accepted."""
    caller = SrtCaller(options.items())
    caller.bind(socket.AF_INET, "", 0)
    try:
        return await SrtConnector(asyncio.get_running_loop()).connect(caller, socket.AF_INET, ("127.0.0.1", port))
    finally:
        await asyncio.to_thread(caller.close)


@asynccontextmanager
async def connected(port: int, datagram_bytes: int = 1316, **options):
    caller = SrtCaller(options.items())
    caller.bind(socket.AF_INET, "", 0)
    reason = await SrtConnector(asyncio.get_running_loop()).connect(caller, socket.AF_INET, ("127.0.0.1", port))
    assert reason is None, reject_text(reason)
    transport = SrtTransport(caller, datagram_bytes)
    try:
        yield transport
    finally:
        await asyncio.to_thread(transport.close)


async def send_all(transport: SrtTransport, data: bytes) -> None:
    """As the sender does: what was not taken is offered again a little later."""
    async with asyncio.timeout(10):
        at = 0
        while at < len(data):
            at += transport.send(data[at:])
            await asyncio.sleep(0.005)


def free_udp_port() -> socket.socket:
    """A UDP port that is held and never answers."""
    held = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    held.bind(("127.0.0.1", 0))
    return held


@pytest.mark.parametrize(("datagram_bytes", "sizes"), [(1316, [376, 1316]), (PACKET * 3, [376, 564])])
async def test_bytes_arrive_whole_in_datagrams_of_the_asked_size(datagram_bytes, sizes):
    data = ts_bytes(7 * 27 * 3 + 2, seed=5)
    async with srt_listener() as peer, connected(peer.port, datagram_bytes, payloadsize=datagram_bytes) as transport:
        assert transport.datagram_bytes == datagram_bytes
        await send_all(transport, data)
        got = await peer.received(len(data))
    assert got["sha256"] == hashlib.sha256(data).hexdigest()
    assert got["datagram_bytes"] == sizes


async def test_options_reach_the_peer():
    async with (
        srt_listener(latency=61) as peer,
        connected(peer.port, streamid="#!::r=live/käse,m=publish", peerlatency=333) as transport,
    ):
        await send_all(transport, ts_bytes(7, seed=1))
        got = await peer.received(7 * PACKET)
        assert got["streamid"] == "#!::r=live/käse,m=publish"
        assert got["latency_ms"] == 333
        assert transport.stats()["peer_latency_ms"] == 333


@pytest.mark.parametrize(
    ("listener", "caller", "reason"),
    [
        ({"passphrase": "correct horse battery"}, {"passphrase": "correct horse battery"}, None),
        ({"passphrase": "correct horse battery"}, {"passphrase": "correct horse battery", "pbkeylen": 32}, None),
        ({"passphrase": "correct horse battery"}, {"passphrase": "incorrect horse"}, 10),
        ({"passphrase": "correct horse battery"}, {}, 11),
        ({}, {"passphrase": "nobody asked for it"}, 11),
        ({"reject": 1403}, {}, 1403),
        ({"reject": 1409}, {}, 1409),
        ({"reject": 2345}, {}, 2345),
        ({}, {"minversion": 0x090000}, 8),
    ],
)
async def test_the_peers_answer_is_told_as_libsrt_tells_it(listener, caller, reason):
    async with srt_listener(**listener) as peer:
        assert await call(peer.port, **caller) == reason


async def test_a_port_that_never_answers_times_out_at_its_own_deadline():
    loop = asyncio.get_running_loop()
    with free_udp_port() as silent:
        async with srt_listener() as peer:
            start = loop.time()
            dead = asyncio.create_task(call(silent.getsockname()[1], conntimeo=700))
            assert await call(peer.port) is None
            assert loop.time() - start < 0.5
            assert await dead == 16
            assert 0.6 < loop.time() - start < 2.0


@pytest.mark.parametrize(
    ("reason", "words", "retry"),
    [
        (10, "wrong passphrase (10)", Retry.SLOWLY),
        (11, "only one side has a passphrase (11)", Retry.SLOWLY),
        (14, "packet filter", Retry.SLOWLY),
        (17, "encryption mode", Retry.SLOWLY),
        (5, "backlog", Retry.SOON),
        (1400, "bad request", Retry.SLOWLY),
        (1401, "unauthorized", Retry.SLOWLY),
        (1402, "overloaded", Retry.SOON),
        (1403, "forbidden", Retry.SLOWLY),
        (1404, "not found", Retry.SOON),
        (1405, "mode", Retry.SLOWLY),
        (1409, "conflict", Retry.SOON),
        (1503, "down", Retry.SOON),
        (2077, "code 2077 of the peer's application", Retry.SOON),
        (99, "unknown reason 99", Retry.SOON),
    ],
)
def test_reject_reasons_in_words(reason, words, retry):
    error = rejection(reason, "srt.example:9999")
    assert isinstance(error, SrtError)
    assert (error.reject_reason, error.retry, error.code) == (reason, retry, "srt")
    assert words in str(error)
    assert "srt.example:9999" in str(error)


def test_no_answer_is_a_connect_timeout():
    assert isinstance(rejection(16, "srt.example:9999"), ConnectTimeout)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("passphrase", "geheim"),
        ("pbkeylen", 17),
        ("packetfilter", "no-such-filter"),
        ("streamid", "s" * 513),
        ("fc", -5),
    ],
)
def test_an_option_that_libsrt_refuses_is_named_without_its_value(name, value):
    with pytest.raises(SrtError) as caught:
        SrtCaller([(name, value)])
    assert f"option {name}" in str(caught.value)
    assert str(value) not in str(caught.value).replace("(libsrt 5003)", "")
    assert caught.value.retry is Retry.NEVER


def test_an_unknown_option_is_a_bug_of_the_caller():
    with pytest.raises(KeyError):
        SrtCaller([("nosuchoption", 1)])


def test_a_closed_caller_says_so():
    caller = SrtCaller()
    caller.close()
    caller.close()
    assert caller.closed
    with pytest.raises(SrtError, match="closed"):
        caller.bind(socket.AF_INET, "", 0)
    with pytest.raises(SrtError, match="closed"):
        SrtTransport(caller)


@pytest.mark.parametrize("datagram_bytes", [0, 100, 187, 189, PACKET * 8])
def test_a_datagram_holds_whole_packets(datagram_bytes):
    caller = SrtCaller()
    with pytest.raises(ValueError, match="datagram_bytes"):
        SrtTransport(caller, datagram_bytes)
    assert not caller.closed
    caller.close()


def test_callers_share_a_port_and_its_two_threads():
    first, second = SrtCaller(), SrtCaller()
    port = first.bind(socket.AF_INET, "", 0)
    threads = len(os.listdir("/proc/self/task"))
    assert second.bind(socket.AF_INET, "", port) == port
    assert len(os.listdir("/proc/self/task")) <= threads  # fewer while libsrt collects earlier ports
    first.close()
    second.close()


def test_a_port_of_somebody_else_is_refused():
    with free_udp_port() as taken:
        caller = SrtCaller()
        with pytest.raises(SrtError, match="bind"):
            caller.bind(socket.AF_INET, "127.0.0.1", taken.getsockname()[1])
        caller.close()


async def test_sending_to_a_peer_that_left_is_a_lost_connection():
    async with srt_listener() as peer, connected(peer.port) as transport:
        await send_all(transport, ts_bytes(7, seed=3))
        assert transport.connected
        await peer.received(7 * PACKET)
        await peer.close()
        await until(lambda: not transport.connected)
        with pytest.raises(ConnectionResetError):
            transport.send(ts_bytes(7, seed=3))
        assert transport.stats() == {}


async def test_a_full_send_buffer_takes_nothing_and_is_counted():
    data = ts_bytes(7 * 400, seed=9)
    async with srt_listener() as peer, connected(peer.port, sndbuf=64 * 1472) as transport:
        taken = transport.send(data)
        assert 0 < taken < len(data)
        assert taken % 1316 == 0
        assert transport.stats()["short_sends"] == 1
        await send_all(transport, data[taken:])
        assert (await peer.received(len(data)))["sha256"] == hashlib.sha256(data).hexdigest()


async def test_statistics_count_what_was_sent():
    data = ts_bytes(7 * 50, seed=2)
    async with srt_listener() as peer, connected(peer.port) as transport:
        await send_all(transport, data)
        await peer.received(len(data))
        stats = transport.stats()
    assert stats["sent_unique_packets"] == 50
    assert stats["sent_packets"] == 50 + stats["retransmitted_packets"]
    # libsrt counts the IPv4, UDP and SRT headers too.
    assert stats["sent_unique_bytes"] == len(data) + 50 * 44
    assert stats["dropped_packets"] == 0
    assert stats["received_acks"] > 0
    assert stats["rtt_ms"] >= 0
    assert stats["mss_bytes"] == 1500
    assert stats["connected_ms"] > 0
    assert all(isinstance(value, int | float) for value in stats.values())


async def test_statistics_while_a_thread_sends():
    """The sender thread sends without the GIL while the event loop asks for figures."""
    data = ts_bytes(7 * 20, seed=4)
    async with srt_listener() as peer, connected(peer.port) as transport:
        asked = 0

        def send() -> int:
            return sum(transport.send(data) for _ in range(50))

        sending = asyncio.create_task(asyncio.to_thread(send))
        while not sending.done():
            assert transport.stats()["sent_packets"] >= 0
            asked += 1
            await asyncio.sleep(0)
        sent = await sending
        assert asked > 0
        await peer.received(sent)


async def test_two_hundred_callers_need_no_more_threads():
    loop = asyncio.get_running_loop()
    connector = SrtConnector(loop)
    callers = [SrtCaller([("fc", 32), ("rcvbuf", 32 * 1472)]) for _ in range(200)]
    async with srt_listener() as peer:
        port = callers[0].bind(socket.AF_INET, "", 0)
        threads = len(os.listdir("/proc/self/task"))
        for caller in callers[1:]:
            caller.bind(socket.AF_INET, "", port)
        async with asyncio.timeout(10):
            reasons = await asyncio.gather(
                *(connector.connect(caller, socket.AF_INET, ("127.0.0.1", peer.port)) for caller in callers)
            )
        assert reasons == [None] * 200
        assert len(os.listdir("/proc/self/task")) <= threads  # fewer while libsrt collects earlier ports
        for caller in callers:
            caller.close()


async def test_a_cancelled_connect_leaves_the_others_alone():
    connector = SrtConnector(asyncio.get_running_loop())
    with free_udp_port() as silent:
        async with srt_listener() as peer:
            given_up, wanted = SrtCaller(), SrtCaller()
            future = connector.connect(given_up, socket.AF_INET, ("127.0.0.1", silent.getsockname()[1]))
            future.cancel()
            given_up.close()
            async with asyncio.timeout(5):
                assert await connector.connect(wanted, socket.AF_INET, ("127.0.0.1", peer.port)) is None
            wanted.close()
