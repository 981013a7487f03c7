"""What tests of pulls are made of: a registry with pulls into it, clips to pull, and servers that give them."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import http.server
import ssl
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from live import until

from pushcast.ingest.demux import Clip, ClipFrame
from pushcast.ingest.pull import Pulls, PullSettings
from pushcast.pull_url import check_url
from pushcast.source import Clock
from pushcast.stream import Registry, Stream

SECONDS = 8  # libavformat may look at 5 s before it says what is in them
SECRET = "hunter2"


def make_media(folder: Path) -> Path:
    """Fills a folder with one programme as MPEG-TS, FLV and HLS, and one of two seconds."""

    def make(arguments: str) -> None:
        command = ["ffmpeg", "-nostdin", "-v", "error", "-y", *arguments.split()]
        subprocess.run(command, check=True, timeout=60, cwd=folder)

    pictures = "-f lavfi -i testsrc2=size=208x112:rate=25 -f lavfi -i sine=frequency=500:sample_rate=44100"
    code = "-c:v libx264 -preset ultrafast -bf 2 -g 25 -b:v 150k -c:a aac -ac 2"
    make(f"{pictures} -t {SECONDS} {code} live.ts")
    make("-i live.ts -c copy live.flv")
    make("-i live.ts -t 2 -c copy short.ts")
    make("-i short.ts -c copy -hls_time 1 -hls_list_size 0 -f hls list.m3u8")
    return folder


class Listener:
    """Hears what the registry tells."""

    def __init__(self) -> None:
        self.started: asyncio.Queue[Stream] = asyncio.Queue()
        self.ended: asyncio.Queue[Stream] = asyncio.Queue()

    def stream_started(self, stream: Stream) -> None:
        self.started.put_nowait(stream)

    def stream_ended(self, stream: Stream) -> None:
        self.ended.put_nowait(stream)


class Bench:
    """A registry with one app, pulls into it, and a listener."""

    def __init__(self, files_below: Path | None = None) -> None:
        self.registry = Registry({"east": ["live"]}, Clock())
        self.listener = Listener()
        self.registry.subscribe(self.listener)
        self.pulls = Pulls(self.registry, files_below)

    async def start(self, *urls: str, name: str = "cam", **more: Any) -> None:
        for url in urls:
            check_url(url, self.pulls.files_below)
        await self.pulls.start("east", "live", name, PullSettings(urls, **more))

    async def next_stream(self) -> Stream:
        async with asyncio.timeout(15):
            return await self.listener.started.get()

    async def next_end(self) -> Stream:
        async with asyncio.timeout(15):
            return await self.listener.ended.get()


@contextlib.asynccontextmanager
async def bench(files_below: Path | None = None) -> AsyncIterator[Bench]:
    """Closed at the end; then no thread may be left."""
    made = Bench(files_below)
    try:
        yield made
    finally:
        await made.pulls.close()
    await until(lambda: not pull_threads(), 10)


def pull_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "pull"]


@contextlib.contextmanager
def ffmpeg(clip: Path, form: str, url: str, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    """ffmpeg plays the clip again and again, in real time."""
    command = ["ffmpeg", "-nostdin", "-v", "error", "-re", "-stream_loop", "-1", "-i", str(clip)]
    child = subprocess.Popen([*command, "-c", "copy", "-f", form, *options, url], stderr=subprocess.DEVNULL)
    try:
        yield child
    finally:
        child.kill()
        child.wait()


class Server:
    """A TCP server that sends a clip to whoever comes, as fast as it is taken, and then closes or stays silent."""

    def __init__(self, content: bytes, *, closes: bool) -> None:
        self._content = content
        self._closes = closes
        self.visits = 0
        self._connections: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> Server:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"tcp://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *error: object) -> None:
        self._server.close()
        for connection in self._connections:
            connection.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.visits += 1
        self._connections.append(writer)
        with contextlib.suppress(ConnectionError):
            writer.write(self._content)
            await writer.drain()
            if self._closes:
                writer.close()


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Says nothing, of peers that leave neither."""

    def log_message(self, *_: Any) -> None: ...

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            super().handle()


@contextlib.contextmanager
def serving_folder(folder: Path, context: ssl.SSLContext | None = None) -> Iterator[int]:
    """Python's own HTTP server, which says how long a file is."""
    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        if context is not None:
            server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield int(server.server_address[1])
        server.shutdown()
        thread.join()


def frames_of(path: Path) -> list[ClipFrame]:
    clip = Clip(path)
    frames = list(clip.frames())
    clip.close()
    return frames
