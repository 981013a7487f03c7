"""A whole programme: three renditions, two languages, splices and ID3, as pushes send it, in part and as a whole."""

from __future__ import annotations

import hashlib
import json
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import av
import pytest
from conformance.run import ENVIRONMENT
from read_ts import mux, shared
from serving import Process, Served, free_port, port_bound, serving, until
from ts_frames import ID3_CONFIG, SPLICE_CONFIG, splice_insert

from interop.packets import essence
from interop.test_mpegts import record_srt, record_tcp
from pushcast.ingest.demux import Clip
from pushcast.media import Codec, Track

CLIP_S = 4
SIZES = ("640x360", "480x270", "320x180")
LANGUAGES = ("eng", "deu")


@pytest.fixture(scope="module")
def programme(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """programme.ts: libavformat would not carry the splices along, so it is muxed here."""
    folder = tmp_path_factory.mktemp("programme")
    clip = folder / "clip.mp4"
    inputs = [each for size in SIZES for each in ("-f", "lavfi", "-i", f"testsrc2=s={size}:r=25")]
    inputs += [each for tone in (440, 880) for each in ("-f", "lavfi", "-i", f"sine=f={tone}:r=48000")]
    maps = [each for number in range(5) for each in ("-map", str(number))]
    encode = ["-c:v", "libx264", "-preset", "ultrafast", "-bf", "2", "-g", "25", "-pix_fmt", "yuv420p", "-c:a", "aac"]
    command = ["ffmpeg", "-v", "error", *inputs, *maps, "-t", str(CLIP_S), *encode, str(clip)]
    subprocess.run(command, check=True)
    opened = Clip(clip)
    frames = sorted(opened.frames(), key=lambda frame: frame.dts)
    start = frames[0].dts
    tracks = list(opened.tracks)
    tracks[3:5] = [
        Track(each.id, each.codec, config=each.config, language=language)
        for each, language in zip(tracks[3:5], LANGUAGES, strict=True)
    ]
    tracks += [Track(5, Codec.ID3, config=ID3_CONFIG), Track(6, Codec.SCTE35, config=SPLICE_CONFIG)]
    frames += [_beside(frames[0], 5, start + 90_000 * at, b"ID3\4\0\0" + bytes([at]) * 40) for at in range(1, CLIP_S)]
    at = start + 90_000
    frames.append(_beside(frames[0], 6, at, splice_insert(1, 90_000)))
    opened.close()
    path = folder / "programme.ts"
    path.write_bytes(shared(mux(tracks, sorted(frames, key=lambda frame: frame.dts))))
    return path


def _beside(like: object, track: int, dts: int, data: bytes) -> object:
    return type(like)(track, dts, dts, 0, 1, data)


def streams_of(path: Path) -> list[tuple[str, str, Counter[str]]]:
    """(codec, language, hashes of its packets) of each stream, in the order of the PMT."""
    done = subprocess.run(
        [
            "ffprobe",
            "-v",
            "error",
            "-show_entries",
            "stream=index,codec_name:stream_tags=language",
            "-of",
            "json",
            path,
        ],
        capture_output=True,
        check=True,
    )
    found = [
        (each.get("codec_name", "none"), each.get("tags", {}).get("language", ""), Counter[str]())
        for each in json.loads(done.stdout)["streams"]
    ]
    with av.open(str(path)) as container:
        for packet in container.demux():
            if packet.size and packet.dts is not None:
                codec, _, hashes = found[packet.stream_index]
                hashes[hashlib.md5(b"|".join(essence(codec, bytes(packet)))).hexdigest()] += 1
    return found


def play(programme: Path, port: int) -> None:
    """In real time, over TCP."""
    data = programme.read_bytes()
    pieces = 50 * CLIP_S
    with socket.create_connection(("127.0.0.1", port)) as sock:
        begun = time.monotonic()
        for number in range(pieces):
            sock.sendall(data[len(data) * number // pieces : len(data) * (number + 1) // pieces])
            threading.Event().wait(max(begun + (number + 1) * CLIP_S / pieces - time.monotonic(), 0))


def test_in_part_and_as_a_whole(programme: Path, tmp_path: Path) -> None:
    listen, ports = free_port(), {name: free_port() for name in ("srt", "named", "plain", "all")}
    recorders = {
        "srt": record_srt(ports["srt"], tmp_path / "srt.ts", tmp_path / "srt.log"),
        "named": record_tcp(ports["named"], tmp_path / "named.ts", tmp_path / "named.log"),
    }
    for name in ("plain", "all"):
        command = ["-m", "conformance.facts", f"rtmp://127.0.0.1:{ports[name]}/in/key", str(tmp_path / f"{name}.json")]
        recorders[name] = Process([sys.executable, *command], tmp_path / f"{name}.log", env=ENVIRONMENT)
    try:
        for name, port in ports.items():
            until(f"{name} listens", lambda port=port: port_bound(port))
        with serving(tmp_path, sources=f'[[mpegts]]\nname = "live"\nlisten = "tcp://127.0.0.1:{listen}"\n') as served:
            _start_pushes(served, ports)
            play(programme, listen)
            for name in ports:
                until(f"{name} is ready", lambda name=name: served.push(name)["state"] == "ready")
            served.call("POST", f"{served.app}:stopPush", {"id": "plain"})
        assert {name: each.wait() for name, each in recorders.items()} == dict.fromkeys(recorders, 0)
    finally:
        for each in recorders.values():
            each.stop()
    sent = streams_of(programme)
    assert [(codec, language) for codec, language, _ in sent] == [
        *[("h264", "")] * 3,
        ("aac", "eng"),
        ("aac", "deu"),
        ("timed_id3", ""),
        ("scte_35", ""),
    ]
    got = streams_of(tmp_path / "srt.ts")
    assert [(codec, language) for codec, language, _ in got] == [(codec, language) for codec, language, _ in sent]
    for (codec, _, mine), (_, _, theirs) in zip(got, sent, strict=True):
        # A splice has other times, and so another hash; the last sound may lie behind the last picture.
        assert mine.total() == theirs.total() if codec == "scte_35" else (theirs - mine).total() <= (codec == "aac")
    named = streams_of(tmp_path / "named.ts")
    assert [(codec, language) for codec, language, _ in named] == [("h264", ""), ("aac", "deu")]
    assert named[0][2] == sent[1][2]
    plain, everything = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("plain", "all"))
    assert Counter(fact[0] for fact in plain["video"]) == sent[0][2]
    assert Counter(fact[0] for fact in everything["video"]) == sent[0][2] + sent[1][2] + sent[2][2]
    assert len(everything["audio"]) > 1.9 * len(plain["audio"])


def _start_pushes(served: Served, ports: dict[str, int]) -> None:
    names = ["Video:1", "Audio:1"]
    served.start("srt", "srt", f"srt://127.0.0.1:{ports['srt']}")
    served.start("named", "mpegts", f"tcp://127.0.0.1:{ports['named']}", variantNames=names)
    served.start("plain", "rtmp", f"rtmp://127.0.0.1:{ports['plain']}/in", "key")
    body = {"id": "all", "stream": {"name": "live"}, "protocol": "rtmp", "url": f"rtmp://127.0.0.1:{ports['all']}/in"}
    status, answer = served.call("POST", f"{served.app}:startPush", body | {"streamKey": "key", "enhanced": "always"})
    assert status == 200, answer
