"""The rivals that Debian ships, driven as their manuals say: nginx-rtmp, ffmpeg in two ways, GStreamer."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.peers.clips import GST_SECONDS, ffmpeg_clip, gst_clip
from bench.peers.participant import START_LIMIT_S, Job, Participant, Running, ended, lines, processes, wait_until

FORMATS = {"rtmp": "flv", "udp": "mpegts", "srt": "mpegts"}
# ffmpeg opens one output after the other; an RTMP handshake takes it 0.14 s (Nagle against delayed acknowledgements).
TEE_RTMP_START_S = 0.2
NGINX = """
load_module {module};
daemon off;
worker_processes 1;
worker_rlimit_nofile 16384;
error_log {folder}/nginx-errors.log error;
pid {folder}/nginx.pid;
events {{ worker_connections 8192; }}
rtmp {{ server {{
    listen 127.0.0.1:{port};
    chunk_size 65536;
    application live {{
        live on;
        {pushes}
    }}
}} }}
"""
NGINX_MODULE = Path("/usr/lib/nginx/modules/ngx_rtmp_module.so")


def versions() -> dict[str, str]:
    """What the rivals call themselves."""
    commands = {
        "nginx": ["nginx", "-v"],
        "libnginx-mod-rtmp": ["dpkg-query", "-W", "-f", "${Version}", "libnginx-mod-rtmp"],
        "ffmpeg": ["ffmpeg", "-version"],
        "gstreamer": ["gst-launch-1.0", "--version"],
    }
    found = {}
    for name, command in commands.items():
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        found[name] = (done.stdout or done.stderr).partition("\n")[0]
    return found


def ffmpeg_reading() -> list[str]:
    """ffmpeg that plays the clip in real time for ever, packets as they are, and says only what is wrong."""
    return [
        *("ffmpeg", "-v", "error", "-nostdin", "-re", "-stream_loop", "-1"),
        *("-i", str(ffmpeg_clip()), "-map", "0", "-c", "copy"),
    ]


@contextmanager
def publisher(url: str, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The one that feeds every server of this comparison."""
    with processes([[*ffmpeg_reading(), "-f", "flv", url]], folder, "publisher") as [child]:
        yield child


class NginxRtmp(Participant):
    """`push` lines of one application; it connects when somebody publishes there.

    Chunks of 64 KiB cost it a tenth less than its default of 4 KiB, with which it makes a send for each.
    """

    name = "nginx-rtmp"
    protocols = ("rtmp",)

    @contextmanager
    def running(self, job: Job) -> Iterator[Running]:
        port = free_port()
        config = job.folder / "nginx.conf"
        pushes = "\n        ".join(
            f"push rtmp://127.0.0.1:{job.port(index)}/bench/stream-{index};" for index in range(job.count)
        )
        config.write_text(NGINX.format(module=NGINX_MODULE, folder=job.folder, port=port, pushes=pushes))
        command = ["nginx", "-e", "stderr", "-c", str(config), "-p", str(job.folder)]
        with processes([command], job.folder, "nginx") as nginx:
            wait_until("nginx listens", lambda: ended(nginx) or listens(port))
            request_ns = time.monotonic_ns()
            with publisher(f"rtmp://127.0.0.1:{port}/live/clip", job.folder) as feeding:
                yield Running(
                    roots=[nginx[0].pid],
                    start_from="launch of the publisher",
                    request_ns=request_ns,
                    publishers=[feeding.pid],
                    complaints=lambda: [
                        *ended([*nginx, feeding]),
                        *lines(job.folder / "nginx-errors.log"),
                        *lines(job.folder / "publisher.log"),
                    ],
                )


class _Ffmpeg(Participant):
    protocols = ("rtmp", "udp", "srt")
    muxer = "ffmpeg"

    @contextmanager
    def running(self, job: Job) -> Iterator[Running]:
        request_ns = time.monotonic_ns()
        with processes(self.commands(job), job.folder, self.name) as children:
            yield Running(
                roots=[child.pid for child in children],
                start_from="launch of the process",
                request_ns=request_ns,
                complaints=lambda: [*ended(children), *lines(job.folder / f"{self.name}.log")],
            )

    def commands(self, job: Job) -> list[list[str]]:
        raise NotImplementedError


class FfmpegTee(_Ffmpeg):
    """One process, the tee muxer with one output for each destination."""

    name = "ffmpeg-tee"

    def start_limit_s(self, protocol: str, count: int) -> float:
        return START_LIMIT_S + (TEE_RTMP_START_S * count if protocol == "rtmp" else 0.02 * count)

    def commands(self, job: Job) -> list[list[str]]:
        outputs = "|".join(f"[f={FORMATS[job.protocol]}]{_ffmpeg_url(job, index)}" for index in range(job.count))
        return [[*ffmpeg_reading(), "-f", "tee", outputs]]


class FfmpegEach(_Ffmpeg):
    """One process for each destination."""

    name = "ffmpeg-n"

    def start_limit_s(self, protocol: str, count: int) -> float:
        return START_LIMIT_S + 0.05 * count

    def commands(self, job: Job) -> list[list[str]]:
        return [[*ffmpeg_reading(), "-f", FORMATS[job.protocol], _ffmpeg_url(job, index)] for index in range(job.count)]


def _ffmpeg_url(job: Job, index: int) -> str:
    at = f"127.0.0.1:{job.port(index)}"
    return {
        "rtmp": f"rtmp://{at}/bench/stream-{index}",
        "udp": f"udp://{at}?pkt_size=1316",
        "srt": f"srt://{at}?mode=caller&latency=120000",
    }[job.protocol]


class GStreamer(Participant):
    """One muxer and multiudpsink, which sends to all clients from one socket."""

    name = "gstreamer"
    protocols = ("udp",)
    muxer = "gstreamer"

    @contextmanager
    def running(self, job: Job) -> Iterator[Running]:
        if job.lasts_s > GST_SECONDS:
            raise ValueError(f"GStreamer plays {GST_SECONDS} s of the clip, and this run may last {job.lasts_s:.0f} s")
        clients = ",".join(f"127.0.0.1:{job.port(index)}" for index in range(job.count))
        request_ns = time.monotonic_ns()
        command = gst_command("multiudpsink", "sync=true", f"clients={clients}")
        with processes([command], job.folder, self.name) as children:
            yield Running(
                roots=[child.pid for child in children],
                start_from="launch of the process",
                request_ns=request_ns,
                complaints=lambda: [*ended(children), *lines(job.folder / f"{self.name}.log")],
            )


def gst_command(*sink: str) -> list[str]:
    """gst-launch that muxes the clip into datagrams of seven packets for an element at the end."""
    return [
        *("gst-launch-1.0", "-q", "filesrc", f"location={gst_clip()}", "!", "qtdemux", "name=d"),
        *("mpegtsmux", "name=m", "alignment=7", "!", *sink),
        *("d.video_0", "!", "queue", "!", "h264parse", "config-interval=-1", "!", "m."),
        *("d.audio_0", "!", "queue", "!", "aacparse", "!", "m."),
    ]


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def listens(port: int) -> bool:
    """True when somebody listens on this TCP port of the loopback device; asked of the kernel, not by connecting."""
    rows = (line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:])
    return any(int(row[1].rpartition(":")[2], 16) == port and row[3] == "0A" for row in rows)
