"""Pulls: which URLs, what a real server's media becomes, and servers that die, fall silent or are not there."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import http.server
import logging
import re
import socket
import ssl
import struct
import subprocess
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import av
import pytest
from live import refusing_tcp_port, until, within
from serving import Process, free_port, port_bound

from pushcast.errors import Conflict, EngineError, InvalidRequest, MediaError, NotFound
from pushcast.file_url import below
from pushcast.ingest import network, pull, reader
from pushcast.ingest.demux import CLOCK_HZ, Clip, ClipFrame
from pushcast.ingest.network import Live, check_url, open_input, shown_url, source_type
from pushcast.ingest.playback import Playback
from pushcast.ingest.pull import PullError, Pulls, PullSettings
from pushcast.ingest.reader import Reader
from pushcast.media import Codec, Container, FeedKey, Track
from pushcast.source import Clock
from pushcast.stream import Registry, Stream

SECONDS = 8  # libavformat may look at 5 s before it says what is in them
SECRET = "hunter2"


@pytest.fixture(scope="session")
def media(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one programme as MPEG-TS, FLV and HLS, and one of two seconds."""
    folder = tmp_path_factory.mktemp("media")

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


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    monkeypatch.setattr(logging.getLogger("pushcast"), "propagate", True)
    caplog.set_level(logging.INFO)
    return caplog


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


@pytest.fixture
def web(media: Path) -> Iterator[str]:
    with serving_folder(media) as port:
        yield f"http://127.0.0.1:{port}"


def frames_of(path: Path) -> list[ClipFrame]:
    clip = Clip(path)
    frames = list(clip.frames())
    clip.close()
    return frames


BELOW = Path("/srv/clips")
GOOD_URLS = [
    "rtmp://10.0.0.7/app/key",
    "rtsp://user:pass@cam.example:8554/axis?x=1",
    "RTSP://cam/1",
    "srt://10.0.0.7:9000?mode=caller&passphrase=0123456789",
    "udp://@239.1.2.3:1234?localaddr=10.0.0.8&sources=10.0.0.1",
    "udp://@:1234",
    "tcp://[::1]:1234",
    "http://h/live.flv?token=a",
    "https://h:8443/x/list.m3u8",
    "file:///srv/clips/a.ts?loop=1",
    "file:///srv/clips/deep/../b.ts",
]
BAD_URLS = [
    ("ftp://h/x", r'its scheme is "ftp", allowed: file, http, https, rtmp, rtsp, srt, tcp, udp'),
    ("x.ts", 'its scheme is "x.ts"'),
    ("", 'its scheme is ""'),
    ("concat:a|b", 'its scheme is "concat"'),
    ("http:///x", "it names no host"),
    ("rtmp:app/x", "it names no host"),
    ("tcp://h", "it names no port"),
    ("udp://239.1.2.3", "it names no port"),
    ("tcp://h:77777", "it is not a URL"),
    ("http://[::1/x", "it is not a URL"),
    ("tcp://h:1?listen=1", r'it has the option "listen", allowed: none'),
    ("udp://h:1?fifo_size=99999999", r'it has the option "fifo_size", allowed: block, localaddr, reuse, sources'),
    ("http://h/a b", "printable ASCII"),
    ("http://h/a\r\nX-Evil: 1", "printable ASCII"),
    ("http://h/ä", "printable ASCII"),
    ("http://h/" + "a" * 2048, "printable ASCII"),
    ("file:///srv/other/a.ts", "only files below /srv/clips may be pulled"),
    ("file:///srv/clips/../a.ts", "only files below /srv/clips may be pulled"),
    ("file:///srv/clips2/a.ts", "only files below /srv/clips may be pulled"),
    ("file:///srv/clips/%2e%2e/a.ts", "only files below /srv/clips may be pulled"),
    ("file://host/srv/clips/a.ts", "it names a host"),
]


@pytest.mark.parametrize("url", GOOD_URLS)
def test_urls_that_may_be_pulled(url: str) -> None:
    check_url(url, BELOW)


@pytest.mark.parametrize(("url", "words"), BAD_URLS)
def test_urls_that_may_not(url: str, words: str) -> None:
    with pytest.raises(InvalidRequest, match=f"Url cannot be pulled: .*{words}"):
        check_url(url, BELOW)


def test_files_need_a_folder() -> None:
    with pytest.raises(InvalidRequest, match="files may not be pulled here"):
        check_url("file:///srv/clips/a.ts", None)


