"""Small synthetic streams for tests: real configuration records, frames whose bytes tell their number."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pushcast.media import Codec, Track

SPS = bytes.fromhex("6742c01ed900a02ff97011000003000100000300320f162e48")  # baseline, 640x360, 25 fps
PPS = bytes.fromhex("68cb83cb20")
AVCC = (
    b"\x01" + SPS[1:4] + b"\xff\xe1" + len(SPS).to_bytes(2, "big") + SPS + b"\x01" + len(PPS).to_bytes(2, "big") + PPS
)
ASC = bytes.fromhex("1190")  # AAC-LC, 48 kHz, stereo

VIDEO = Track(0, Codec.H264, config=AVCC, width=640, height=360, frame_rate=25.0, bitrate=2_000_000)
AUDIO = Track(1, Codec.AAC, config=ASC, sample_rate=48000, channels=2, bitrate=128_000)

KEY = 1
CONFIG = 2
DISCONTINUITY = 4


@dataclass(frozen=True)
class TestFrame:
    """One frame at 90 kHz."""

    __test__ = False
    track: int
    dts: int
    pts: int
    flags: int
    data: bytes


def picture(number: int, size: int, key: bool) -> bytes:
    """A length-prefixed access unit of one slice whose payload holds no start code and tells its number."""
    header = b"\x65" if key else b"\x41"
    payload = (header + (b"\x80" + number.to_bytes(3, "big").replace(b"\x00", b"\x7f")) * (size // 4 + 1))[:size]
    return len(payload).to_bytes(4, "big") + payload


def av_frames(
    seconds: float, *, gop: int = 25, picture_bytes: int = 9000, start: int = 0, reorder: int = 0
) -> Iterator[TestFrame]:
    """25 fps video and 48 kHz AAC, interleaved by DTS, from ``start`` (90 kHz) on."""
    video, audio = 0, 0
    while min(video * 3600, audio * 1920) < seconds * 90000:
        if video * 3600 <= audio * 1920:
            key = video % gop == 0
            delay = 0 if not reorder else (reorder * 3600 if key or video % 3 == 0 else 3600)
            size = picture_bytes * (4 if key else 1)
            dts = start + video * 3600
            yield TestFrame(0, dts, dts + delay, KEY if key else 0, picture(video + 1, size, key))
            video += 1
        else:
            dts = start + audio * 1920
            yield TestFrame(1, dts, dts, KEY, b"\x21" + (audio + 1).to_bytes(3, "big") * 110)
            audio += 1
