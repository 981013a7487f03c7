"""MPEG-TS ingest: UDP, RTP and TCP ports, each feeding one stream."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import pytest
import pytest_asyncio
from ingest_world import World, played, transport_stream, until

from pushcast.errors import ConfigError
from pushcast.ingest import mpegts as mpegts_module
from pushcast.ingest import reception as reception_module
from pushcast.ingest.mpegts import MpegTsIngest
from pushcast.intake import Intake
from pushcast.listen_url import parse_listen_url

NAME = ("default", "app", "ts")


@pytest_asyncio.fixture
async def world() -> World:
    return World()


@contextmanager
def running_intake() -> Iterator[Intake]:
    intake = Intake()
    thread = threading.Thread(target=intake.run)
    thread.start()
    try:
        yield intake
    finally:
        intake.stop()
        thread.join()


@asynccontextmanager
async def port_of(world: World, url: str) -> AsyncIterator[MpegTsIngest]:
    with running_intake() as intake:
        ingest = MpegTsIngest(world.registry, intake, [(parse_listen_url(url), NAME)])
        await ingest.start()
        try:
            yield ingest
        finally:
            await ingest.close()


@pytest.fixture
def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def sender() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        yield made


def enough(world: World, frames: int = 30) -> bool:
    return bool(world.came) and world.came[-1].source.frame_count >= frames


async def test_udp(world: World, free_port: int, sender: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mpegts_module, "SILENT_S", 0.3)
    async with port_of(world, f"udp://127.0.0.1:{free_port}"):
        for number in (1, 2):

            def all_there(number: int = number) -> bool:
                return len(world.came) == number and enough(world)

            await played(lambda data: sender.sendto(data, ("127.0.0.1", free_port)), all_there)
            stream = world.came[-1]
            assert (stream.key, stream.source_type) == (NAME, "MPEGTS")
            assert len(stream.tracks) == 2
            await until(lambda n=number: len(world.went) == n)
    first, second = world.came
    assert second.source.recent()[0][1] >= first.source.last_dts


async def test_another_sender_is_not_taken_while_one_is_heard(
    world: World, free_port: int, sender: socket.socket
) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        async with port_of(world, f"udp://127.0.0.1:{free_port}") as ingest:

            def both(data: bytes) -> None:
                sender.sendto(data, ("127.0.0.1", free_port))
                stranger.sendto(data, ("127.0.0.1", free_port))

            await played(both, lambda: enough(world, 100))
            taken = ingest.ports[0].socket
            assert taken.strangers > 10
            assert taken.sender_address == sender.getsockname() or taken.sender_address[1] == sender.getsockname()[1]
            assert taken.tap.input.continuity_errors == 0


@pytest.mark.parametrize("group", ["239.77.12.1", "232.77.12.1"])
async def test_multicast(world: World, free_port: int, sender: socket.socket, group: str) -> None:
    source = "&source=127.0.0.1" if group.startswith("232") else ""
    sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
    sender.bind(("127.0.0.1", 0))
    async with port_of(world, f"udp://{group}:{free_port}?interface=127.0.0.1{source}"):
        await played(lambda data: sender.sendto(data, (group, free_port)), lambda: enough(world))
        assert enough(world)


def rtp(number: int, payload: bytes, *, extension: bytes = b"", padding: int = 0, sources: int = 0) -> bytes:
    """RFC 3550 5.1."""
    first = 0x80 | (0x20 if padding else 0) | (0x10 if extension else 0) | sources
    head = struct.pack(">BBHII", first, 33, number % 65536, number, 0x1234) + bytes(4 * sources)
    if extension:
        head += struct.pack(">HH", 0xBEDE, len(extension) // 4) + extension
    return head + payload + (bytes(padding - 1) + bytes((padding,)) if padding else b"")


async def test_rtp(world: World, free_port: int, sender: socket.socket) -> None:
    """Numbers that wrap, headers of all kinds, one packet lost, one late, one twice, and what is no RTP."""
    kinds = [{}, {"extension": bytes(8)}, {"padding": 4}, {"sources": 3}]
    numbers = iter(range(65_530, 70_000))

    def send(data: bytes) -> None:
        number = next(numbers)
        packet = rtp(number, data, **kinds[number % 4])
        if number == 65_560:
            return
        sender.sendto(packet, ("127.0.0.1", free_port))
        if number == 65_580:
            sender.sendto(packet, ("127.0.0.1", free_port))
            sender.sendto(rtp(65_570, data), ("127.0.0.1", free_port))
            sender.sendto(b"\x47" * 30, ("127.0.0.1", free_port))
            sender.sendto(b"\x80", ("127.0.0.1", free_port))
            sender.sendto(rtp(1, b"", sources=15)[:20], ("127.0.0.1", free_port))

    async with port_of(world, f"rtp://127.0.0.1:{free_port}") as ingest:
        await played(send, lambda: enough(world, 200))
        taken = ingest.ports[0].socket
        assert (taken.lost, taken.malformed) == (1, 3)
        assert 1 <= taken.tap.input.continuity_errors <= 3


async def test_tcp(world: World, free_port: int) -> None:
    async with port_of(world, f"tcp://127.0.0.1:{free_port}"):
        for number in (1, 2):
            reader, writer = await asyncio.open_connection("127.0.0.1", free_port)
            other_reader, other = await asyncio.open_connection("127.0.0.1", free_port)
            writer.write(b"".join(transport_stream()))
            await until(lambda n=number: len(world.came) == n and enough(world, 100))
            assert await other_reader.read() == b"", "one at a time"
            other.close()
            writer.close()
            await until(lambda n=number: len(world.went) == n)
            del reader


async def test_a_port_that_waited_long_takes_the_first_sender(
    world: World, free_port: int, sender: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What has to come within a time counts from the first bytes."""
    monkeypatch.setattr(reception_module, "TRACKS_DEADLINE_S", 0.3)
    monkeypatch.setattr(mpegts_module, "LOOK_S", 0.01)
    async with port_of(world, f"udp://127.0.0.1:{free_port}") as ingest:
        taken = ingest.ports[0].socket
        await asyncio.sleep(0.5)
        await played(lambda data: sender.sendto(data, ("127.0.0.1", free_port)), lambda: enough(world))
        assert ingest.ports[0].socket is taken


