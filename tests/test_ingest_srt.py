"""SRT ingest: who is let in, what becomes of what they send, and how it ends."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import pytest_asyncio
from ingest_world import World, transport_stream, until
from srt_calls import call

from pushcast.ingest import srt as srt_module
from pushcast.ingest.gate import Gate
from pushcast.ingest.srt import SrtIngest
from pushcast.media import Codec
from pushcast.srt import SrtCaller
from pushcast.srtconnector import SrtConnector
from pushcast.srttransport import SrtTransport

ACCEPTED = None
BAD_SECRET, UNSECURE = 10, 11  # libsrt's reject reasons
SECRET = "an unusual passphrase"


@asynccontextmanager
async def ingest_of(world: World, **options: object) -> AsyncIterator[SrtIngest]:
    ingest = SrtIngest(world.registry, Gate(world.registry, {}), "127.0.0.1", 0, **options)
    await ingest.start()
    try:
        yield ingest
    finally:
        await ingest.close()


@pytest_asyncio.fixture
async def world() -> World:
    return World()


@asynccontextmanager
async def publisher(ingest: SrtIngest, stream_id: str, **options: object) -> AsyncIterator[SrtTransport]:
    caller = SrtCaller({"streamid": stream_id, **options}.items())
    caller.bind(socket.AF_INET, "", 0)
    address = ("127.0.0.1", ingest.port)
    assert await SrtConnector(asyncio.get_running_loop()).connect(caller, socket.AF_INET, address) is ACCEPTED
    transport = SrtTransport(caller)
    try:
        yield transport
    finally:
        await asyncio.to_thread(transport.close)


async def send(transport: SrtTransport, frames: int = 60) -> None:
    for datagram in transport_stream(frames):
        assert transport.send(datagram) == len(datagram)
        await asyncio.sleep(0.001)


@pytest.mark.parametrize(
    ("stream_id", "name"),
    [
        ("app/s", ("default", "app", "s")),
        ("second/app/s", ("second", "app", "s")),
        ("#!::r=other/s,m=publish,h=second.example", ("default", "other", "s")),
        ("srt://second:9999/app/s", ("second", "app", "s")),
        ("srt://192.0.2.1:9999/app/s", ("default", "app", "s")),
    ],
)
async def test_a_publisher_feeds_the_stream_of_its_stream_id(
    world: World, stream_id: str, name: tuple[str, str, str]
) -> None:
    async with ingest_of(world) as ingest, publisher(ingest, stream_id) as transport:
        await send(transport)
        await until(lambda: world.came and world.came[0].source.frame_count >= 100)
        stream = world.came[0]
        assert (stream.key, stream.source_type) == (name, "Srt")
        assert [track.codec for track in stream.tracks] == [Codec.H264, Codec.AAC]
        assert stream.figures is not None
        figures = stream.figures()
        assert figures["srtBytes"] > 50_000
        assert figures["srtLatencyMs"] == 120
        assert (figures["continuityErrors"], figures["damagedFrames"]) == (0, 0)
    await until(lambda: world.went)


@pytest.mark.parametrize(
    ("stream_id", "reason"),
    [
        ("", 1400),
        ("app", 1400),
        ("nowhere/s", 1404),
        ("nowhere/app/s", 1404),
        ("#!::r=app/s,m=request", 1405),
        ("app/a\u0007b", 1400),
    ],
)
async def test_who_is_refused_is_told_why(world: World, stream_id: str, reason: int) -> None:
    async with ingest_of(world) as ingest:
        assert await call(ingest.port, streamid=stream_id) == reason
        assert not world.came


async def test_a_name_is_held_by_one(world: World) -> None:
    async with ingest_of(world) as ingest:
        async with publisher(ingest, "app/s") as transport:
            await send(transport)
            await until(lambda: world.came)
            assert await call(ingest.port, streamid="app/s") == 1409
        await until(lambda: world.went)
        async with publisher(ingest, "app/s") as transport:
            await send(transport)
            await until(lambda: len(world.came) == 2)
        first, second = world.came
        assert second.source.recent()[0][1] >= first.source.last_dts, "time goes on upwards"


async def test_two_callers_of_one_name_in_the_same_moment(world: World) -> None:
    async with ingest_of(world) as ingest:
        await asyncio.gather(*(call(ingest.port, streamid="app/s") for _ in range(8)))
        await until(lambda: not world.registry.is_taken("default", "app", "s"))
        async with publisher(ingest, "app/s") as transport:
            await send(transport)
            await until(lambda: world.came)


@pytest.mark.parametrize(
    ("ours", "theirs", "reason"),
    [
        (SECRET, SECRET, ACCEPTED),
        (SECRET, "another passphrase", BAD_SECRET),
        (SECRET, "", UNSECURE),
        ("", SECRET, UNSECURE),
        ("", "", ACCEPTED),
    ],
)
async def test_passphrases(world: World, ours: str, theirs: str, reason: int | None) -> None:
    async with ingest_of(world, passphrase=ours) as ingest:
        options = {"passphrase": theirs} if theirs else {}
        assert await call(ingest.port, streamid="app/s", **options) == reason


async def test_what_is_no_transport_stream_ends_its_publisher(world: World, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    async with ingest_of(world) as ingest, publisher(ingest, "app/s") as transport:
        for _ in range(60):
            transport.send(bytes(1316))
        await until(lambda: "without a sync byte every 188" in caplog.text)
        await until(lambda: not world.registry.is_taken("default", "app", "s"))


async def test_a_silent_publisher_is_ended(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(srt_module, "SILENT_S", 0.2)
    async with ingest_of(world) as ingest, publisher(ingest, "app/s") as transport:
        await send(transport)
        await until(lambda: world.came)
        await until(lambda: world.went)


async def test_a_stream_closed_from_outside_ends_its_publisher(world: World) -> None:
    async with ingest_of(world) as ingest, publisher(ingest, "app/s") as transport:
        await send(transport)
        await until(lambda: world.came)
        world.came[0].close()
        await until(lambda: world.went)
        with pytest.raises(OSError, match="reset by peer"):
            await until(lambda: transport.send(bytes(1316)) < 0)


async def test_closing_ends_all(world: World) -> None:
    async with ingest_of(world) as ingest:
        caller = SrtCaller({"streamid": "app/s"}.items())
        caller.bind(socket.AF_INET, "", 0)
        address = ("127.0.0.1", ingest.port)
        await SrtConnector(asyncio.get_running_loop()).connect(caller, socket.AF_INET, address)
        transport = SrtTransport(caller)
        await send(transport)
        await until(lambda: world.came)
        await ingest.close()
        assert world.went == world.came
        await asyncio.to_thread(transport.close)
