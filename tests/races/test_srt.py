"""SRT between its hands: callers that connect on the event loop while sender threads send on those before them, and
while others are closed off the loop."""

from __future__ import annotations

import asyncio
import socket

from srt_peer import srt_listener

from pushcast.ring import Ring
from pushcast.srt import SrtCaller
from pushcast.srtconnector import SrtConnector
from pushcast.srttransport import SrtTransport
from races.fleet import Fleet

KEY = 1
SPAN_TICKS = 900
SIZE = 1316
WAVES = 4
CALLERS = 6
SPANS = 100


async def test_callers_come_and_go_while_threads_send() -> None:
    connector, ring, port = SrtConnector(asyncio.get_running_loop()), Ring(), 0
    async with srt_listener() as peer:
        with Fleet(2) as fleet:
            for wave in range(1, WAVES + 1):
                port, transports = await connect(connector, port, peer.port)
                push(fleet, ring, transports)
                await peer.received(wave * CALLERS * SPANS * SIZE)
                await asyncio.gather(*(asyncio.to_thread(transport.close) for transport in transports))


async def connect(connector: SrtConnector, local_port: int, port: int) -> tuple[int, list[SrtTransport]]:
    """Connect from this local port, 0 for any; returns the port it was."""
    callers = [SrtCaller([("tlpktdrop", 0)]) for _ in range(CALLERS)]
    for caller in callers:
        local_port = caller.bind(socket.AF_INET, "", local_port)
    connects = [connector.connect(caller, socket.AF_INET, ("127.0.0.1", port)) for caller in callers]
    assert await asyncio.gather(*connects) == [None] * CALLERS
    return local_port, [SrtTransport(caller) for caller in callers]


def push(fleet: Fleet, ring: Ring, transports: list[SrtTransport]) -> None:
    """Send one keyframe and what follows, asking for statistics all the time, and let go."""
    ring.write(bytes(SIZE), ring.head * SPAN_TICKS, KEY)
    destinations = [fleet.attach(ring, transport) for transport in transports]
    for _ in range(1, SPANS):
        ring.write(bytes(SIZE), ring.head * SPAN_TICKS)
        fleet.look(0.002)
        assert all(transport.connected for transport in transports)
        assert all(transport.stats()["dropped_packets"] == 0 for transport in transports)
    fleet.wait(lambda: all(each.counters()["media_bytes"] == SPANS * SIZE for each in destinations))
    for each in destinations:
        fleet.detach(each)
    fleet.wait(lambda: all(each in fleet.released for each in destinations))
    assert {fleet.released[each] for each in destinations} == {0}
