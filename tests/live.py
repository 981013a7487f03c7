"""What the tests of pushing need: a stream whose media the test makes itself, and peers on loopback that count."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from pushcast import settings as settings_module
from pushcast.audit import AuditLog
from pushcast.desired import Desired
from pushcast.egress import PROTOCOLS, Link
from pushcast.egress.fanout import FanOut
from pushcast.errors import EngineError
from pushcast.events import Events
from pushcast.ingest.pull import Pulls
from pushcast.media import Codec, Track
from pushcast.scheduler import Scheduler
from pushcast.settings import PushSettings
from pushcast.source import Clock, Source
from pushcast.statistics import Statistics
from pushcast.store import Store
from pushcast.stream import OutputStream, Registry, Stream

TRACKS = (
    Track(
        id=7,
        codec=Codec.H264,
        name="cam",
        config=bytes.fromhex("0142c01effe1000a6742c01eda0280bfe5c001000468ce3c80"),
        width=640,
        height=360,
        frame_rate=25.0,
    ),
    Track(id=9, codec=Codec.AAC, config=bytes.fromhex("1190"), sample_rate=48000, channels=2, bitrate=96000),
)
FRAME_TICKS = 3600  # 25 per second
AUDIO_TICKS = 1920  # 1024 samples at 48 kHz
IDR = bytes.fromhex("000000056588840a0b")
SLICE = bytes.fromhex("0000000441e20c0d")


class LiveStream:
    """A stream under a name that the test brings up, feeds and takes down."""

    def __init__(self, registry: Registry, name: str = "s", tracks: tuple[Track, ...] = TRACKS) -> None:
        self.registry = registry
        self.source = Source(*registry.timeline("v", "a", name))
        self.source.set_tracks(tracks)
        self.stream = Stream("v", "a", name, tracks, self.source, "File", "file:///clip.ts")
        self._frames = 0
        self._audio = 0

    def up(self) -> Stream:
        return self.registry.add(self.stream)

    @property
    def output(self) -> OutputStream:
        """What pushes take of it while it is up."""
        return self.stream.outputs[0]

    def down(self) -> None:
        self.registry.remove(self.stream)

    def feed(self, frames: int = 1, padding_bytes: int = 400) -> None:
        """Publish so many video frames, a keyframe every second, and the audio beside them."""
        for _ in range(frames):
            key = self._frames % 25 == 0
            dts = self._frames * FRAME_TICKS
            unit = IDR if key else SLICE
            size = len(unit) - 4 + padding_bytes
            unit = size.to_bytes(4, "big") + unit[4:] + bytes([0x55]) * padding_bytes
            self.source.push(TRACKS[0].id, dts, dts, 1 if key else 0, unit)
            while self._audio * AUDIO_TICKS <= dts:
                at = self._audio * AUDIO_TICKS
                self.source.push(TRACKS[1].id, at, at, 1, bytes([0x21, 0x1B, 0x55, 0xAA] * 20))
                self._audio += 1
            self._frames += 1

    @contextlib.asynccontextmanager
    async def playing(self, padding_bytes: int = 400) -> AsyncIterator[None]:
        """Feed it at 25 frames per second until the block ends."""

        async def play() -> None:
            while True:
                self.feed(padding_bytes=padding_bytes)
                await asyncio.sleep(0.04)

        task = asyncio.create_task(play())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait({task})


class Peers(asyncio.Protocol):
    """A TCP server that reads everything and keeps it, by connection."""

    def __init__(self) -> None:
        self.received: list[bytearray] = []
        self.transports: list[asyncio.Transport] = []
        self.ended = 0
        self.server: asyncio.Server | None = None
        self.port = 0

    async def listen(self, port: int = 0) -> int:
        self.server = await asyncio.get_running_loop().create_server(lambda: _Peer(self), "127.0.0.1", port)
        self.port = int(self.server.sockets[0].getsockname()[1])
        return self.port

    async def close(self) -> None:
        if self.server is not None:
            self.server.close()
        for transport in self.transports:
            transport.abort()


class _Peer(asyncio.Protocol):
    def __init__(self, peers: Peers) -> None:
        self._peers = peers
        self._received = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._peers.transports.append(transport)  # type: ignore[arg-type]
        self._peers.received.append(self._received)

    def data_received(self, data: bytes) -> None:
        self._received += data

    def connection_lost(self, exc: Exception | None) -> None:
        self._peers.ended += 1


class UdpSink(asyncio.DatagramProtocol):
    """A UDP socket that keeps what it gets, by sender's address."""

    def __init__(self) -> None:
        self.received: dict[tuple[str, int], bytearray] = {}
        self.transport: asyncio.DatagramTransport | None = None

    async def open(self) -> int:
        self.transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: self, local_addr=("127.0.0.1", 0)
        )
        return int(self.transport.get_extra_info("sockname")[1])

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.received.setdefault(addr, bytearray()).extend(data)

    def close(self) -> None:
        if self.transport is not None:
            self.transport.close()


