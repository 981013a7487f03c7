"""Packets of a file as facts to compare, by kind: DTS, PTS, and a hash of what every container has to keep."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import av

from pushcast import nal
from pushcast.errors import MediaError
from pushcast.media import Codec

NAL_CODECS = {"h264": Codec.H264, "hevc": Codec.HEVC}
# Delimiters and parameter sets: these stand in the frames of one container and beside them in another.
AROUND = {Codec.H264: {7, 8, 9}, Codec.HEVC: {32, 33, 34, 35}}


def essence(codec: str, data: bytes) -> Iterable[bytes]:
    """What a packet holds, however its container wraps it."""
    if codec in NAL_CODECS:
        number = NAL_CODECS[codec]
        # A length may look like a start code, but start codes make no lengths that add up.
        try:
            units = nal.split_lengths(data)
        except MediaError:
            units = nal.split_annexb(data)
        return [unit for unit in units if nal.nal_unit_type(number, unit) not in AROUND[number]]
    if codec == "aac" and data[0] == 0xFF and data[1] & 0xF6 == 0xF0:
        return [data[7 if data[1] & 1 else 9 :]]
    return [data]


@dataclass(frozen=True)
class PacketFact:
    digest: str
    dts_ms: float
    pts_ms: float
    key: bool


def packet_facts(path: Path) -> dict[str, list[PacketFact]]:
    """{'video': [...], 'audio': [...]} in file order."""
    facts: dict[str, list[PacketFact]] = {"video": [], "audio": []}
    with av.open(str(path)) as container:
        for packet in container.demux():
            if packet.dts is None or packet.pts is None or packet.size == 0:
                continue
            scale = float(packet.time_base) * 1000
            units = essence(packet.stream.codec_context.name, bytes(packet))
            fact = PacketFact(
                hashlib.md5(b"|".join(units)).hexdigest(), packet.dts * scale, packet.pts * scale, packet.is_keyframe
            )
            facts[packet.stream.type].append(fact)
    return facts


def check_same_media(recorded: Path, published: Path, *, from_start: bool, tolerance_ms: float = 1.0) -> float:
    """From the recording's first keyframe on all packets are the published ones, in order, at one distance in time.

    Returns that distance in ms.
    """
    got, sent = packet_facts(recorded), packet_facts(published)
    assert got["video"], "no video was recorded"
    assert got["video"][0].key, "the recording does not begin with a keyframe"
    distances: list[float] = []
    for kind in ("video", "audio"):
        digests = [fact.digest for fact in sent[kind]]
        assert got[kind], f"no {kind} was recorded"
        first = digests.index(got[kind][0].digest)
        if from_start:
            assert first == 0, f"{kind} begins at packet {first}"
        expected = sent[kind][first:]
        assert [fact.digest for fact in got[kind]] == [fact.digest for fact in expected], (
            f"{kind} packets differ or are missing"
        )
        for one, other in zip(got[kind], expected, strict=True):
            distances += [one.dts_ms - other.dts_ms, one.pts_ms - other.pts_ms]
    middle = sorted(distances)[len(distances) // 2]
    worst = max(abs(each - middle) for each in distances)
    assert worst <= tolerance_ms, f"time stamps are off by up to {worst:.2f} ms"
    return middle


def decoded_hashes(path: Path) -> dict[str, list[tuple[int, str]]]:
    """{'0': [(pts, md5), ...], ...} of every decoded picture and audio frame; fails when the decoder says anything."""
    done = subprocess.run(
        ["ffmpeg", "-v", "error", "-i", str(path), "-map", "0:v", "-map", "0:a", "-f", "framemd5", "-"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == "", f"the decoder complains: {done.stderr[:500]}"
    hashes: dict[str, list[tuple[int, str]]] = {}
    for line in done.stdout.splitlines():
        if not line.startswith("#"):
            stream, _, pts, _, _, digest = (field.strip() for field in line.split(","))
            hashes.setdefault(stream, []).append((int(pts), digest))
    return hashes
