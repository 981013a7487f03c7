"""SRT connects against real peers: accepted, rejected, never answered, given up."""

import asyncio
import os
import socket

import pytest
from srt_calls import call, free_udp_port
from srt_peer import srt_listener

from pushcast.srt import SrtCaller
from pushcast.srtconnector import SrtConnector


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
