"""Frames of each codec that a transport stream carries, as an elementary stream has them."""

from __future__ import annotations

from dataclasses import dataclass

from build_ts import crc32
from read_ts import AUDIO, HEVC, VIDEO, lengths

from pushcast import aac
from pushcast.media import Codec, Track
from pushcast.opus import opus_head


def mp3_frame(number: int, *, layer3: bool = True) -> bytes:
    """MPEG-1, 128 kbit/s (layer II: 192), 48 kHz, stereo; ISO/IEC 11172-3 2.4.1.3."""
    head, size = (b"\xff\xfb\x94\x00", 384) if layer3 else (b"\xff\xfd\xa4\x00", 576)
    return head + bytes([number % 251]) * (size - 4)


def ac3_frame(number: int) -> bytes:
    """448 kbit/s, 48 kHz, 3/2 with LFE; TS 102 366 4.3."""
    return b"\x0b\x77\x00\x00\x1e\x40\xe1" + bytes([number % 251]) * (1792 - 7)


def eac3_frame(number: int, *, dependent: bool = False, size: int = 768) -> bytes:
    """48 kHz, six blocks, 3/2 with LFE; TS 102 366 E.1.2."""
    head = (0x40 if dependent else 0) | (size // 2 - 1) >> 8
    return b"\x0b\x77" + bytes((head, size // 2 - 1 & 255, 0x3F, 0x80)) + bytes([number % 251]) * (size - 6)


def opus_packet(number: int) -> bytes:
    """One frame of 20 ms: configuration 31 of RFC 6716 3.1."""
    return b"\xf8" + bytes([number % 251]) * (200 + number % 200)


def splice_insert(number: int, pts: int) -> bytes:
    """splice_insert at a time: SCTE 35 9.7.3."""
    command = number.to_bytes(4) + b"\x7f\xcf" + (0xFE00000000 | pts % (1 << 33)).to_bytes(5) + b"\x00\x01\x00\x00"
    body = b"\x00\x00\x00\x00\x00\x00\x00" + (0xFFF000 | len(command)).to_bytes(3) + b"\x05" + command + b"\x00\x00"
    body = body[:8] + body[8:]
    head = b"\xfc" + (0x3000 | len(body) + 4).to_bytes(2)
    return head + body + crc32(head + body).to_bytes(4)


ID3_CONFIG = bytes.fromhex("15260dffff49443320ff49443320000f")
KLV_CONFIG = b"\x06\x05\x04KLVA"
SPLICE_CONFIG = b"\x86\x05\x04CUEI"
PRIVATE_CONFIG = b"\x06\x59\x08deu\x10\x00\x01\x00\x01"


@dataclass(frozen=True)
class Kind:
    """A track of one codec and what its frames are; ``ticks`` apart at 90 kHz."""

    track: Track
    ticks: int
    frames: tuple[bytes, ...]


def _pictures(idr: bytes, other: bytes) -> tuple[bytes, ...]:
    return tuple(lengths(idr if number % 5 == 0 else other) for number in range(20))


KINDS = {
    "H.264": Kind(VIDEO, 3600, _pictures(b"\x65\x88" + bytes(range(1, 250)), b"\x41\x9a" + bytes(range(1, 99)))),
    "HEVC": Kind(HEVC, 3003, _pictures(b"\x26\x01\xaf" + bytes(range(1, 250)), b"\x02\x01\xd0" + bytes(range(1, 99)))),
    "AAC": Kind(AUDIO, 2090, tuple(bytes([number]) * (100 + number) for number in range(1, 20))),
    "HE-AAC": Kind(
        Track(9, Codec.AAC, config=aac.build_asc(2, 24000, 2)), 3840, tuple(bytes([each]) * 90 for each in range(1, 20))
    ),
    "MP3": Kind(Track(9, Codec.MP3, sample_rate=48000, channels=2), 2160, tuple(map(mp3_frame, range(20)))),
    "MP2": Kind(
        Track(9, Codec.MP2, sample_rate=48000, channels=2),
        2160,
        tuple(mp3_frame(number, layer3=False) for number in range(20)),
    ),
    "AC-3": Kind(Track(9, Codec.AC3, sample_rate=48000, channels=6), 2880, tuple(map(ac3_frame, range(20)))),
    "E-AC-3": Kind(Track(9, Codec.EAC3, sample_rate=48000, channels=6), 2880, tuple(map(eac3_frame, range(20)))),
    "E-AC-3 7.1": Kind(
        Track(9, Codec.EAC3, sample_rate=48000, channels=6),
        2880,
        tuple(eac3_frame(each) + eac3_frame(each, dependent=True, size=400) for each in range(20)),
    ),
    "Opus": Kind(
        Track(9, Codec.OPUS, config=opus_head(2), sample_rate=48000, channels=2),
        1800,
        tuple(map(opus_packet, range(20))),
    ),
    "Opus 5.1": Kind(
        Track(9, Codec.OPUS, config=opus_head(6), sample_rate=48000, channels=6),
        1800,
        tuple(map(opus_packet, range(20))),
    ),
    "ID3": Kind(Track(9, Codec.ID3, config=ID3_CONFIG), 9000, tuple(b"ID3" + bytes([each]) * 60 for each in range(9))),
    "KLV": Kind(
        Track(9, Codec.KLV, config=KLV_CONFIG), 9000, tuple(b"\x06\x0e" + bytes([each]) * 60 for each in range(9))
    ),
    "subtitles": Kind(
        Track(9, Codec.PRIVATE, config=PRIVATE_CONFIG),
        9000,
        tuple(b"\x20\x00" + bytes([each]) * 300 for each in range(9)),
    ),
}
