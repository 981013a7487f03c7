"""Overload: an SRT link whose peer gets less than the stream has says so, and threads lengthen their intervals."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from api_client import Client, serving
from live import LiveStream, until
from srt_peer import srt_listener

from pushcast.destination import Destination
from pushcast.egress import SRT
from pushcast.muxer import Muxer
from pushcast.push import Push
from pushcast.ring import Ring
from pushcast.sender import Sender
from pushcast.transport import UdpTransport

FRAME_BYTES = 6000  # 150 KB/s
NARROW_BYTES_PER_S = 40_000


@pytest_asyncio.fixture
async def client() -> AsyncIterator[Client]:
    async with serving() as made:
        yield made


def overload(push: Push | None) -> str:
    return push.session.overload if push is not None and push.session is not None else ""


async def pushes(client: Client) -> dict[str, dict[str, object]]:
    answer = await client.post("pushes")
    return {push["id"]: push for push in answer.json["response"]}


async def start_push(client: Client, push_id: str, url: str) -> None:
    body = {"id": push_id, "stream": {"name": "s"}, "protocol": "srt", "url": url, "streamKey": ""}
    assert (await client.post("startPush", body)).status == 200


async def test_an_srt_push_that_cannot_keep_up_says_so_until_it_can(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "pushcast")
    stream = LiveStream(client.engine.registry)
    stream.up()
    async with srt_listener() as peer:
        await start_push(client, "wide", f"srt://127.0.0.1:{peer.port}?latency=120000")
        await start_push(client, "narrow", f"srt://127.0.0.1:{peer.port}?latency=120000&maxbw={NARROW_BYTES_PER_S}")
        narrow = client.engine.scheduler.get("v", "a", "narrow")
        async with stream.playing(FRAME_BYTES):
            await until(lambda: overload(narrow), 10)
        shown = await pushes(client)
        assert "overload" not in shown["wide"]
        assert shown["narrow"]["state"] == "pushing"
        assert (
            "packets were dropped" in shown["narrow"]["overload"] or "ms of media wait" in shown["narrow"]["overload"]
        )
        assert any(load.overloaded for load in SRT.ports.loads())
        assert any("overload: " in record.getMessage() for record in caplog.records)
        # Nothing more comes, so the link gets rid of what it has.
        await until(lambda: not overload(narrow), 15)
        assert not any(load.overloaded for load in SRT.ports.loads())
        assert "overload" not in (await pushes(client))["narrow"]


async def test_the_statistics_show_threads_and_ports(client: Client) -> None:
    stream = LiveStream(client.engine.registry)
    stream.up()
    async with srt_listener() as peer, stream.playing():
        await start_push(client, "one", f"srt://127.0.0.1:{peer.port}")
        await until(lambda: client.engine.fanout.statistics()[0].srt.destinations)
        answer = (await client.request("GET", "/v1/stats/senders")).json["response"]
    thread = answer["threads"][0]
    assert thread.keys() == {"name", "bytesPerSecond", "busy", "lateMsMax", "udp", "srt", "tcp", "paced"}
    assert thread["name"] == "sender-0"
    assert thread["srt"] == {"destinations": 1, "intervalMs": 20, "configuredMs": 20, "mostMs": 40}
    assert thread["tcp"] == {"destinations": 0, "intervalMs": 40, "configuredMs": 40, "mostMs": 200}
    assert thread["bytesPerSecond"] > 0
    assert 0 <= thread["busy"] <= 1
    assert [(port["sockets"], port["overloadedSockets"]) for port in answer["srtPorts"]] == [(1, 0)]


def test_a_thread_that_has_too_much_to_send_sends_less_often() -> None:
    """300 destinations of 120 Mbit/s each, every 4 ms, are more than a core can do."""
    ring = Ring()
    deaf = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    deaf.bind(("127.0.0.1", 0))
    sender = Sender(udp_ms=4, udp_most_ms=40)
    thread = threading.Thread(target=sender.run)
    thread.start()
    attached = []
    try:
        for _ in range(300):
            near = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            near.connect(deaf.getsockname())
            near.setblocking(False)
            attached.append(Destination(ring, Muxer(ring), UdpTransport(near.detach())))
            sender.attach(attached[-1])
        assert sender.statistics()["udp"][0] == 4
        end = time.monotonic() + 10
        frame = 0
        while sender.statistics()["udp"][0] == 4:
            assert time.monotonic() < end, sender.statistics()
            ring.write(bytes(188 * 320), frame * 360, 1 if frame % 50 == 0 else 0)
            frame += 1
            time.sleep(0.004)
        assert sender.statistics()["busy_permille"] > 800
        assert sender.statistics()["udp"] == (8, 300)
    finally:
        sender.stop()
        thread.join()
        sender.events()
        for destination in attached:
            destination.transport.close()
        deaf.close()
