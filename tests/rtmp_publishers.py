"""Publishers over RTMP: one of our own, with each byte in hand, and ffmpeg."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import pytest
from live import until
from streams import ASC, AVCC, picture

from pushcast.chunk import write_message
from pushcast.rtmp.amf0 import EcmaArray, encode
from pushcast.rtmp.client import CHUNK_SIZE, ClientConnection
from pushcast.rtmp.events import (
    Connect,
    Connected,
    Event,
    HandshakeDone,
    Hello,
    Prepare,
    Publish,
    Started,
    StreamCreated,
)
from pushcast.stream import Registry, Stream

VIDEO_HEADER = b"\x17\0\0\0\0" + AVCC
AUDIO_HEADER = b"\xaf\0" + ASC


def reasons(log: pytest.LogCaptureFixture) -> list[str]:
    """The lines with which connections ended."""
    return [text.partition("ended: ")[2] for text in log.messages if ": ended: " in text]


class Publisher:
    """A publisher of our own, so that the test has each byte in hand."""

    def __init__(self, port: int, size: int = 1 << 20, receive_buffer_bytes: int = 0) -> None:
        self.receive_buffer_bytes = receive_buffer_bytes
        self.port = port
        self.size = size
        self.connection = ClientConnection(3)

    async def publish(self, name: str, app: str = "one", host: str = "first", tc_url: str = "") -> Publisher:
        sock = socket.socket()
        if self.receive_buffer_bytes:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.receive_buffer_bytes)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self.port))
        self.reader, self.writer = await asyncio.open_connection(sock=sock)
        await self.ask(Hello(), HandshakeDone)
        await self.ask(Connect(app, tc_url or f"rtmp://{host}/{app}"), Connected)
        created = await self.ask(Prepare(name), StreamCreated)
        assert isinstance(created, StreamCreated)
        await self.ask(Publish(name, created.message_stream_id), Started)
        return self

    async def ask(self, event: Event, wanted: type[Event]) -> Event:
        await self.write(self.connection.send(event))
        async with asyncio.timeout(5):
            while True:
                while (answer := self.connection.next_event()) is not None:
                    if isinstance(answer, wanted):
                        return answer
                data = await self.reader.read(65536)
                assert data, f"the server closed instead of {wanted.__name__}"
                self.connection.receive_data(data)

    async def write(self, data: bytes) -> None:
        for start in range(0, len(data), self.size):
            self.writer.write(data[start : start + self.size])
            await self.writer.drain()

    async def media(self, type: int, time_ms: int, payload: bytes) -> None:
        await self.write(write_message(type, type, 1, time_ms, payload, CHUNK_SIZE))

    async def headers(self) -> None:
        metadata = encode("@setDataFrame", "onMetaData", EcmaArray(width=640.0, audiocodecid=10.0))
        await self.media(18, 0, metadata)
        await self.media(9, 0, VIDEO_HEADER)
        await self.media(8, 0, AUDIO_HEADER)
        await self.media(8, 0, b"\xaf\1\x21")  # with the first frame all tracks are there

    async def picture(self, number: int, size: int = 900) -> None:
        key = number == 0
        await self.media(9, number * 40, (b"\x17" if key else b"\x27") + b"\1\0\0\0" + picture(number, size, key))

    async def closed(self) -> bytes:
        """What the server still said until it closed."""
        rest = b""
        with contextlib.suppress(ConnectionError):
            rest = await asyncio.wait_for(self.reader.read(-1), 5)
        self.writer.close()
        return rest


async def live(registry: Registry, vhost: str, app: str, name: str) -> Stream:
    await until(lambda: registry.get(vhost, app, name))
    stream = registry.get(vhost, app, name)
    assert stream is not None
    return stream


async def ffmpeg_publishes(url: str, seconds: float) -> asyncio.subprocess.Process:
    command = (
        f"-v error -re -f lavfi -i testsrc2=s=320x180:r=25 -f lavfi -i sine=r=44100 -t {seconds} -g 25 -c:v libx264"
    )
    return await asyncio.create_subprocess_exec(
        "ffmpeg", *command.split(), "-preset", "ultrafast", "-c:a", "aac", "-f", "flv", url, stderr=-1
    )