@pytest.mark.parametrize(
    ("url", "shown", "word"),
    [
        (f"rtmp://u:{SECRET}@h:1936/app/{SECRET}", "rtmp://h:1936/***", "RtmpPull"),
        (f"rtsp://u:{SECRET}@cam/user=a&password={SECRET}", "rtsp://cam/***", "RtspPull"),
        (f"https://h/live/u/{SECRET}/1.ts?sig={SECRET}#{SECRET}", "https://h/***", "HttpPull"),
        (f"srt://h:9000?passphrase={SECRET}", "srt://h:9000/***", "SRT"),
        ("udp://@239.1.2.3:1234", "udp://239.1.2.3:1234", "MPEGTS"),
        ("tcp://[::1]:1234", "tcp://[::1]:1234", "MPEGTS"),
        ("file:///srv/clips/a.ts?loop=1", "file:///srv/clips/a.ts?loop=1", "File"),
    ],
)
def test_what_is_shown_of_a_url(url: str, shown: str, word: str) -> None:
    assert (shown_url(url), source_type(url)) == (shown, word)
    assert SECRET not in repr(PullSettings((url,)))


def test_links_do_not_lead_out_of_the_folder(tmp_path: Path) -> None:
    folder, outside = tmp_path / "in", tmp_path / "out.ts"
    folder.mkdir()
    outside.write_bytes(b"x")
    (folder / "link.ts").symlink_to(outside)
    (folder / "deep").symlink_to(tmp_path)
    (tmp_path / "alias").symlink_to(folder)
    assert below(folder / "link.ts", folder) is None
    assert below(folder / "deep" / "out.ts", folder) is None
    assert below(folder / "a.ts", folder) == (folder / "a.ts").resolve()
    assert below(folder / "a.ts", tmp_path / "alias") == (folder / "a.ts").resolve()
    with pytest.raises(MediaError, match="does not lie below the folder whose files may be pulled"):
        open_input(f"file://{folder}/link.ts", folder, 1.0)


LIVE_SERVERS = [
    ("live.ts", "mpegts", "tcp://127.0.0.1:{port}", "tcp://127.0.0.1:{port}?listen=1", ()),
    ("live.ts", "mpegts", "http://127.0.0.1:{port}/live.ts", "http://127.0.0.1:{port}/live.ts", ("-listen", "1")),
    ("live.flv", "flv", "http://127.0.0.1:{port}/live.flv", "http://127.0.0.1:{port}/live.flv", ("-listen", "1")),
]


@pytest.mark.parametrize(("clip", "form", "url", "listen", "options"), LIVE_SERVERS)
async def test_a_live_server(
    media: Path, clip: str, form: str, url: str, listen: str, options: tuple[str, ...]
) -> None:
    port = free_port()
    with ffmpeg(media / clip, form, listen.format(port=port), *options) as server:
        async with bench() as made:
            await until(lambda: port_bound(port))
            await made.start(url.format(port=port), retry_count=0)
            stream = await made.next_stream()
            assert made.registry.get("east", "live", "cam") is stream
            assert stream.source_url == shown_url(url.format(port=port))
            video, audio = stream.tracks
            assert (video.codec, video.width, video.height) == (Codec.H264, 208, 112)
            assert (audio.codec, audio.sample_rate, audio.channels) == (Codec.AAC, 44100, 2)
            seen = stream.source.frame_count
            await until(lambda: stream.source.frame_count > seen + 60, 10)
            server.kill()
            assert await made.next_end() is stream, "no attempt is left after the first failure"
            await until(lambda: not made.pulls._tasks)
            with made.registry.reserve("east", "live", "cam"):
                pass


async def test_udp(media: Path) -> None:
    port = free_port(socket.SOCK_DGRAM)
    with ffmpeg(media / "live.ts", "mpegts", f"udp://127.0.0.1:{port}?pkt_size=1316") as server:
        async with bench() as made:
            await made.start(f"udp://127.0.0.1:{port}", no_input_s=0.7, retry_count=0)
            stream = await made.next_stream()
            assert [track.codec for track in stream.tracks] == [Codec.H264, Codec.AAC]
            server.kill()
            assert await made.next_end() is stream, "nobody says goodbye over UDP"


NGINX = """
load_module /usr/lib/nginx/modules/ngx_rtmp_module.so;
daemon off;
master_process off;
worker_processes 1;
error_log stderr;
pid {folder}/nginx.pid;
events {{ worker_connections 64; }}
rtmp {{ server {{ listen 127.0.0.1:{port}; application hub {{ live on; }} }} }}
"""


