"""Real encoders publish over SRT, UDP, RTP, TCP and RTMP; what a push sends of it is every packet, times to the tick.

All of them publish at once, each its own stream, and each stream has a push to a recorder.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from serving import Process, free_port, make_clip, port_bound, serving, until

from interop.packets import check_same_media, packet_facts
from interop.test_mpegts import record_tcp

CLIP_S = 4
Command = Callable[[Path, str, int], list[str]]  # the clip, the stream, the port


def ffmpeg(url: str, *options: str) -> Command:
    def command(clip: Path, stream: str, port: int) -> list[str]:
        play = ["ffmpeg", "-v", "warning", "-re", "-i", str(clip), "-map", "0", "-c", "copy"]
        return [*play, *(options or ("-f", "mpegts")), url.format(stream=stream, port=port)]

    return command


def srt_live_transmit(clip: Path, stream: str, port: int) -> list[str]:
    """ffmpeg plays it out in real time; srt-live-transmit calls, and does not leave when its input ends."""
    play = " ".join(ffmpeg("-")(clip, stream, port))
    target = f"srt://127.0.0.1:{port}?streamid=#!::r=app/{stream},m=publish"
    return [
        "sh",
        "-c",
        f"{play} | timeout -s INT {CLIP_S + 3} srt-live-transmit -q -a:no -chunk:1316 file://con '{target}' || true",
    ]


def gstreamer(sink: str) -> Command:
    """It reads the packets as they are, and its sink keeps the time."""

    def command(clip: Path, stream: str, port: int) -> list[str]:
        pipeline = f"filesrc location={clip} ! tsparse set-timestamps=true alignment=7 ! " + sink
        return ["gst-launch-1.0", "-q", *pipeline.format(stream=stream, port=port).split()]

    return command


def gstreamer_rtmp(clip: Path, stream: str, port: int) -> list[str]:
    pipeline = (
        f"filesrc location={clip.with_suffix('.flv')} ! flvdemux name=d flvmux name=m streamable=true ! "
        f"rtmp2sink sync=true location=rtmp://127.0.0.1:{port}/app/{stream} "
        "d.video ! queue ! h264parse ! m.video d.audio ! queue ! aacparse ! m.audio"
    )
    return ["gst-launch-1.0", "-q", *pipeline.split()]


# By name: how it comes in, and the command.
ENCODERS: dict[str, tuple[str, Command]] = {
    "ffmpeg srt": ("srt", ffmpeg("srt://127.0.0.1:{port}?streamid=app/{stream}&linger=2")),
    "ffmpeg srt, access control": (
        "srt",
        ffmpeg("srt://127.0.0.1:{port}?streamid=%23!::r%3Dapp/{stream},m%3Dpublish&linger=2"),
    ),
    "srt-live-transmit": ("srt", srt_live_transmit),
    "GStreamer srtsink": ("srt", gstreamer("srtsink sync=true uri=srt://127.0.0.1:{port}?streamid=app/{stream}")),
    "ffmpeg udp": ("udp", ffmpeg("udp://127.0.0.1:{port}?pkt_size=1316")),
    "GStreamer udpsink": ("udp", gstreamer("udpsink sync=true host=127.0.0.1 port={port}")),
    "ffmpeg rtp": ("rtp", ffmpeg("rtp://127.0.0.1:{port}", "-f", "rtp_mpegts")),
    "ffmpeg tcp": ("tcp", ffmpeg("tcp://127.0.0.1:{port}")),
    "ffmpeg rtmp": ("rtmp", ffmpeg("rtmp://127.0.0.1:{port}/app/{stream}", "-f", "flv")),
    "GStreamer rtmp2sink": ("rtmp", gstreamer_rtmp),
}


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with clip.ts, and what the push of each encoder's stream sent, by the encoder's name."""
    folder = tmp_path_factory.mktemp("published")
    flv = make_clip(folder / "clip.flv", CLIP_S)
    subprocess.run(["ffmpeg", "-v", "error", "-i", str(flv), "-c", "copy", str(folder / "clip.ts")], check=True)
    streams = {name: f"s{number}" for number, name in enumerate(ENCODERS)}
    ports = {name: free_port() for name, (way, _) in ENCODERS.items() if way in ("udp", "rtp", "tcp")}
    sources = "".join(
        f'[[mpegts]]\nname = "{streams[name]}"\nlisten = "{ENCODERS[name][0]}://127.0.0.1:{port}"\n'
        for name, port in ports.items()
    )
    with ExitStack() as running, serving(folder, sources=sources) as served:
        recorders = {}
        for name, stream in streams.items():
            port = free_port()
            recorders[name] = record_tcp(port, folder / f"{name}.ts", folder / f"{name}.log")
            running.callback(recorders[name].stop)
            until("the recorder listens", lambda port=port: port_bound(port))
            served.start(name, "mpegts", f"tcp://127.0.0.1:{port}", stream=stream)
        own = {"srt": served.srt_port, "rtmp": served.rtmp_port}
        encoders = {}
        for name, (way, command) in ENCODERS.items():
            at = own.get(way) or ports[name]
            encoders[name] = Process(command(folder / "clip.ts", streams[name], at), folder / f"{name} encoder.log")
            running.callback(encoders[name].stop)
        for name, encoder in encoders.items():
            assert encoder.wait() == 0, f"{name}: {encoder.log.read_text()}"
            served.until_state(name, "ready")
            assert recorders[name].wait() == 0
    return folder


WHOLE = ["ffmpeg srt", "ffmpeg srt, access control", "ffmpeg udp", "ffmpeg tcp"]
# These end without what does not fill a datagram, or with their last sounds still in their muxer.
CUT = ["srt-live-transmit", "GStreamer srtsink", "GStreamer udpsink", "ffmpeg rtp", "GStreamer rtmp2sink"]


@pytest.mark.parametrize("name", WHOLE)
def test_a_transport_stream_goes_out_as_it_came(name: str, played: Path) -> None:
    check_same_media(played / f"{name}.ts", played / "clip.ts", from_start=True, tolerance_ms=0.02)
    assert len(packet_facts(played / f"{name}.ts")["video"]) == 25 * CLIP_S


@pytest.mark.parametrize("name", CUT)
def test_what_an_encoder_sends_comes_whole(name: str, played: Path) -> None:
    got, sent = packet_facts(played / f"{name}.ts"), packet_facts(played / "clip.ts")
    for kind, per_s in (("video", 25), ("audio", 48000 / 1024)):
        digests = [fact.digest for fact in got[kind]]
        whole = digests[:-1]  # the last one may have been cut
        assert whole == [fact.digest for fact in sent[kind]][: len(whole)]
        assert len(digests) > len(sent[kind]) - 0.4 * per_s


def test_rtmp_goes_out_as_it_came(played: Path) -> None:
    check_same_media(played / "ffmpeg rtmp.ts", played / "clip.ts", from_start=True)
