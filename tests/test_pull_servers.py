"""Pulls from real servers: what their media becomes."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import ssl
import struct
import subprocess
from pathlib import Path

import pytest
from live import until
from pull_bench import SECONDS, SECRET, bench, ffmpeg, frames_of, serving_folder
from serving import Process, free_port, port_bound

from pushcast.ingest.pull import PullError
from pushcast.media import Codec
from pushcast.pull_url import shown_url

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