class Engine:
    """Registry, fan-out and scheduler together, as the server wires them."""

    def __init__(self, apps: dict[str, tuple[str, ...]] | None = None) -> None:
        self.registry = Registry(apps or {"v": ("a", "b")}, Clock())
        self.fanout = FanOut()
        self.scheduler = Scheduler(self.registry, self.fanout)

    async def close(self) -> None:
        await self.scheduler.close()
        await self.fanout.close()


class Kept(Engine):
    """The same with a store, in a folder of its own unless one is given."""

    def __init__(self, apps: dict[str, tuple[str, ...]] | None = None, folder: Path | None = None) -> None:
        super().__init__(apps)
        self._temporary = tempfile.TemporaryDirectory() if folder is None else None
        kept = Path(self._temporary.name) if self._temporary is not None else folder
        assert kept is not None
        self.store = Store(kept)
        self.audit = AuditLog(kept)
        self.statistics = Statistics(self.registry, self.scheduler)
        self.pulls = Pulls(self.registry)
        self.events = Events(self.scheduler)
        self.desired = Desired(self.registry, self.scheduler, self.store)

    async def close(self) -> None:
        await self.pulls.close()
        await super().close()
        await self.audit.close()
        await self.store.close()
        if self._temporary is not None:
            self._temporary.cleanup()


@contextlib.asynccontextmanager
async def engine() -> AsyncIterator[Engine]:
    built = Engine()
    try:
        yield built
    finally:
        await built.close()


def settings(push_id: str, url: str, *, stream: str = "s", key: str = "", **more: object) -> PushSettings:
    """Settings for app v/a; the protocol follows from the URL's scheme."""
    word = {"udp": "mpegts", "tcp": "mpegts", "srt": "srt", "rtmp": "rtmp"}[url.partition(":")[0]]
    target = PROTOCOLS[word].parse(url, key)
    return PushSettings(
        id=push_id,
        vhost="v",
        app="a",
        stream_name=stream,
        protocol=word,
        target=target,
        url=url,
        stream_key=key,
        **{"retry": settings_module.DEFAULT_RETRY, **more},
    )  # type: ignore[arg-type]


def watched(link: Link) -> asyncio.Future[None]:
    """The link watches its peer: fails with what it loses it for; cancelled, it watches no more."""
    over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def on_lost(error: EngineError) -> None:
        if not over.done():
            over.set_exception(error)

    link.on_lost = on_lost
    link.watch()
    over.add_done_callback(lambda _: link.unwatch())
    return over


async def until(condition: Callable[[], object], deadline_s: float = 5.0) -> None:
    """Wait for something that no event announces; fails after the deadline."""
    end = time.monotonic() + deadline_s
    while not condition():
        assert time.monotonic() < end, "the awaited condition never came true"
        await asyncio.sleep(0.005)


async def within(awaitable: Awaitable[object], deadline_s: float = 5.0) -> object:
    async with asyncio.timeout(deadline_s):
        return await awaitable


def silent_udp_port() -> tuple[socket.socket, int]:
    """A UDP port that takes everything and answers nothing."""
    mute = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    mute.bind(("127.0.0.1", 0))
    return mute, mute.getsockname()[1]


def refusing_tcp_port() -> int:
    """A port where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])
