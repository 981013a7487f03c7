"""Clients that start and stop the same ids at once: every answer was true, and nothing is there twice."""

from __future__ import annotations

import signal
from pathlib import Path

from hammer import hammer
from serving import Served, ffmpeg_publish, make_clip, serving

CLIENTS = 10


def consistent_after(seconds: float, folder: Path) -> None:
    """``seconds`` of it beside a live stream; then what is listed, and what a restart finds."""
    clip = make_clip(folder / "clip.mp4", 2, video="-c:v libx264 -preset ultrafast -s 160x90 -g 25")
    served = Served(folder)
    publisher = ffmpeg_publish(clip, f"rtmp://127.0.0.1:{served.rtmp_port}/app/live", folder / "ffmpeg.log", loop=True)
    try:
        served.until_stream()
        told = hammer(served, CLIENTS, seconds, ["udp://127.0.0.1:9", "tcp://127.0.0.1:9"])
        there = told.there()
        listed = [push["id"] for push in served.pushes()]
    finally:
        publisher.stop()
        served.process.stop(signal.SIGKILL)
    assert set(told.answers) == {
        *(("startPush", status) for status in (200, 409)),
        *(("stopPush", status) for status in (200, 404)),
        ("pushes", 200),
    }
    assert told.twice == []
    assert listed == there
    with serving(folder) as again:
        assert [push["id"] for push in again.pushes()] == there


def test_ten_clients_and_five_ids(tmp_path: Path) -> None:
    consistent_after(3, tmp_path)
