"""RTMP egress: URLs, refusals at every step, and real servers (nginx-rtmp, ffmpeg) that take and keep a stream."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import socket
import subprocess
import tracemalloc
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import av
import pytest
import pytest_asyncio
from live import until, watched
from rtmp_peer import SECRET, Script, Served, served

from pushcast.chunk import ChunkReader, write_message
from pushcast.egress import rtmp
from pushcast.egress.fanout import Attachment, FanOut, Pace
from pushcast.egress.rtmp import RtmpLink, RtmpProtocol, RtmpTarget
from pushcast.errors import (
    ConnectionLost,
    ConnectRefused,
    ConnectTimeout,
    EngineError,
    InvalidRequest,
    Rejected,
    RemoteProtocolError,
)
from pushcast.media import Codec, Container, FeedKey, Track
from pushcast.rtmp import client
from pushcast.rtmp.events import Connect, Event, Refuse, Start, Unpublish
from pushcast.rtmp.messages import Acknowledgement, UserControl, build
from pushcast.source import Clock, Source

PARSED = [
    # url, streamKey, host, port, app, key, tcUrl
    ("rtmp://h.example/live", "k", "h.example", 1935, "live", "k", "rtmp://h.example/live"),
    ("rtmp://h.example:1940/live/", "k", "h.example", 1940, "live", "k", "rtmp://h.example:1940/live"),
    ("rtmp://h/a/inst", "k?x=1&y=/z", "h", 1935, "a/inst", "k?x=1&y=/z", "rtmp://h/a/inst"),
    ("rtmp://h/a?auth=q&v=2", "k", "h", 1935, "a?auth=q&v=2", "k", "rtmp://h/a?auth=q&v=2"),
    ("rtmp://h/a/k3", "", "h", 1935, "a", "k3", "rtmp://h/a"),
    ("rtmp://h/a/b/k3?p=/q/", "", "h", 1935, "a/b", "k3?p=/q/", "rtmp://h/a/b"),
    ("rtmp://[2001:db8::7]:1936/a", "k", "2001:db8::7", 1936, "a", "k", "rtmp://[2001:db8::7]:1936/a"),
    ("rtmp://h", "k", "h", 1935, "", "k", "rtmp://h/"),
    ("rtmps://h.example/live2", "k", "h.example", 443, "live2", "k", "rtmps://h.example/live2"),
    ("rtmps://h.example:1936/live2/k4", "", "h.example", 1936, "live2", "k4", "rtmps://h.example:1936/live2"),
]
REFUSED = [
    ("rtmp://", "k", "Could not parse url"),
    ("rtmp:///app", "k", "Could not parse url"),
    ("rtmp://h:0/app", "k", "Could not parse url"),
    ("rtmp://h:70000/app", "k", "Could not parse url"),
    ("rtmp://h /app", "k", "Could not parse url"),
    ("nonsense", "k", "Could not parse url"),
    ("rtmp://h?x/app", "k", "Could not parse url"),
    ("rtmp://h/onlyapp", "", "Could not parse url"),
    ("rtmp://h", "", "Could not parse url"),
    ("rtmp://bob@h/app", "k", "Could not parse url: before the host stand user and password"),
    ("http://h/app", "k", "Unsupported protocol"),
    ("srt://h:9", "k", "Unsupported protocol"),
    ("rtmp://h/app", "k\n", "Could not parse streamKey"),
    ("rtmp://h/app", "k" * 5000, "Could not parse streamKey"),
]


@pytest.mark.parametrize(("url", "key", "host", "port", "app", "wanted", "tc_url"), PARSED)
def test_urls(url: str, key: str, host: str, port: int, app: str, wanted: str, tc_url: str) -> None:
    target = RtmpProtocol().parse(url, key)
    assert (target.host, target.port, target.app, target.key, target.tc_url) == (host, port, app, wanted, tc_url)


@pytest.mark.parametrize(("url", "key", "words"), REFUSED)
def test_refused_urls(url: str, key: str, words: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        RtmpProtocol().parse(url, key)
    assert str(caught.value).startswith(words)
    assert "pw9" not in str(caught.value)


def test_a_target_shows_no_secret() -> None:
    assert SECRET not in repr(RtmpProtocol().parse(f"rtmp://h/app?auth={SECRET}", SECRET))


async def connect(target: RtmpTarget) -> RtmpLink:
    return await RtmpProtocol().connect(target, 312_500)


async def failure(script: Script) -> EngineError:
    async with served(script) as target:
        with pytest.raises(EngineError) as caught:
            await connect(target)
        assert target.endpoint in str(caught.value)
        assert SECRET not in str(caught.value)
        return caught.value


async def test_nothing_listens() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        target = RtmpProtocol().parse(f"rtmp://127.0.0.1:{taken.getsockname()[1]}/app", SECRET)
        with pytest.raises(ConnectRefused, match=target.endpoint):
            await connect(target)


async def test_a_silent_server_times_out_at_the_handshake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rtmp, "STEP_TIMEOUT_S", 0.2)

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(-1)

    error = await failure(silent)
    assert isinstance(error, ConnectTimeout)
    assert "handshake: expected HandshakeDone within 0.2 s, got no answer" in str(error)


async def test_a_server_that_hangs_up_at_the_handshake() -> None:
    async def gone(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(1537)

    error = await failure(gone)
    assert isinstance(error, ConnectionLost)
    assert "handshake: expected HandshakeDone, got the end of the connection" in str(error)


async def test_another_protocol_is_named() -> None:
    async def web(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await reader.read(-1)

    error = await failure(web)
    assert isinstance(error, RemoteProtocolError)
    assert "handshake: expected version 3 from the server, got 72" in str(error)


async def test_garbage_after_the_handshake() -> None:
    async def garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\x03" + bytes(3072) + b"\xff" * 500)
        await reader.read(-1)

    error = await failure(garbage)
    assert isinstance(error, RemoteProtocolError)
    assert "expected fmt 0 in its first chunk, got fmt 3" in str(error)


async def test_refused_at_connect() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Served(reader, writer)
        await peer.event(Connect)
        writer.write(peer.connection.send(Refuse("NetConnection.Connect.Rejected", f"no {SECRET} here")))
        await reader.read(-1)

    error = await failure(refuse)
    assert isinstance(error, Rejected)
    assert "connect: expected NetConnection.Connect.Success, got NetConnection.Connect.Rejected" in str(error)


async def test_refused_at_publish() -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Served(reader, writer)
        await peer.until_publish()
        writer.write(peer.connection.send(Refuse("NetStream.Publish.BadName", f"{SECRET} is live")))
        await reader.read(-1)

    error = await failure(refuse)
    assert isinstance(error, Rejected)
    assert "publish: expected NetStream.Publish.Start, got NetStream.Publish.BadName: *** is live" in str(error)


async def test_the_second_address_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await Served(reader, writer).until_live()
        await reader.read(-1)

    async def two(
        host: str, port: int, *, type: socket.SocketKind
    ) -> list[tuple[socket.AddressFamily, tuple[str, int]]]:
        return [(socket.AF_INET, ("127.77.77.77", port)), (socket.AF_INET, ("127.0.0.1", port))]

    monkeypatch.setattr(rtmp, "resolve", two)
    async with served(accept) as target:
        link = await connect(target)
        await link.close()


async def test_a_cancelled_connect_leaves_no_socket() -> None:
    connected = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connected.set()
        await reader.read(-1)

    async with served(silent) as target:
        before = len(os.listdir("/proc/self/fd"))
        task = asyncio.create_task(connect(target))
        await connected.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: len(os.listdir("/proc/self/fd")) <= before)


class Live:
    """A served link with its watch running, and the server's end of it."""

    def __init__(self) -> None:
        self.peer: Served | None = None
        self.started = asyncio.Event()
        self.over = asyncio.Event()
        self.heard: list[Event] = []
        self.control: list[bytes] = []

    async def script(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.peer = Served(reader, writer)
        await self.peer.until_live()
        self.started.set()
        try:
            while data := await reader.read(65536):
                self.peer.connection.receive_data(data)
                while (event := self.peer.connection.next_event()) is not None:
                    self.heard.append(event)
        finally:
            self.over.set()

    def say(self, data: bytes) -> None:
        assert self.peer is not None
        self.peer.writer.write(data)

    def say_control(self, message: Acknowledgement | UserControl) -> None:
        type, payload = build(message)
        self.say(write_message(2, type, 0, 0, payload, 4096))


@contextlib.asynccontextmanager
async def live_link() -> AsyncIterator[tuple[Live, RtmpLink, asyncio.Future[None]]]:
    live = Live()
    async with served(live.script) as target:
        link = await connect(target)
        link.on_control = live.control.append
        watch = watched(link)
        await live.started.wait()
        try:
            yield live, link, watch
        finally:
            watch.cancel()
            await asyncio.wait({watch})
            await link.close()


async def test_pings_go_out_through_on_control_and_acknowledgements_count() -> None:
    async with live_link() as (live, link, _):
        live.say_control(UserControl(6, b"\x09\x08\x07\x06"))
        await until(lambda: live.control)
        (reply,) = ChunkReader().receive(b"".join(live.control))
        assert (reply.type, reply.payload) == (4, b"\0\7\x09\x08\x07\x06")
        live.say_control(Acknowledgement(4321))
        await until(lambda: link.acked_bytes == 4321)
        live.say_control(Acknowledgement(0xFFFFFF00))
        live.say_control(Acknowledgement(20))
        live.say_control(Acknowledgement(500_020))
        await until(lambda: link.stats()["acknowledged_bytes"] == 500_020)


async def test_a_server_that_closes_is_lost() -> None:
    async with live_link() as (live, _, watch):
        assert live.peer is not None
        live.peer.writer.close()
        with pytest.raises(ConnectionLost, match="the server closed the connection while we published"):
            await asyncio.wait_for(watch, 5)


async def test_a_late_refusal_is_told() -> None:
    async with live_link() as (live, _, watch):
        assert live.peer is not None
        live.say(live.peer.connection.send(Refuse("NetStream.Publish.Denied", "time is up")))
        with pytest.raises(Rejected, match=r"publishing: expected nothing, got NetStream\.Publish\.Denied: time is up"):
            await asyncio.wait_for(watch, 5)


async def test_garbage_while_publishing_is_told() -> None:
    async with live_link() as (live, _, watch):
        live.say(b"\xff" * 40)
        with pytest.raises(RemoteProtocolError, match=r"127\.0\.0\.1:\d+: RTMP chunk"):
            await asyncio.wait_for(watch, 5)


async def test_a_refusal_that_came_with_the_start_is_told() -> None:
    async def both(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Served(reader, writer)
        await peer.until_publish()
        start = peer.connection.send(Start())
        writer.write(start + peer.connection.send(Refuse("NetStream.Publish.Denied", "or not")))
        await reader.read(-1)

    async with served(both) as target:
        link = await connect(target)
        with pytest.raises(Rejected, match="or not"):
            await asyncio.wait_for(watched(link), 5)
        await link.close()


async def test_the_wanted_end_is_said_and_heard_before_the_close() -> None:
    async with live_link() as (live, link, watch):
        watch.cancel()
        await asyncio.wait({watch})
        final = link.final()
        assert link.transport.send(final) == len(final)
        await link.close()
        await asyncio.wait_for(live.over.wait(), 5)
        assert Unpublish() in live.heard
        assert link.final() == b""
        assert link.transport.closed
        await link.close()


async def test_a_link_is_small() -> None:
    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await Served(reader, writer).until_live()
        await reader.read(-1)

    async with served(accept) as target:
        sockets = [await connect(target) for _ in range(3)]
        tracemalloc.start(10)
        try:
            sockets += [await connect(target) for _ in range(20)]
            gc.collect()
            here = tracemalloc.Filter(True, "*/pushcast/rtmp/*", all_frames=True)
            there = tracemalloc.Filter(True, "*/pushcast/egress/rtmp.py", all_frames=True)
            snapshot = tracemalloc.take_snapshot().filter_traces([here, there])
            ours = [
                trace.size
                for trace in snapshot.traces
                if not any("test_" in frame.filename for frame in trace.traceback[:4])
            ]
        finally:
            tracemalloc.stop()
        for link in sockets:
            link.transport.close()
        assert sum(ours) / 20 < 8192


# ----------------------------------------------------------------------------------------------------- real servers


@dataclass(frozen=True)
class Clip:
    """Two seconds of real H.264 and AAC: tracks, and frames as (track, dts, pts, flags, data) in order of dts."""

    tracks: tuple[Track, ...]
    frames: tuple[tuple[int, int, int, int, bytes], ...]

    @property
    def first_picture(self) -> int:
        return next(index for index, frame in enumerate(self.frames) if frame[0] == 0)

    @property
    def counts(self) -> tuple[int, int]:
        """Video and audio frames from the first picture on: a push begins there."""
        tracks = [frame[0] for frame in self.frames[self.first_picture :]]
        return tracks.count(0), tracks.count(1)


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    command = (
        "ffmpeg -v error -f lavfi -i testsrc2=s=320x180:r=25 -f lavfi -i sine=r=48000 -t 2 -c:v libx264 -g 25 -bf 2"
    )
    subprocess.run([*command.split(), "-preset", "ultrafast", "-c:a", "aac", str(path)], check=True, timeout=30)
    frames = []
    with av.open(str(path)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        tracks = (
            Track(
                0,
                Codec.H264,
                config=bytes(video.codec_context.extradata or b""),
                width=320,
                height=180,
                frame_rate=25.0,
            ),
            Track(1, Codec.AAC, config=bytes(audio.codec_context.extradata or b""), sample_rate=48000, channels=1),
        )
        for packet in container.demux(video, audio):
            if packet.dts is None or packet.pts is None or packet.time_base is None:
                continue
            dts, pts = (int(time * packet.time_base * 90000) + 9000 for time in (packet.dts, packet.pts))
            frames.append((packet.stream_index, dts, pts, int(packet.is_keyframe), bytes(packet)))
    return Clip(tracks, tuple(sorted(frames, key=lambda frame: frame[1])))


@pytest_asyncio.fixture
async def fanout() -> AsyncIterator[FanOut]:
    made = FanOut(tcp=Pace(8, 8))
    yield made
    await made.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def connect_when_up(target: RtmpTarget) -> RtmpLink:
    async with asyncio.timeout(10):
        while True:
            try:
                return await connect(target)
            except ConnectRefused:
                await asyncio.sleep(0.02)


def has_sent(attachment: Attachment, watch: asyncio.Future[None], size: int) -> bool:
    return watch.done() or attachment.counters().sent_bytes > size


async def push_all(fanout: FanOut, link: RtmpLink, clip: Clip, heard: Callable[[], bool] = lambda: True) -> int:
    """Push every frame, wait until ``heard``, end as wanted, and say how many bytes went."""
    source = Source(Clock())
    source.set_tracks(clip.tracks)
    feed = source.feed(FeedKey(Container.RTMP, (0, 1)))
    attachment = fanout.attach(feed, link)
    link.on_control = attachment.control
    watch = watched(link)
    head, rest = clip.frames[: clip.first_picture + 1], clip.frames[clip.first_picture + 1 :]
    for part in (head, rest):  # it joins at the newest keyframe, which shall be the first
        before = attachment.counters().sent_bytes
        for frame in part:
            source.push(*frame)
        await until(partial(has_sent, attachment, watch, before + sum(len(frame[4]) for frame in part)))
    await until(heard)
    assert not watch.done(), watch.exception()
    watch.cancel()
    await asyncio.wait({watch})
    await attachment.release(link.final(), 2000)
    await link.close()
    return attachment.counters().sent_bytes


async def counted(path_or_url: str) -> tuple[int, int]:
    """Video and audio packets of a file."""
    probe = await asyncio.create_subprocess_exec(
        "ffmpeg",
        "-v",
        "error",
        "-i",
        path_or_url,
        "-map",
        "0",
        "-c",
        "copy",
        "-f",
        "framecrc",
        "-",
        stdout=-1,
        stderr=-1,
    )
    out, _ = await asyncio.wait_for(probe.communicate(), 20)
    lines = [line for line in out.decode().splitlines() if not line.startswith("#")]
    return sum(line.startswith("0,") for line in lines), sum(line.startswith("1,") for line in lines)


async def test_ffmpeg_takes_every_frame(fanout: FanOut, clip: Clip, tmp_path: Path) -> None:
    port, out = free_port(), tmp_path / "taken.flv"
    url = f"rtmp://127.0.0.1:{port}/app/{SECRET}"
    ffmpeg = await asyncio.create_subprocess_exec(
        "ffmpeg", "-v", "error", "-listen", "1", "-i", url, "-c", "copy", "-y", str(out), stderr=-1
    )
    try:
        link = await connect_when_up(RtmpProtocol().parse(f"rtmp://127.0.0.1:{port}/app", SECRET))
        await push_all(fanout, link, clip)
        _, errors = await asyncio.wait_for(ffmpeg.communicate(), 20)
    finally:
        if ffmpeg.returncode is None:
            ffmpeg.kill()
            await ffmpeg.wait()
    assert ffmpeg.returncode == 0, errors.decode()
    assert await counted(str(out)) == clip.counts


NGINX = """
load_module /usr/lib/nginx/modules/ngx_rtmp_module.so;
daemon off; master_process off; worker_processes 1; pid {dir}/pid; error_log {dir}/error.log info;
events {{ worker_connections 64; }}
rtmp {{ server {{ listen 127.0.0.1:{port}; chunk_size 4096; ack_window 100000; ping 1s; ping_timeout 5s;
  application keep {{ live on; record all; record_path {dir}; }}
  application closed {{ live on; deny publish all; }}
}} }}
"""


@pytest_asyncio.fixture
async def nginx(tmp_path: Path) -> AsyncIterator[tuple[int, Path]]:
    port = free_port()
    os.chmod(tmp_path, 0o777)
    (tmp_path / "nginx.conf").write_text(NGINX.format(dir=tmp_path, port=port))
    process = await asyncio.create_subprocess_exec(
        "/usr/sbin/nginx", "-e", str(tmp_path / "start.log"), "-c", str(tmp_path / "nginx.conf"), "-p", str(tmp_path)
    )
    try:
        yield port, tmp_path
    finally:
        process.send_signal(signal.SIGTERM)
        await asyncio.wait_for(process.wait(), 10)


def says(folder: Path, words: str) -> bool:
    return words in (folder / "error.log").read_text()


def recorded(folder: Path) -> Path:
    return next(folder.glob("cam*.flv"))


async def test_nginx_records_every_frame_and_acknowledges(
    fanout: FanOut, clip: Clip, nginx: tuple[int, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "WINDOW_BYTES", 20_000)
    port, folder = nginx
    link = await connect_when_up(RtmpProtocol().parse(f"rtmp://127.0.0.1:{port}/keep", "cam?token=9"))
    assert link.message_stream_id == 1
    sent = await push_all(fanout, link, clip, lambda: link.acked_bytes > 0)
    await until(lambda: says(folder, "deleteStream"))
    assert await counted(str(recorded(folder))) == clip.counts
    assert 0 < link.acked_bytes <= sent + 1000


async def test_nginx_refuses_a_name_in_use(nginx: tuple[int, Path]) -> None:
    port, _ = nginx
    target = RtmpProtocol().parse(f"rtmp://127.0.0.1:{port}/keep/{SECRET}", "")
    link = await connect_when_up(target)
    with pytest.raises(Rejected, match=r"publish: expected NetStream\.Publish\.Start, got NetStream\.Publish\.BadName"):
        await connect(target)
    await link.close()


async def test_nginx_denies(nginx: tuple[int, Path]) -> None:
    """It answers Publish.Start before it looks at its access rules, and hangs up at once."""
    port, _ = nginx
    link = await connect_when_up(RtmpProtocol().parse(f"rtmp://127.0.0.1:{port}/closed", SECRET))
    with pytest.raises(ConnectionLost, match="closed the connection while we published"):
        await asyncio.wait_for(watched(link), 5)
    await link.close()
    with pytest.raises(ConnectionLost, match="connect: expected Connected, got the end of the connection"):
        await connect_when_up(RtmpProtocol().parse(f"rtmp://127.0.0.1:{port}/nosuchapp", SECRET))
