"""Sending over SRT to real peers: bytes, a full buffer, a lost peer, statistics."""

import asyncio
import hashlib
import itertools

import pytest
from srt_calls import PACKET, connected, send_all, ts_bytes
from srt_peer import srt_listener, until

from pushcast.srt import SrtCaller
from pushcast.srttransport import SrtTransport


@pytest.mark.parametrize(("datagram_bytes", "sizes"), [(1316, [376, 1316]), (PACKET * 3, [376, 564])])
async def test_bytes_arrive_whole_in_datagrams_of_the_asked_size(datagram_bytes, sizes):
    data = ts_bytes(7 * 27 * 3 + 2, seed=5)
    async with srt_listener() as peer, connected(peer.port, datagram_bytes, payloadsize=datagram_bytes) as transport:
        assert transport.datagram_bytes == datagram_bytes
        await send_all(transport, data)
        got = await peer.received(len(data))
    assert got["sha256"] == hashlib.sha256(data).hexdigest()
    assert got["datagram_bytes"] == sizes


@pytest.mark.parametrize("datagram_bytes", [0, 100, 187, 189, PACKET * 8])
def test_a_datagram_holds_whole_packets(datagram_bytes):
    caller = SrtCaller()
    with pytest.raises(ValueError, match="datagram_bytes"):
        SrtTransport(caller, datagram_bytes)
    assert not caller.closed
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


@pytest.mark.parametrize("cuts", [[1316], [1], [1316 + 188, 3000, 3001, 3002], [1316 * 2, 1316 * 4]])
async def test_pieces_make_one_run(cuts):
    data = ts_bytes(7 * 4 + 3, seed=6)
    pieces = [data[start:end] for start, end in itertools.pairwise([0, *cuts, len(data)])]
    async with srt_listener() as peer, connected(peer.port) as transport:
        assert transport.send(*pieces) == len(data)
        assert (await peer.received(len(data)))["sha256"] == hashlib.sha256(data).hexdigest()
        assert transport.stats()["sent_unique_packets"] == 5


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
