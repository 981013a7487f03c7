"""MPEG-TS with real receivers: ffmpeg (UDP, TCP, SRT), GStreamer (RTP) and srt-live-transmit record, and the bytes are
judged.
"""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable
from functools import partial
from pathlib import Path

import av
from serving import Process, ffmpeg_publish, free_port, port_bound, serving, until

from interop.packets import decoded_hashes, packet_facts
from pushcast.verify import TsChecker


def ffmpeg_raw(url: str, recording: Path, log: Path) -> Process:
    """ffmpeg reads the URL and writes its bytes untouched."""
    return Process(
        [
            "ffmpeg",
            "-v",
            "warning",
            "-y",
            "-f",
            "data",
            "-i",
            url,
            "-map",
            "0",
            "-c",
            "copy",
            "-flush_packets",
            "1",
            "-f",
            "data",
            str(recording),
        ],
        log,
    )


def record_udp(port: int, recording: Path, log: Path) -> Process:
    return ffmpeg_raw(f"udp://127.0.0.1:{port}?buffer_size=4000000&fifo_size=200000&overrun_nonfatal=1", recording, log)


def record_tcp(port: int, recording: Path, log: Path) -> Process:
    return ffmpeg_raw(f"tcp://127.0.0.1:{port}?listen=1", recording, log)


def record_srt(port: int, recording: Path, log: Path) -> Process:
    return ffmpeg_raw(f"srt://127.0.0.1:{port}?mode=listener", recording, log)


def record_srt_live_transmit(port: int, recording: Path, log: Path) -> Process:
    return Process(
        [
            "sh",
            "-c",
            f"exec srt-live-transmit -q -a:no 'srt://127.0.0.1:{port}?mode=listener' file://con > {recording}",
        ],
        log,
    )


def record_rtp(port: int, recording: Path, log: Path) -> Process:
    caps = "application/x-rtp,media=video,clock-rate=90000,encoding-name=MP2T"
    command = f"udpsrc port={port} buffer-size=4000000 caps={caps} ! rtpmp2tdepay ! filesink buffer-mode=2"
    return Process(["gst-launch-1.0", "-q", *command.split(), f"location={recording}"], log)


CONSTANT = {"muxrateBitsPerSecond": 3_000_000, "serviceName": "constant", "videoPid": 0x200, "audioPid": 0x210}
RECEIVERS: list[tuple[str, Callable[[int, Path, Path], Process], str, str]] = [
    ("udp", record_udp, "mpegts", "udp://127.0.0.1:{port}"),
    ("rtp", record_rtp, "mpegts", "rtp://127.0.0.1:{port}"),
    ("constant", record_udp, "mpegts", "udp://127.0.0.1:{port}"),
    ("tcp", record_tcp, "mpegts", "tcp://127.0.0.1:{port}"),
    ("srt", record_srt, "srt", "srt://127.0.0.1:{port}?mode=caller&latency=120000&timeout=2000000"),
    ("srt-live-transmit", record_srt_live_transmit, "srt", "srt://127.0.0.1:{port}?latency=200ms"),
]


def test_every_receiver_gets_flawless_ts(tmp_path: Path, clip: Path) -> None:
    """One publication, all receivers at once."""
    recorders: list[Process] = []
    recordings: dict[str, Path] = {}
    try:
        with serving(tmp_path) as served:
            for name, record, protocol, url in RECEIVERS:
                port = free_port(socket.SOCK_DGRAM if name != "tcp" else socket.SOCK_STREAM)
                recordings[name] = tmp_path / f"{name}.ts"
                recorders.append(record(port, recordings[name], tmp_path / f"{name}.log"))
                until(f"{name} listens", partial(port_bound, port))
                body = {"id": name, "stream": {"name": "live"}, "protocol": protocol, "url": url.format(port=port)}
                if name == "constant":
                    body["mpegtsOptions"] = CONSTANT
                status, answer = served.call("POST", f"{served.app}:startPush", body)
                assert (status, answer["response"]["state"]) == (200, "ready")
            encoder = ffmpeg_publish(clip, f"rtmp://127.0.0.1:{served.rtmp_port}/app/live", tmp_path / "encoder.log")
            for name in recordings:
                served.until_state(name, "pushing")
            assert encoder.wait() == 0, encoder.log.read_text()
            encoder.stop()
            for name in recordings:
                served.until_state(name, "ready")
            sent = {push["id"]: push["totalsentBytes"] for push in served.pushes()}
            for name, recording in recordings.items():
                until(f"{name} has all {sent[name]} bytes", partial(has_size, recording, sent[name]), 10)
        for name, recording in recordings.items():
            judge(name, recording, clip)
    finally:
        for recorder in recorders:
            recorder.stop(signal.SIGKILL)


def has_size(path: Path, size: int) -> bool:
    return path.exists() and path.stat().st_size == size


def judge(name: str, recording: Path, clip: Path) -> None:
    data = recording.read_bytes()
    checker = TsChecker()
    checker.feed(data)
    assert not any(checker.errors().values()), f"{name}: {checker.errors()}"
    stats = checker.stats()
    assert stats["max_pcr_interval_ms"] <= 40, f"{name}: {stats}"
    assert stats["max_pat_interval_ms"] <= 100, f"{name}: {stats}"
    assert stats["max_pmt_interval_ms"] <= 100, f"{name}: {stats}"
    check_access_units(recording)
    check_times(recording, clip)
    check_pictures(recording, clip)


def check_access_units(recording: Path) -> None:
    """Each access unit begins with one delimiter; each keyframe holds its parameter sets before the slice."""
    with av.open(str(recording)) as container:
        for packet in container.demux(video=0):
            if packet.size == 0:
                continue
            types = [unit[0] & 31 for unit in bytes(packet).replace(b"\0\0\0\1", b"\0\0\1").split(b"\0\0\1")[1:]]
            assert types[0] == 9
            assert types.count(9) == 1
            if 5 in types:
                assert types.index(7) < types.index(8) < types.index(5)
                assert types.count(7) == 1


def check_times(recording: Path, clip: Path) -> None:
    got, sent = packet_facts(recording), packet_facts(clip)
    distances = {
        round(90 * (one - other), 3)
        for kind in ("video", "audio")
        for a, b in zip(got[kind], sent[kind], strict=True)
        for one, other in ((a.dts_ms, b.dts_ms), (a.pts_ms, b.pts_ms))
    }
    assert len(distances) == 1, (
        f"PTS and DTS differ from the source's by more than one constant: {sorted(distances)[:5]}"
    )


def check_pictures(recording: Path, clip: Path) -> None:
    got, sent = decoded_hashes(recording), decoded_hashes(clip)
    assert got.keys() == sent.keys()
    for stream in sent:
        assert [digest for _, digest in got[stream]] == [digest for _, digest in sent[stream]]