async def test_a_connection_that_says_nothing_holds_no_port(
    world: World, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mpegts_module, "CONNECTION_SILENT_S", 0.1)
    monkeypatch.setattr(mpegts_module, "LOOK_S", 0.01)
    async with port_of(world, f"tcp://127.0.0.1:{free_port}"):
        reader, writer = await asyncio.open_connection("127.0.0.1", free_port)
        async with asyncio.timeout(5):
            assert await reader.read() == b""
        writer.close()


async def test_other_tracks_make_another_stream(world: World, free_port: int) -> None:
    async with port_of(world, f"tcp://127.0.0.1:{free_port}"):
        _, writer = await asyncio.open_connection("127.0.0.1", free_port)
        writer.write(b"".join(transport_stream()))
        await until(lambda: enough(world, 100))
        for _ in range(3):  # the first tells that it is another one, the next ones are its beginning
            writer.write(b"".join(transport_stream(audio=False)))
            await writer.drain()
            await asyncio.sleep(0.05)
        await until(lambda: len(world.came) == 2 and enough(world, 20))
        assert len(world.went) == 1
        assert [len(stream.tracks) for stream in world.came] == [2, 1]
        writer.close()


async def test_packets_of_204_bytes_are_refused_with_one_line(
    world: World, free_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with port_of(world, f"tcp://127.0.0.1:{free_port}"):
        for _ in range(2):
            reader, writer = await asyncio.open_connection("127.0.0.1", free_port)
            writer.write(b"".join(b"\x47" + bytes(203) for _ in range(50)))
            assert await reader.read() == b""
            writer.close()
    assert caplog.text.count("found transport stream packets of 204 bytes, expected 188") == 1


async def test_a_port_that_is_taken_is_named(world: World, free_port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", free_port))
        with pytest.raises(ConfigError, match=f"mpegts.listen: cannot listen on udp://127.0.0.1:{free_port}: "):
            async with port_of(world, f"udp://127.0.0.1:{free_port}"):
                pass


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://127.0.0.1:1", "expected udp://"),
        ("udp://127.0.0.1", "expected udp://"),
        ("udp://camera:5000", "does not appear to be an IPv4 or IPv6 address"),
        ("udp://127.0.0.1:5000?interface=127.0.0.1", "of IPv4 multicast groups"),
        ("udp://239.1.1.1:5000?ttl=3", 'it has the option "ttl"'),
        ("tcp://127.0.0.1:5000?program=x", "program: expected a number"),
        ("tcp://127.0.0.1:5000?program=70000", "program: expected a number"),
        ("udp://u@127.0.0.1:5000", "expected udp://"),
        ("udp://127.0.0.1:70000", "Port out of range"),
    ],
)
def test_urls_that_are_none(url: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_listen_url(url)
