"""What a corpus begins with: the tables and builders of the tests, and small clips of ffmpeg, as inputs of the targets.

`python -m fuzz.seeds FOLDER` writes them, a folder for each target.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import build_rtmp
import test_aac
import test_amf0
import test_audioparser
import test_chunk
import test_flvtag
import test_videoconfig
from build_ts import Clip, join
from parameter_sets import HEVC_SPS, SPS
from read_ts import AVC_PPS, AVC_SPS, HEVC_SETS, IDR, KEY, SLICE, Frame, annexb, lengths, mux, shared
from streams import AVCC
from ts_frames import KINDS, splice_insert

from fuzz.transport import STREAMS
from fuzz.video import CONFIGS
from pushcast.media import Codec

OLD = Path(__file__).parents[1] / "corpus" / "rtmp"
CLIPS_TS = {
    "avc aac": ["-c:v", "libx264", "-c:a", "aac"],
    "hevc ac3": ["-c:v", "libx265", "-x265-params", "log-level=none", "-c:a", "ac3"],
    "avc mp2": ["-c:v", "libx264", "-bf", "2", "-c:a", "mp2"],
    "latm": ["-vn", "-c:a", "aac", "-mpegts_flags", "latm"],
    "eac3": ["-vn", "-c:a", "eac3"],
    "opus": ["-vn", "-c:a", "libopus"],
    "mp3": ["-vn", "-c:a", "libmp3lame"],
}
MOST_TS_BYTES = 188 * 24


def clip(container: str, options: list[str]) -> bytes:
    """A third of a second of small pictures and a tone."""
    command = [
        "ffmpeg",
        "-v",
        "error",
        "-f",
        "lavfi",
        "-i",
        "testsrc2=s=48x32:r=15",
        "-f",
        "lavfi",
        "-i",
        "sine=r=48000",
    ]
    command += ["-t", "0.34", *options, "-f", container, "-"]
    return subprocess.run(command, check=True, capture_output=True).stdout


def ts() -> Iterator[bytes]:
    yield b"\x80" + join(Clip(frames=3).packets())
    yield b"\xc2" + join(Clip(frames=3, video_type=0x24).packets())
    for kind in KINDS.values():
        frames = [
            Frame(kind.track.id, 9000 + number * kind.ticks, 9000 + number * kind.ticks, KEY, data)
            for number, data in enumerate(kind.frames[:3])
        ]
        yield b"\x80" + shared(mux([kind.track], frames))
    for options in CLIPS_TS.values():
        yield b"\x80" + clip("mpegts", options)[:MOST_TS_BYTES]


def record(content: bytes, how: int = 0x26) -> bytes:
    """A PES packet of the target ``pes``, 40 ms behind the one before."""
    return bytes((how,)) + len(content).to_bytes(2, "big") + (3600).to_bytes(2, "big") + content


def pes() -> Iterator[bytes]:
    made = {name: kind[1] for name, kind in test_audioparser.KINDS.items()}
    by_kind = {
        0: [annexb([b"\x09\xf0", AVC_SPS, AVC_PPS, IDR]), annexb([SLICE])],
        1: [annexb([*HEVC_SETS, b"\x26\x01\xaf" + bytes(range(1, 99))]), annexb([b"\x02\x01\xd0abc"])],
        2: [made["ADTS"](number) for number in range(3)],
        3: [made["LATM"](number) for number in range(3)],
        4: [made["MP2"](number) for number in range(2)],
        5: [made["E-AC-3"](number) for number in range(2)],
        6: [made["Opus"](number) for number in range(3)],
        7: [made["Opus"](number) for number in range(3)],
        8: [b"ID3" + bytes(60), b"ID3" + bytes(90)],
        9: [b"\x06\x0e" + bytes(60)],
        10: [made["AC-3"](number) for number in range(2)],
        11: [splice_insert(1, 900_000)[3:-4], splice_insert(2, 990_000)[3:-4]],
    }
    for kind in range(len(STREAMS)):
        for how in (0x25, 0x26, 0x02, 0x21):
            yield bytes((kind,)) + b"".join(record(content, how) for content in by_kind[kind])
        whole = b"".join(by_kind[kind])
        yield bytes((kind,)) + b"".join(record(whole[at : at + 77], 5) for at in range(0, len(whole), 77))
    yield b"\4" + b"".join(record(made["MP3"](number)) for number in range(2))


def nal() -> Iterator[bytes]:
    for how in range(16):
        sets = [AVC_SPS, AVC_PPS, IDR] if not how & 1 else [*HEVC_SETS, b"\x26\x01\xaf" + bytes(range(1, 50))]
        yield bytes((how,)) + annexb([b"\x09\xf0" if not how & 1 else b"\x46\x01\x50", *sets])
        size = (4, 2, 1)[(how >> 1) % 3]
        yield bytes((how,)) + b"".join(len(unit[:200]).to_bytes(size, "big") + unit[:200] for unit in sets)
        yield bytes((how,)) + lengths(SLICE, b"\x06\x05\x01\x80", SLICE)
        yield bytes((how,)) + (SPS if not how & 1 else HEVC_SPS)


def videoconfig() -> Iterator[bytes]:
    yield b"\0" + AVCC
    yield b"\2\x81\x05\x0c\x00\x0a\x0b\x00\x00\x00\x04\x3c\xff\xbc\xff\xe9"
    yield b"\3\x01\x00\x00\x00\x00\x1f\x80\x02\x02\x02\x00\x00"
    for number, codec in enumerate((Codec.H264, Codec.HEVC)):
        yield bytes((number,)) + CONFIGS[codec]
    for number, name in enumerate(("avcC", "hvcC")):
        yield bytes((number,)) + test_videoconfig.PARSERS[name][1]


def aac() -> Iterator[bytes]:
    for asc, _ in test_aac.ASC.values():
        yield b"\0\0" + asc
    for number, (parser, name) in enumerate(
        ((0, "ADTS"), (1, "LATM"), (2, "MP3"), (2, "MP2"), (3, "AC-3"), (3, "E-AC-3"), (4, "Opus"), (5, "Opus"))
    ):
        make = test_audioparser.KINDS[name][1]
        yield bytes((parser, number & 3)) + b"".join(make(index) for index in range(3))
        yield bytes((parser, 1)) + make(0)[:60]
    yield b"\1\0OpusHead\1\2\0\0\x80\xbb\0\0\0\0\0"
    yield b"\2\0fLaC\x80\0\0\x22" + bytes(10) + (48000 << 12 | 1 << 9 | 15 << 4).to_bytes(4, "big") + bytes(20)


def amf0() -> Iterator[bytes]:
    for _, wire in test_amf0.BOTH:
        yield bytes.fromhex(wire)[:5000]
    for wire, _ in test_amf0.READ_ONLY:
        yield bytes.fromhex(wire)
    for wire, _ in test_amf0.REFUSED:
        yield bytes.fromhex(wire)[:5000]
    for path in OLD.glob("amf0-*"):
        yield path.read_bytes()[:5000]
    yield build_rtmp.METADATA


def chunks() -> Iterator[bytes]:
    for number, (_, wire, _) in enumerate(test_chunk.READ):
        yield bytes((number * 7 & 255, number * 4)) + wire
    for wire, _ in test_chunk.REFUSED:
        yield b"\3\0" + wire
    for path in OLD.glob("chunk-*"):
        for how in range(4):
            yield bytes((16, how)) + path.read_bytes()[:5000]
    yield b"\x7f\0" + b"".join(build_rtmp.clip())[:8000]


def message(type: int, delta_ms: int, body: bytes) -> bytes:
    """A message of the target ``flv``."""
    how = {9: 0, 8: 1, 18: 2}[type] | 0x20
    return bytes((how, delta_ms & 255)) + len(body).to_bytes(2, "big") + body


def flv() -> Iterator[bytes]:
    head = message(9, 0, build_rtmp.AVC_CONFIG) + message(8, 0, build_rtmp.AAC_CONFIG)
    picture = message(9, 0, build_rtmp.avc(True, b"\x09\xf0", build_rtmp.IDR[:90])) + message(8, 9, b"\xaf\1sound")
    yield message(18, 0, build_rtmp.METADATA) + head + picture + message(9, 40, build_rtmp.avc(False, b"\x41\x9aabc"))
    yield head + picture + message(9, 40, b"\x17\0\0\0\0" + AVCC) + picture
    yield head + picture + message(18, 3, b"\x02\x00\x0aonCuePoint\x05") + picture
    hevc = CONFIGS[Codec.HEVC]
    yield (
        message(9, 0, b"\x90hvc1" + hevc)
        + picture.replace(b"\x17", b"\x91hvc1")
        + message(9, 40, b"\xa3hvc1\0\0\0\3\x02\1a")
    )
    for video, body, _ in test_flvtag.TAGS.values():
        yield head + picture + message(9 if video else 8, 20, body) + picture
    configs = {
        b"Opus": b"OpusHead\1\2\0\0\x80\xbb\0\0\0\0\0",
        b"mp4a": b"\x11\x90",
        b"fLaC": b"fLaC\x80\0\0\x22" + bytes(34),
    }
    for fourcc, config in configs.items():
        yield message(8, 0, b"\x90" + fourcc + config) + b"".join(
            message(8, 21, b"\x91" + fourcc + b"sound") for _ in range(60)
        )
    for fourcc, name in ((b".mp3", "MP3"), (b"ac-3", "AC-3"), (b"ec-3", "E-AC-3")):
        sound = test_audioparser.KINDS[name][1](0)
        yield b"".join(message(8, 250, b"\x91" + fourcc + sound) for _ in range(5))
    for fourcc, config in ((b"av01", b"\x81\x05\x0c\x00"), (b"vp09", b"\x01\0\0\0\0\x1f\x80\2\2\2\0\0")):
        yield message(9, 0, b"\x90" + fourcc + config) + b"".join(
            message(9, 250, b"\x91" + fourcc + b"units") for _ in range(5)
        )
    file = clip("flv", ["-c:v", "libx264", "-c:a", "aac", "-ar", "44100"])
    at, tags, before = 13, b"", 0
    while at + 11 < len(file) and len(tags) < 8000:
        size, time = int.from_bytes(file[at + 1 : at + 4], "big"), int.from_bytes(file[at + 4 : at + 7], "big")
        tags += message(file[at] & 31, time - before, file[at + 11 : at + 11 + size])
        at, before = at + 15 + size, time
    yield tags


SEEDS = {
    "ts": ts,
    "pes": pes,
    "nal": nal,
    "videoconfig": videoconfig,
    "aac": aac,
    "amf0": amf0,
    "chunks": chunks,
    "flv": flv,
}


def write(name: str, folder: Path) -> None:
    """The seeds of a target, each under the name that libFuzzer would give it."""
    folder.mkdir(parents=True, exist_ok=True)
    for data in SEEDS[name]():
        (folder / hashlib.sha1(data).hexdigest()).write_bytes(data)


if __name__ == "__main__":
    for each in SEEDS:
        write(each, Path(sys.argv[1]) / each)