async def test_rtmp(media: Path, tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "nginx.conf").write_text(NGINX.format(folder=tmp_path, port=port))
    server = Process(["nginx", "-c", str(tmp_path / "nginx.conf"), "-p", str(tmp_path)], tmp_path / "nginx.log")
    try:
        await until(lambda: port_bound(port))
        url = f"rtmp://127.0.0.1:{port}/hub/{SECRET}"
        with ffmpeg(media / "live.flv", "flv", url):
            async with bench() as made:
                await made.start(url, retry_count=0)
                stream = await made.next_stream()
                assert (stream.source_type, stream.source_url) == ("RtmpPull", f"rtmp://127.0.0.1:{port}/***")
                assert [track.codec for track in stream.tracks] == [Codec.H264, Codec.AAC]
                seen = stream.source.frame_count
                await until(lambda: stream.source.frame_count > seen + 60, 10)
                server.stop()
                assert await made.next_end() is stream
    finally:
        server.stop()


class RtspServer:
    """RTSP over TCP (RFC 2326): a transport stream in RTP packets behind the answers, as fast as it is taken."""

    def __init__(self, clip: Path) -> None:
        self._packets = [clip.read_bytes()[start : start + 1316] for start in range(0, clip.stat().st_size, 1316)]
        self.asked: list[str] = []

    async def __aenter__(self) -> RtspServer:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *error: object) -> None:
        self._server.close()

    async def _serve(self, incoming: asyncio.StreamReader, outgoing: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                request = (await incoming.readuntil(b"\r\n\r\n")).decode(errors="replace")
                word, sequence = request.split()[0], re.search(r"CSeq: (\d+)", request)
                assert sequence is not None
                self.asked.append(word)
                sdp = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\nm=video 0 RTP/AVP 33\r\na=control:track\r\n"
                more, body = {
                    "OPTIONS": ("Public: DESCRIBE, SETUP, PLAY, TEARDOWN\r\n", ""),
                    "DESCRIBE": ("Content-Type: application/sdp\r\n", sdp),
                    "SETUP": ("Session: 7\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n", ""),
                }.get(word, ("Session: 7\r\n", ""))
                head = f"RTSP/1.0 200 OK\r\nCSeq: {sequence[1]}\r\n{more}Content-Length: {len(body)}\r\n\r\n"
                outgoing.write((head + body).encode())
                if word == "PLAY":
                    await self._play(outgoing)
                    outgoing.close()
                    return

    async def _play(self, outgoing: asyncio.StreamWriter) -> None:
        for number, packet in enumerate(self._packets):
            time = number * SECONDS * 90_000 // len(self._packets)
            rtp = struct.pack(">BBHII", 0x80, 33, number & 0xFFFF, time, 77) + packet
            outgoing.write(struct.pack(">cBH", b"$", 0, len(rtp)) + rtp)
            await outgoing.drain()


async def test_rtsp(media: Path) -> None:
    frames = frames_of(media / "live.ts")
    async with bench() as made, RtspServer(media / "live.ts") as server:
        await made.start(f"rtsp://u:{SECRET}@{server.address}/cam", retry_count=0)
        stream = await made.next_stream()
        assert (stream.source_type, stream.source_url) == ("RtspPull", f"rtsp://{server.address}/***")
        assert [track.codec for track in stream.tracks] == [Codec.H264, Codec.AAC]
        assert await made.next_end() is stream
        assert stream.source.frame_count > len(frames) - 10
        assert server.asked[:4] == ["OPTIONS", "DESCRIBE", "SETUP", "PLAY"]


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate for localhost that nobody trusts, and its key."""
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    names = ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*make.split(), *names], check=True, capture_output=True)
    return certificate, key


async def test_https_peers_must_be_trusted(
    media: Path, certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    with serving_folder(media, context) as port:
        async with bench() as made:
            with pytest.raises(PullError, match=r"https://localhost:\d+/\*\*\*: "):
                await made.start(f"https://localhost:{port}/short.ts")
            monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
            await made.start(f"https://localhost:{port}/short.ts")
            with pytest.raises(PullError, match=r"https://127\.0\.0\.1:\d+/\*\*\*: "):  # not its name
                await made.start(f"https://127.0.0.1:{port}/short.ts", name="other")


async def test_frames_are_handed_on_as_they_come(media: Path) -> None:
    """Eight seconds of media, sent in a moment, are there in a moment."""
    frames = frames_of(media / "live.ts")
    async with bench() as made, Server((media / "live.ts").read_bytes(), closes=True) as server:
        begun_s = asyncio.get_running_loop().time()
        await made.start(server.url, retry_count=0)
        stream = await made.next_end()
        assert asyncio.get_running_loop().time() - begun_s < SECONDS / 2
        assert stream.source.frame_count == len(frames)
        assert stream.source.byte_count == sum(len(frame.data) for frame in frames)


@pytest.mark.parametrize("path", ["short.ts", "list.m3u8"])
async def test_what_is_no_live_input_plays_in_its_own_time(media: Path, web: str, path: str) -> None:
    frames = frames_of(media / "short.ts")
    async with bench() as made:
        await made.start(f"{web}/{path}")
        begun_s = asyncio.get_running_loop().time()
        stream = await made.next_stream()
        assert await made.next_end() is stream
        assert asyncio.get_running_loop().time() - begun_s > 1.6
        assert abs(stream.source.frame_count - len(frames)) <= 2
        await until(lambda: not made.pulls._tasks, 2)


async def test_a_file_below_the_folder(media: Path) -> None:
    async with bench(media) as made:
        await made.start(f"file://{media}/short.ts?loop=1")
        stream = await made.next_stream()
        assert (stream.source_type, stream.source_url) == ("File", f"file://{media}/short.ts?loop=1")
        frames = len(frames_of(media / "short.ts"))
        await until(lambda: stream.source.frame_count > frames + 5, 10)
        assert await made.pulls.stop("east", "live", "cam")
        assert stream.ended.is_set()


async def test_it_comes_back_and_time_goes_on(media: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pull, "FIRST_RETRY_S", 0.02)
    async with bench() as made, Server((media / "live.ts").read_bytes(), closes=True) as server:
        await made.start(server.url, retry_count=4)
        reached = 0
        for visit in range(1, 4):
            stream = await made.next_stream()
            assert await made.next_end() is stream
            assert server.visits >= visit
            assert stream.source.last_dts > reached + (SECONDS - 1) * 90_000
            reached = stream.source.last_dts
            with pytest.raises(Conflict), made.registry.reserve("east", "live", "cam"):
                pytest.fail("the name is held in between")
        for _ in range(2):
            await made.next_end()
        await until(lambda: not made.pulls._tasks, 5)
        assert server.visits == 5, "more than four failures in a row"


async def test_the_next_url_takes_over(media: Path, lines: pytest.LogCaptureFixture) -> None:
    content = (media / "live.ts").read_bytes()
    dead = f"rtmp://u:{SECRET}@127.0.0.1:{refusing_tcp_port()}/app/{SECRET}"
    async with bench() as made, Server(content, closes=True) as first, Server(content, closes=False) as second:
        await made.start(dead, first.url, second.url, no_input_s=20.0)
        assert (await made.next_stream()).source_url == first.url
        await made.next_end()
        assert (await made.next_stream()).source_url == second.url
        assert (first.visits, second.visits) == (1, 1)
    assert f"pull east/live/cam: {first.url}: it ended" in lines.messages
    assert SECRET not in lines.text


async def test_a_server_that_falls_silent_is_left(media: Path, lines: pytest.LogCaptureFixture) -> None:
    async with bench() as made, Server((media / "live.ts").read_bytes(), closes=False) as server:
        await made.start(server.url, no_input_s=0.3, retry_count=0)
        await made.next_end()
        assert f"pull east/live/cam: {server.url}: nothing came for 0.3 s" in lines.messages
        await until(lambda: "pull east/live/cam: given up: failures in a row: 1" in lines.messages)


async def test_a_silent_server_holds_nobody_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "OPEN_DEADLINE_S", 0.3)
    async with bench() as made, Server(b"", closes=False) as server:
        for url in (server.url, server.url.replace("tcp", "http") + "/x", server.url.replace("tcp", "rtmp") + "/a/b"):
            with pytest.raises(PullError) as caught:
                await made.start(url)
            assert str(caught.value) == f"Could not pull the stream : {shown_url(url)}: no answer within 0.3 s"


async def test_slow_tracks_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pull, "CONNECT_DEADLINE_S", 0.2)
    monkeypatch.setattr(network, "OPEN_DEADLINE_S", 1.0)
    async with bench() as made, Server(b"", closes=False) as server:
        with pytest.raises(PullError, match=r"no tracks within 0\.2 s"):
            await made.start(server.url)


async def test_a_client_waits_no_longer_than_its_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pull, "START_DEADLINE_S", 0.2)
    monkeypatch.setattr(network, "OPEN_DEADLINE_S", 1.0)
    async with bench() as made, Server(b"", closes=False) as server:
        with pytest.raises(PullError, match=r"there is no stream after 0\.2 s"):
            await made.start(server.url)
        assert made.pulls._tasks == {}


async def test_every_url_is_told_when_none_works(media: Path, web: str) -> None:
    dead = refusing_tcp_port()
    urls = (
        f"rtmp://u:{SECRET}@127.0.0.1:{dead}/app/{SECRET}",
        f"{web}/absent/{SECRET}.ts?token={SECRET}",
        f"srt://127.0.0.1:{dead}?passphrase={SECRET}",
    )
    async with bench() as made:
        with pytest.raises(PullError) as caught:
            await made.start(*urls)
        reason = str(caught.value)
        assert reason.startswith(f"Could not pull the stream : rtmp://127.0.0.1:{dead}/***: ")
        assert f"; {web}/***: Server returned 404 Not Found; " in reason
        assert f"srt://127.0.0.1:{dead}/***: PyAV {av.__version__} was built without srt" in reason
        assert SECRET not in reason
        assert caught.value.status == 502
        with made.registry.reserve("east", "live", "cam"):
            pass


async def test_a_server_of_something_else(media: Path) -> None:
    async with bench() as made, Server(b"HTTP/1.1 200 OK\r\n\r\n" + b"hello " * 9000, closes=True) as server:
        with pytest.raises(PullError, match="Could not pull the stream : tcp://"):
            await made.start(server.url)


@pytest.mark.parametrize(("segment", "opens"), [("short.ts", True), ("file://{media}/short.ts", False)])
async def test_a_playlist_opens_no_file(media: Path, web: str, segment: str, opens: bool) -> None:
    lines = ("#EXTM3U", "#EXT-X-TARGETDURATION:2", "#EXTINF:2,", segment.format(media=media), "#EXT-X-ENDLIST", "")
    (media / "other.m3u8").write_text("\n".join(lines))
    async with bench() as made:
        refused = contextlib.nullcontext() if opens else pytest.raises(PullError)
        with refused:
            await made.start(f"{web}/other.m3u8")


async def test_names(media: Path) -> None:
    async with bench(media) as made:
        url = f"file://{media}/short.ts?loop=1"
        await made.start(url)
        with pytest.raises(Conflict, match=r"^Stream already exists$"):
            await made.start(url)
        with made.registry.reserve("east", "live", "taken"), pytest.raises(Conflict, match=r"^Stream already exists$"):
            await made.start(url, name="taken")
        with pytest.raises(NotFound, match=r"Could not find the application: \[east/x\]"):
            await made.pulls.start("east", "x", "cam", PullSettings((url,)))
        assert not await made.pulls.stop("east", "live", "other")


async def test_there_is_a_most(media: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pull, "MAX_PULLS", 2)
    async with bench(media) as made:
        url = f"file://{media}/short.ts?loop=1"
        await made.start(url, name="one")
        await made.start(url, name="two")
        with pytest.raises(PullError, match="2 streams are being pulled"):
            await made.start(url, name="three")


async def test_what_nobody_takes_ends(media: Path, lines: pytest.LogCaptureFixture) -> None:
    async with bench(media) as made:
        url = f"file://{media}/short.ts?loop=1"
        await made.start(url, name="kept", unused_s=0.1, persistent=True)
        kept = await made.next_stream()
        await made.start(url, name="taken", unused_s=0.1)
        taken = await made.next_stream()
        feed = taken.feed(FeedKey(Container.MPEGTS, tuple(track.id for track in taken.tracks)))
        await made.start(url, name="left", unused_s=0.1)
        left = await made.next_stream()
        assert await made.next_end() is left
        assert "pull east/live/left: ends: no push has taken it for 0.1 s" in lines.messages
        assert not kept.ended.is_set()
        assert not taken.ended.is_set()
        taken.release(feed)
        assert await made.next_end() is taken
        await until(lambda: list(made.pulls._tasks) == [("east", "live", "kept")])


async def test_a_persistent_pull_goes_on(media: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pull, "FIRST_RETRY_S", 0.01)
    monkeypatch.setattr(pull, "MAX_RETRY_S", 0.02)
    async with bench() as made, Server((media / "live.ts").read_bytes(), closes=True) as server:
        await made.start(server.url, retry_count=0, persistent=True)
        for _ in range(4):
            await made.next_end()
        assert list(made.pulls._tasks) == [("east", "live", "cam")]


async def test_the_stream_can_close_it(media: Path) -> None:
    async with bench(media) as made:
        await made.start(f"file://{media}/short.ts?loop=1")
        stream = await made.next_stream()
        assert stream.close is not None
        stream.close()
        stream.close()
        assert await made.next_end() is stream
        await until(lambda: not made.pulls._tasks)


async def test_ended_before_it_was_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "OPEN_DEADLINE_S", 0.5)
    async with bench() as made, Server(b"", closes=False) as server:
        starting = asyncio.create_task(made.start(server.url))
        await until(lambda: server.visits)
        assert await made.pulls.stop("east", "live", "cam")
        with pytest.raises(PullError, match="it was ended"):
            await within(starting)


async def test_who_stops_waiting_leaves_the_pull(media: Path) -> None:
    async with bench(media) as made:
        starting = asyncio.create_task(made.start(f"file://{media}/short.ts?loop=1"))
        await asyncio.sleep(0)  # one turn: the pull is there, and no thread has opened the file in it
        assert made.pulls._tasks
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        await made.next_stream()


class Endless:
    """An input that always has more."""

    tracks: tuple[Track, ...] = ()

    def __init__(self, limit: int = 1 << 30) -> None:
        self.left_out: list[str] = []
        self.reads = 0
        self.closed = threading.Event()
        self._limit = limit

    def read(self) -> list[ClipFrame]:
        if self.reads == self._limit:
            return []
        self.reads += 1
        return [ClipFrame(0, 9 * self.reads, 9 * self.reads, 9, 0, bytes(4096))]

    def close(self) -> None:
        self.closed.set()


@pytest.mark.parametrize(("name", "most"), [("MAX_WAITING_BYTES", 10 * 4096), ("MAX_WAITING_S", 9 * 9 / CLOCK_HZ)])
async def test_a_reader_waits_for_room(monkeypatch: pytest.MonkeyPatch, name: str, most: float) -> None:
    monkeypatch.setattr(reader, name, most)
    endless = Endless()
    reading = Reader(lambda: endless)
    assert await within(reading.opened) is endless
    await until(lambda: endless.reads == 11)  # ten wait, and one is in the thread's hands
    for number in range(1, 6):
        (frame,) = await reading.frames()
        assert frame.dts == 9 * number
    await until(lambda: endless.reads == 16)
    reading.close()
    await until(endless.closed.is_set)
    assert endless.reads == 16


async def test_an_endless_reader_leaves_turns_to_others() -> None:
    endless = Endless()
    reading = Reader(lambda: endless)
    others = 0

    async def count() -> None:
        nonlocal others
        while True:
            others += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    for _ in range(300):
        await reading.frames()
    counting.cancel()
    assert others >= 290
    reading.close()
    await until(endless.closed.is_set)


async def test_a_reader_hands_on_all_and_then_the_end() -> None:
    few = Endless(7)
    reading = Reader(lambda: few)
    got: list[ClipFrame] = []
    while batch := await reading.frames():
        got += batch
    assert [frame.dts for frame in got] == [9, 18, 27, 36, 45, 54, 63]
    assert await reading.frames() == []
    reading.close()


async def test_a_reader_that_breaks(lines: pytest.LogCaptureFixture) -> None:
    def broken() -> Endless:
        raise ZeroDivisionError(SECRET)

    reading = Reader(broken)
    with pytest.raises(EngineError, match="internal error: ZeroDivisionError"):
        await within(reading.opened)
    with pytest.raises(EngineError, match="internal error: ZeroDivisionError"):
        await within(reading.frames())
    assert "in broken" in lines.text
    assert SECRET not in lines.text


def test_live_and_whole_inputs(media: Path) -> None:
    whole = open_input(f"file://{media}/short.ts", media, 1.0)
    assert isinstance(whole, Playback)
    assert network.patience_s(whole, 2.5) == network.SEGMENT_S
    assert network.patience_s(whole, 77.0) == 77.0
    whole.close()
    live = Live(Clip(media / "short.ts"))
    assert network.patience_s(live, 2.5) == 2.5
    assert len(live.read()) == 1
    live.close()
