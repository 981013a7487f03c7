"""TsMuxer against the standard: golden packets, a strict parser of our own, ffmpeg as the judge of the media."""

from __future__ import annotations

import subprocess
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import av
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pushcast import nal
from pushcast.errors import MediaError
from pushcast.media import Codec, Kind, Track
from pushcast.mpegts import TsMuxer
from pushcast.ring import Ring

KEY, CONFIG, DISCONTINUITY = 1, 2, 4
SPAN_KEY, SPAN_DISCONTINUITY = 1, 4
MS = 27000
DELAY = 300 * 90
PAT_PID, SDT_PID, PMT_PID, FIRST_PID = 0x0000, 0x0011, 0x1000, 0x0100


@dataclass(frozen=True)
class Frame:
    track: int
    dts: int
    pts: int
    flags: int
    data: bytes


# The parser: every rule of a packet's layout is an assertion.


@dataclass
class Pes:
    pid: int
    stream_id: int
    pts: int
    dts: int
    length: int
    random_access: bool
    pcr: int  # the newest when its first packet had come
    payload: bytes = b""


@dataclass
class Transport:
    """What a strict receiver saw; positions are packet numbers."""

    packets: int = 0
    pids: list[int] = field(default_factory=list)
    pcrs: list[tuple[int, int]] = field(default_factory=list)
    pcr_pids: set[int] = field(default_factory=set)
    sections: dict[int, list[tuple[int, bytes]]] = field(default_factory=dict)
    pes: list[Pes] = field(default_factory=list)
    continuity_errors: int = 0


def _stamp(data: bytes, prefix: int) -> int:
    assert data[0] >> 4 == prefix
    assert data[0] & data[2] & data[4] & 1
    return (data[0] >> 1 & 7) << 30 | data[1] << 22 | data[2] >> 1 << 15 | data[3] << 7 | data[4] >> 1


def _start_pes(pid: int, data: bytes, random_access: bool, pcr: int) -> Pes:
    assert data[:3] == b"\0\0\1"
    assert data[6] == 0x84  # marker bits, not scrambled, data_alignment_indicator
    flags, size = data[7], data[8]
    assert (flags, size) in ((0x80, 5), (0xC0, 10))
    pts = _stamp(data[9:14], 2 if size == 5 else 3)
    dts = pts if size == 5 else _stamp(data[14:19], 1)
    assert (pts == dts) == (size == 5)
    length = int.from_bytes(data[4:6], "big")
    return Pes(pid, data[3], pts, dts, length, random_access, pcr, data[9 + size :])


def _adaptation_field(data: bytes, payload_follows: bool) -> tuple[int, int, int | None]:
    """(its whole size, flags, PCR at 27 MHz)."""
    size = data[0]
    assert size <= 182 if payload_follows else size == 183
    if size == 0:
        return 1, 0, None
    flags, at, pcr = data[1], 2, None
    assert flags & ~0xD0 == 0
    if flags & 0x10:
        value = int.from_bytes(data[2:8], "big")
        assert value >> 9 & 0x3F == 0x3F
        assert value & 0x1FF < 300
        pcr, at = (value >> 15) * 300 + (value & 0x1FF), 8
    assert data[at : size + 1] == b"\xff" * (size + 1 - at)
    return size + 1, flags, pcr


def parse(data: bytes) -> Transport:
    assert len(data) % 188 == 0
    seen = Transport()
    counters: dict[int, int] = {}
    running: dict[int, Pes] = {}
    section: dict[int, bytes] = {}
    for at in range(0, len(data), 188):
        packet = data[at : at + 188]
        pid, control, counter = (packet[1] & 0x1F) << 8 | packet[2], packet[3] >> 4 & 3, packet[3] & 15
        assert packet[0] == 0x47
        assert packet[1] & 0xA0 == 0
        assert packet[3] & 0xC0 == 0
        assert control
        size, flags, pcr = _adaptation_field(packet[4:], control == 3) if control & 2 else (0, 0, None)
        has_payload = bool(control & 1)
        if pid in counters and not flags & 0x80:
            seen.continuity_errors += counter != (counters[pid] + has_payload) & 15
        counters[pid] = counter
        seen.pids.append(pid)
        if pcr is not None:
            seen.pcrs.append((seen.packets, pcr))
            seen.pcr_pids.add(pid)
        payload = packet[4 + size :]
        if has_payload and pid in (PAT_PID, PMT_PID, SDT_PID):
            if packet[1] & 0x40:
                assert payload[0] == 0
                section[pid] = payload[1:]
            else:
                section[pid] += payload
            length = 3 + (int.from_bytes(section[pid][1:3], "big") & 0xFFF)
            if len(section[pid]) >= length:
                assert section[pid][length:].strip(b"\xff") == b""
                seen.sections.setdefault(pid, []).append((seen.packets, section[pid][:length]))
        elif has_payload and packet[1] & 0x40:
            running[pid] = _start_pes(pid, payload, bool(flags & 0x40), seen.pcrs[-1][1])
            seen.pes.append(running[pid])
        elif has_payload:
            running[pid].payload += payload
        seen.packets += 1
    for pes in seen.pes:
        body = 3 + (5 if pes.pts == pes.dts else 10) + len(pes.payload)
        assert pes.length == body or (pes.length == 0 and pes.stream_id >> 4 == 0xE and body > 0xFFFF)
    return seen


_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def crc32(data: bytes) -> int:
    """CRC-32/MPEG-2 out of zlib's CRC-32: the same polynomial, mirrored."""
    return int(f"{zlib.crc32(data.translate(_REVERSED)) ^ 0xFFFFFFFF:032b}"[::-1], 2)


def unwrap(values: Iterable[int], modulus: int) -> list[int]:
    out: list[int] = []
    for value in values:
        last = out[-1] if out else value
        out.append(last + (value - last + modulus // 2) % modulus - modulus // 2)
    return out


def check_clock_and_tables(seen: Transport, *, pcr_ms: float = 40, tables_ms: float = 100) -> None:
    """The rules over time: PCRs go strictly upwards in small steps, tables and PCR come first and come often."""
    assert seen.continuity_errors == 0
    assert seen.pids[:2] == [PAT_PID, PMT_PID]
    assert seen.pcr_pids == {FIRST_PID}
    assert seen.pcrs[0][0] == 2
    pcrs = unwrap((pcr for _, pcr in seen.pcrs), 300 << 33)
    steps = [later - earlier for earlier, later in pairwise(pcrs)]
    assert all(0 < step <= pcr_ms * MS for step in steps)
    for pid, table_id in ((PAT_PID, 0), (PMT_PID, 2), (SDT_PID, 0x42)):
        sections = seen.sections[pid]
        assert len({section for _, section in sections}) == 1
        assert sections[0][1][0] == table_id
        assert crc32(sections[0][1]) == 0
        times = [
            max((pcr for (at, _), pcr in zip(seen.pcrs, pcrs, strict=True) if at < where), default=pcrs[0])
            for where, _ in sections
        ]
        times.append(pcrs[-1])
        longest = max(later - earlier for earlier, later in pairwise(times))
        assert longest <= (2000 if pid == SDT_PID else tables_ms) * MS


def pmt_streams(seen: Transport) -> list[tuple[int, int, bytes]]:
    """(stream_type, PID, descriptors) of the first PMT."""
    section = seen.sections[PMT_PID][0][1]
    assert int.from_bytes(section[8:10], "big") == 0xE000 | FIRST_PID
    assert section[10:12] == b"\xf0\0"
    at, streams = 12, []
    while at < len(section) - 4:
        size = int.from_bytes(section[at + 3 : at + 5], "big") & 0xFFF
        pid = int.from_bytes(section[at + 1 : at + 3], "big") & 0x1FFF
        streams.append((section[at], pid, section[at + 5 : at + 5 + size]))
        at += 5 + size
    return streams


# Feeding


def mux(tracks: Sequence[Track], frames: Iterable[Frame], delay_ms: int = 300) -> Ring:
    ring = Ring(start_bytes=16 << 20)
    muxer = TsMuxer(ring, tracks, delay_ms=delay_ms)
    for frame in frames:
        muxer.write_frame(frame.track, frame.dts, frame.pts, frame.flags, frame.data)
    assert muxer.malformed == 0
    return ring


def shared(ring: Ring, begin: int = 0, end: int | None = None) -> bytes:
    return b"".join(ring.read(seq) for seq in range(begin, ring.head if end is None else end))


def key_spans(ring: Ring) -> list[int]:
    return [seq for seq in range(ring.head) if ring.span(seq)[4] & SPAN_KEY]


def annexb(units: Iterable[bytes]) -> bytes:
    return b"".join(b"\0\0\0\1" + unit for unit in units)


AVC_SPS = bytes.fromhex("6742c01ed900a03db011000003000100000300320f162e48")
AVC_PPS = bytes.fromhex("68cb83cb20")
HEVC_SETS = [
    bytes.fromhex("40010c01ffff01600000030090000003000003003f959809"),
    bytes.fromhex("42010101600000030090000003000003003fa005020169d565959a4932bc05a02000000300200000030321"),
    bytes.fromhex("4401c172b46240"),
]
VIDEO = Track(5, Codec.H264, config=nal.build_avcc([AVC_SPS], [AVC_PPS]))
HEVC = Track(6, Codec.HEVC, config=nal.build_hvcc(*[[unit] for unit in HEVC_SETS]))
AUDIO = Track(9, Codec.AAC, config=nal.build_asc(2, 44100, 2))


def lengths(*units: bytes) -> bytes:
    return b"".join(len(unit).to_bytes(4, "big") + unit for unit in units)


IDR = b"\x65\x88" + bytes(range(1, 200)) * 3
SLICE = b"\x41\x9a" + bytes(range(1, 100))


def video_frames(rate: float, seconds: float, start: int = 0, track: int = 5) -> list[Frame]:
    """One IDR picture per second, the others small."""
    frames = []
    for index in range(round(rate * seconds)):
        dts = start + round(index * 90000 / rate)
        key = index % max(1, round(rate)) == 0
        frames.append(Frame(track, dts, dts, KEY if key else 0, lengths(IDR if key else SLICE)))
    return frames


def audio_frames(seconds: float, start: int = 0, track: int = 9, rate: int = 44100) -> list[Frame]:
    count = round(seconds * rate / 1024)
    times = [start + index * 1024 * 90000 // rate for index in range(count)]
    return [Frame(track, dts, dts, 0, bytes([index & 0xFF]) * (180 + index % 300)) for index, dts in enumerate(times)]


def interleave(*streams: list[Frame]) -> list[Frame]:
    return sorted((frame for stream in streams for frame in stream), key=lambda frame: frame.dts)


# Golden bytes


def golden() -> dict[str, bytes]:
    parts: dict[str, bytes] = {}
    name = ""
    for line in (Path(__file__).parent / "data/mpegts_golden.txt").read_text().splitlines():
        words = line.split("#")[0]
        if words.startswith("["):
            name = words.strip("[] ")
            parts[name] = b""
            continue
        for word in words.split():
            text, _, times = word.partition("*")
            parts[name] += bytes.fromhex(text) * int(times or 1)
    return parts


def test_golden_packets() -> None:
    avcc = b"\x01\x42\x00\x1e\xff\xe1\x00\x04\x67\x42\x00\x1e\x01\x00\x02\x68\xce"
    tracks = [Track(3, Codec.H264, config=avcc), Track(8, Codec.AAC, config=b"\x11\x90")]
    ring = Ring()
    muxer = TsMuxer(ring, tracks, service="golden", delay_ms=200)
    muxer.write_frame(3, 90000, 93600, KEY, bytes.fromhex("00000003658884"))
    muxer.write_frame(8, 90300, 90300, 0, bytes.fromhex("211004"))
    muxer.write_frame(3, 93600, 93600, 0, b"\0\0\0\xc8\x41" + b"\xaa" * 199)
    written = [ring.read_lead(0), *(ring.read(seq) for seq in range(ring.head))]
    for (name, expected), got in zip(golden().items(), written, strict=True):
        for at in range(0, len(expected), 188):
            assert got[at : at + 188].hex() == expected[at : at + 188].hex(), f"{name}, packet {at // 188}"
        assert len(got) == len(expected)


# Real media

X264 = "-c:v libx264 -preset ultrafast -pix_fmt yuv420p -b:v 700k -x264-params repeat-headers=0"
CLIPS = {
    "25 fps, aac 48k stereo": (f"{X264} -r 25 -g 25 -bf 0", "-c:a aac -ar 48000 -ac 2", "mp4"),
    "25 fps with B-frames, aac 44.1k mono": (
        f"{X264} -r 25 -g 30 -bf 3 -b_strategy 0",
        "-c:a aac -ar 44100 -ac 1",
        "mp4",
    ),
    "24 fps, slices, aac 44.1k stereo": (f"{X264} -r 24 -g 24 -slices 4", "-c:a aac -ar 44100 -ac 2", "mp4"),
    "29.97 fps in band, aac 48k mono": (
        f"{X264} -r 30000/1001 -g 15 -bf 2 -aud 1 -bsf:v dump_extra",
        "-c:a aac -ar 48000 -ac 1",
        "mp4",
    ),
    "15 fps, no audio": (f"{X264} -r 15 -g 15", "", "mp4"),
    "hevc, aac 48k stereo": (
        "-c:v libx265 -preset ultrafast -pix_fmt yuv420p -r 25 -g 25 -x265-params log-level=none:bframes=2",
        "-c:a aac -ar 48000 -ac 2",
        "mp4",
    ),
    "aac 44.1k alone": ("", "-c:a aac -ar 44100 -ac 2", "mp4"),
    "mp2 alone": ("", "-c:a mp2 -ar 48000 -ac 2", "mkv"),
    "mp3 22k alone": ("", "-c:a libmp3lame -ar 22050 -ac 1", "mkv"),
    "ac3 with video": (f"{X264} -r 25 -g 25", "-c:a ac3 -ar 48000 -ac 2", "mp4"),
    "eac3 alone": ("", "-c:a eac3 -ar 48000 -ac 2", "mp4"),
    "opus alone": ("", "-c:a libopus -ar 48000 -ac 2", "mp4"),
}
CODECS = {
    "h264": Codec.H264,
    "hevc": Codec.HEVC,
    "aac": Codec.AAC,
    "mp2": Codec.MP2,
    "mp3": Codec.MP3,
    "mp3float": Codec.MP3,
    "ac3": Codec.AC3,
    "eac3": Codec.EAC3,
    "opus": Codec.OPUS,
    "libopus": Codec.OPUS,
}
STREAM_TYPES = {
    Codec.H264: 0x1B,
    Codec.HEVC: 0x24,
    Codec.AAC: 0x0F,
    Codec.MP2: 0x03,
    Codec.MP3: 0x04,  # the clip's 22.05 kHz make it MPEG-2 audio
    Codec.AC3: 0x81,
    Codec.EAC3: 0x87,
    Codec.OPUS: 0x06,
}
STREAM_IDS = {Codec.AC3: 0xBD, Codec.EAC3: 0xBD, Codec.OPUS: 0xBD}


@dataclass(frozen=True)
class Clip:
    path: Path
    tracks: list[Track]
    frames: list[Frame]


@pytest.fixture(scope="module", params=CLIPS)
def clip(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Clip:
    video, audio, container = CLIPS[request.param]
    path = tmp_path_factory.mktemp("clip") / f"clip.{container}"
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=s=320x180:d=2.5:r=60"]
    command += ["-f", "lavfi", "-i", "sine=330:d=2.5:r=48000,aecho"]
    command += [*(["-map", "0", *video.split()] if video else []), *(["-map", "1", *audio.split()] if audio else [])]
    subprocess.run(
        [*command, "-video_track_timescale", "90000", str(path)] if container == "mp4" else [*command, str(path)],
        check=True,
    )
    tracks, frames = [], []
    with av.open(str(path)) as source:
        for stream in source.streams:
            context = stream.codec_context
            tracks.append(
                Track(
                    stream.index + 1,
                    CODECS[context.name],
                    config=bytes(context.extradata or b""),
                    sample_rate=getattr(context, "sample_rate", 0) or 0,
                    channels=getattr(context, "channels", 0) or 0,
                )
            )
        for packet in source.demux():
            if packet.time_base is not None and packet.dts is not None and packet.pts is not None:
                ticks = 90000 * packet.time_base
                flags = KEY if packet.is_keyframe and packet.stream.type == "video" else 0
                times = round(packet.dts * ticks), round(packet.pts * ticks)
                frames.append(Frame(packet.stream.index + 1, *times, flags, bytes(packet)))
    return Clip(path, tracks, frames)


def expected_payload(track: Track, frame: Frame) -> bytes:
    """The PES payload by the rules, written down a second time: whole units, no cursor, no counting."""
    if track.codec is Codec.AAC:
        return nal.build_adts(track.config, len(frame.data)) + frame.data
    if track.codec is Codec.OPUS:
        return b"\x7f\xe0" + b"\xff" * (len(frame.data) // 255) + bytes([len(frame.data) % 255]) + frame.data
    if track.kind is Kind.AUDIO:
        return frame.data
    avc = track.codec is Codec.H264
    config = nal.parse_avcc(track.config) if avc else nal.parse_hvcc(track.config)
    kinds = (7, 8) if avc else (32, 33, 34)
    delimiter_kind = 9 if avc else 35
    units = nal.split_lengths(frame.data, config.length_size)
    types = [nal.nal_unit_type(track.codec, unit) for unit in units]
    delimiter = units[0] if types[0] == delimiter_kind else (b"\x09\xf0" if avc else b"\x46\x01\x50")
    rest = [unit for unit, kind in zip(units, types, strict=True) if kind != delimiter_kind]
    sets: list[bytes] = []
    if frame.flags & KEY and not set(kinds) <= set(types):
        sets = [*getattr(config, "vps", []), *config.sps, *config.pps]
    return annexb([delimiter, *sets, *(unit for unit in rest if unit not in sets)])


def check_frames(seen: Transport, tracks: Sequence[Track], frames: Sequence[Frame], delay: int = DELAY) -> None:
    """Every frame is there once, in order, bit for bit, with its own times and flags."""
    first_video = [track.id for track in tracks if track.kind is Kind.VIDEO][:1]
    order = [*first_video, *(track.id for track in tracks if track.id not in first_video)]
    by_id = {track.id: track for track in tracks}
    assert len(seen.pes) == len(frames)
    for pes, frame in zip(seen.pes, frames, strict=True):
        track = by_id[frame.track]
        assert pes.pid == FIRST_PID + order.index(frame.track)
        assert pes.payload == expected_payload(track, frame)
        assert pes.dts == (frame.dts + delay) % (1 << 33)
        assert pes.pts == (frame.pts + delay) % (1 << 33)
        if track.kind is Kind.VIDEO:
            assert pes.random_access == bool(frame.flags & KEY)
            assert pes.stream_id == 0xE0
        else:
            assert pes.stream_id == STREAM_IDS.get(track.codec, 0xC0)


def check_leads(seen: Transport, least_ms: int = 300) -> None:
    """By the newest PCR, a PES packet starts least_ms or more before its DTS and less than a second before its PTS."""
    modulus = 300 << 33
    for pes in seen.pes:
        assert (pes.dts * 300 - pes.pcr) % modulus >= least_ms * MS
        assert (pes.pts * 300 - pes.pcr) % modulus < 1000 * MS


def decoded(path: Path, stream: str) -> list[str]:
    """Digests of the decoded frames; ffmpeg has nothing to complain about."""
    command = [
        "ffmpeg",
        "-v",
        "warning",
        "-i",
        str(path),
        "-map",
        stream,
        "-fps_mode",
        "passthrough",
        "-f",
        "framemd5",
        "-",
    ]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert run.stderr == ""
    return [line.split(",")[-1].strip() for line in run.stdout.splitlines() if not line.startswith("#")]


def test_clip_becomes_a_correct_transport_stream(clip: Clip, tmp_path: Path) -> None:
    ring = mux(clip.tracks, clip.frames)
    seen = parse(shared(ring))
    check_clock_and_tables(seen)
    check_frames(seen, clip.tracks, clip.frames)
    check_leads(seen, least_ms=290)
    types = [(STREAM_TYPES[track.codec], FIRST_PID + index) for index, track in enumerate(clip.tracks)]
    assert [(stream_type, pid) for stream_type, pid, _ in pmt_streams(seen)] == types
    output = tmp_path / "out.ts"
    output.write_bytes(shared(ring))
    for track in clip.tracks:
        stream = "0:v" if track.kind is Kind.VIDEO else "0:a"
        got = decoded(output, stream)
        if track.kind is Kind.VIDEO:
            assert got == decoded(clip.path, stream)
        else:
            # Containers say the encoder's delay in different ways; the frames were compared bit for bit above.
            assert abs(len(got) - sum(frame.track == track.id for frame in clip.frames)) <= 2


def test_every_join_point_is_a_start(clip: Clip) -> None:
    """Lead-in material and what follows: for a receiver that comes new, and for one that is moved there."""
    ring = mux(clip.tracks, clip.frames)
    keys = key_spans(ring)
    has_video = any(track.kind is Kind.VIDEO for track in clip.tracks)
    if has_video:
        assert keys == [seq for seq, frame in enumerate(clip.frames) if frame.flags & KEY]
    else:
        times = [ring.span(seq)[3] for seq in keys]
        gaps = [later - earlier for earlier, later in pairwise(times)]
        assert len(keys) >= 4
        assert all(400 * 90 <= gap <= 450 * 90 for gap in gaps)
    for key in keys:
        lead = ring.read_lead(key)
        assert len(lead) == 188 * (3 + len(clip.tracks))
        alone = parse(lead)
        assert sorted(alone.pids) == sorted(
            [PAT_PID, PMT_PID, SDT_PID, *(FIRST_PID + i for i in range(len(clip.tracks)))]
        )
        assert not alone.pes
        joined = parse(lead + shared(ring, key))
        assert joined.continuity_errors == 0
        start = parse(shared(ring, key))
        assert start.pids[:2] == [PAT_PID, PMT_PID]
        assert start.pcrs[0][0] == 2
        moved = parse(shared(ring, 0, key // 2) + lead + shared(ring, key))
        assert moved.continuity_errors == 0
    for seq in range(ring.head):
        assert seq in keys or ring.read_lead(seq) == b""


def test_without_the_lead_in_a_move_would_be_seen() -> None:
    ring = mux([VIDEO], video_frames(25, 3))
    assert parse(shared(ring, 0, 20) + shared(ring, 50)).continuity_errors > 0


@pytest.mark.parametrize("before_wrap_ms", [100, 310, 900])
def test_33_bit_wrap(clip: Clip, tmp_path: Path, before_wrap_ms: int) -> None:
    base = (1 << 33) - before_wrap_ms * 90
    frames = [Frame(f.track, f.dts + base, f.pts + base, f.flags, f.data) for f in clip.frames]
    ring = mux(clip.tracks, frames)
    seen = parse(shared(ring))
    check_clock_and_tables(seen)
    check_frames(seen, clip.tracks, frames)
    assert {pes.dts >> 32 for pes in seen.pes} == ({0} if before_wrap_ms == 100 else {0, 1})
    assert {pcr // 300 >> 32 for _, pcr in seen.pcrs} == {0, 1}
    output = tmp_path / "out.ts"
    output.write_bytes(shared(ring))
    if clip.tracks[0].kind is Kind.VIDEO:
        assert decoded(output, "0:v") == decoded(clip.path, "0:v")


# Clock


@pytest.mark.parametrize("rate", [60, 50, 30000 / 1001, 25, 24, 15, 10, 5, 2, 1])
@pytest.mark.parametrize("audio", [False, True], ids=["alone", "with audio"])
def test_pcr_and_table_intervals(rate: float, audio: bool) -> None:
    start = 900_000
    streams = [video_frames(rate, 6, start)]
    if audio:
        streams.append(audio_frames(6, start))
    tracks = [VIDEO, AUDIO] if audio else [VIDEO]
    frames = interleave(*streams)
    seen = parse(shared(mux(tracks, frames)))
    check_clock_and_tables(seen, pcr_ms=36)
    check_frames(seen, tracks, frames)
    check_leads(seen)


def test_a_gap_beyond_the_limit_is_one_step() -> None:
    frames = [*video_frames(25, 1), *video_frames(25, 1, start=90000 * 61)]
    seen = parse(shared(mux([VIDEO], frames)))
    steps = [b - a for (_, a), (_, b) in pairwise(seen.pcrs)]
    assert sum(step > 40 * MS for step in steps) == 1
    assert seen.pcrs[-1][1] == frames[-1].dts * 300


def _lowest_to_come(frames: Sequence[Frame]) -> list[int]:
    """For each frame the lowest DTS of it and all later ones."""
    lowest: list[int] = []
    for frame in reversed(frames):
        lowest.append(min(frame.dts, lowest[-1]) if lowest else frame.dts)
    return lowest[::-1]


@pytest.mark.parametrize("lag_ms", [0, 50, 280, 450, 690, 850])
@pytest.mark.parametrize("late", ["audio", "video"])
def test_pcr_waits_for_the_track_that_lags(lag_ms: int, late: str) -> None:
    """A track may be 900 ms late: the PCR passes none of its times, yet stays near the others."""
    shift = {late: lag_ms * 90}
    frames = sorted(
        [*video_frames(25, 4, 180000), *audio_frames(4, 180000)],
        key=lambda frame: frame.dts + shift.get("video" if frame.track == 5 else "audio", 0),
    )
    ring = mux([VIDEO, AUDIO], frames)
    lowest = _lowest_to_come(frames)
    newest, highest = 0, 0
    seen_late = False
    for seq, frame in enumerate(frames):
        newest = max(newest, frame.dts)
        seen_late = seen_late or (frame.track == 5) == (late == "video")
        for _, pcr in parse(shared(ring, 0, 1) + ring.read(seq)).pcrs:
            highest = max(highest, pcr)
        # Before the late track has come, nobody can know how late it is.
        if seen_late and lag_ms > 0:
            assert highest <= max((lowest[seq] + DELAY) * 300, frames[0].dts * 300 + lag_ms * 90 * 300 + 41 * MS)
        if seen_late and frame.dts == newest and lag_ms <= 690:
            assert (newest + DELAY) * 300 - highest <= 900 * MS
    check_clock_and_tables(parse(shared(ring)), pcr_ms=36)


def test_a_track_that_stops_is_not_waited_for() -> None:
    frames = interleave(video_frames(25, 8, 90000), audio_frames(1, 90000))
    seen = parse(shared(mux([VIDEO, AUDIO], frames)))
    check_clock_and_tables(seen, pcr_ms=36)
    assert seen.pcrs[-1][1] == frames[-1].dts * 300
    frames = interleave(video_frames(25, 1, 90000), audio_frames(8, 90000))
    seen = parse(shared(mux([VIDEO, AUDIO], frames)))
    check_clock_and_tables(seen, pcr_ms=36)
    assert seen.pcrs[-1][1] > frames[-1].dts * 300 - 20 * MS


def test_audio_first_then_video_still_starts_with_a_pcr() -> None:
    frames = [*audio_frames(0.1, 5000), *video_frames(25, 1, 14000), *audio_frames(0.1, 104000)]
    ring = mux([AUDIO, VIDEO], frames)
    seen = parse(shared(ring))
    check_clock_and_tables(seen)
    check_frames(seen, [AUDIO, VIDEO], frames)
    assert key_spans(ring) == [4]


@pytest.mark.parametrize("delay_ms", [0, 40, 600])
def test_delay(delay_ms: int) -> None:
    frames = video_frames(25, 2, 90000)
    seen = parse(shared(mux([VIDEO], frames, delay_ms=delay_ms)))
    check_frames(seen, [VIDEO], frames, delay_ms * 90)
    check_leads(seen, delay_ms)


@pytest.mark.parametrize("delay_ms", [-1, 601])
def test_delay_out_of_range(delay_ms: int) -> None:
    with pytest.raises(ValueError, match="expected 0 to 600"):
        TsMuxer(Ring(), [VIDEO], delay_ms=delay_ms)


# Access units

AUD, SEI, OTHER_PPS = b"\x09\x10", b"\x06\x05\x01\x80", b"\x68\x5a\xcb"
HEVC_IDR, HEVC_CRA, HEVC_TRAIL, HEVC_AUD = b"\x26\x01\xaf", b"\x2a\x01\xaf", b"\x02\x01\xd0", b"\x46\x01\x10"
VPS, HSPS, HPPS = HEVC_SETS
# (track, flags, units in, units out)
ACCESS_UNITS = {
    "slice": (VIDEO, 0, [SLICE], [b"\x09\xf0", SLICE]),
    "delimiter in band": (VIDEO, 0, [AUD, SEI, SLICE], [AUD, SEI, SLICE]),
    "delimiter twice": (VIDEO, 0, [AUD, AUD, SLICE], [AUD, SLICE]),
    "delimiter not first": (VIDEO, 0, [SEI, AUD, SLICE], [b"\x09\xf0", SEI, SLICE]),
    "key without sets": (VIDEO, KEY, [SEI, IDR], [b"\x09\xf0", AVC_SPS, AVC_PPS, SEI, IDR]),
    "key with sets": (VIDEO, KEY, [AVC_SPS, AVC_PPS, IDR], [b"\x09\xf0", AVC_SPS, AVC_PPS, IDR]),
    "key with other sets": (VIDEO, KEY, [AUD, AVC_SPS, OTHER_PPS, IDR], [AUD, AVC_SPS, OTHER_PPS, IDR]),
    "key with SPS only": (VIDEO, KEY, [AUD, AVC_SPS, SEI, IDR], [AUD, AVC_SPS, AVC_PPS, SEI, IDR]),
    "key with another PPS only": (VIDEO, KEY, [OTHER_PPS, IDR], [b"\x09\xf0", AVC_SPS, AVC_PPS, OTHER_PPS, IDR]),
    "IDR that nobody called key": (VIDEO, 0, [IDR], [b"\x09\xf0", AVC_SPS, AVC_PPS, IDR]),
    "recovery point": (VIDEO, KEY, [SEI, SLICE], [b"\x09\xf0", AVC_SPS, AVC_PPS, SEI, SLICE]),
    "many slices": (VIDEO, 0, [SLICE] * 40, [b"\x09\xf0", *[SLICE] * 40]),
    "emulation prevention": (VIDEO, 0, [b"\x41\x00\x00\x03\x01"], [b"\x09\xf0", b"\x41\x00\x00\x03\x01"]),
    "hevc slice": (HEVC, 0, [HEVC_TRAIL], [b"\x46\x01\x50", HEVC_TRAIL]),
    "hevc key": (HEVC, KEY, [HEVC_AUD, HEVC_IDR], [HEVC_AUD, VPS, HSPS, HPPS, HEVC_IDR]),
    "hevc CRA": (HEVC, 0, [HEVC_CRA], [b"\x46\x01\x50", VPS, HSPS, HPPS, HEVC_CRA]),
    "hevc key without VPS": (HEVC, KEY, [HSPS, HPPS, HEVC_IDR], [b"\x46\x01\x50", VPS, HSPS, HPPS, HEVC_IDR]),
}


@pytest.mark.parametrize("name", ACCESS_UNITS)
def test_access_unit_rules(name: str) -> None:
    track, flags, units, expected = ACCESS_UNITS[name]
    ring = mux([track], [Frame(track.id, 7000, 9000, flags, lengths(*units))])
    pes = parse(shared(ring)).pes[0]
    assert pes.payload == annexb(expected)
    is_key = any(unit in expected for unit in (AVC_SPS, HSPS))
    assert pes.random_access is is_key
    assert key_spans(ring) == ([0] if is_key else [])


@given(st.lists(st.integers(1, 1200), min_size=1, max_size=8), st.booleans(), st.sampled_from([1, 2, 4]))
@settings(deadline=None, max_examples=150)
def test_any_sizes_come_out_bit_for_bit(sizes: list[int], key: bool, length_size: int) -> None:
    """All stuffing lengths: no byte is lost, added or moved, whatever the sizes of the units."""
    if length_size == 1:
        sizes = [min(size, 255) for size in sizes]
    config = bytearray(VIDEO.config)
    config[4] = 0xFC | length_size - 1
    track = Track(5, Codec.H264, config=bytes(config))
    units = [(b"\x65" if key else b"\x41") + bytes([0xFF - index]) * (size - 1) for index, size in enumerate(sizes)]
    data = b"".join(len(unit).to_bytes(length_size, "big") + unit for unit in units)
    frames = [Frame(5, 3600 * index, 3600 * index + 7, KEY if key else 0, data) for index in range(3)]
    seen = parse(shared(mux([track], frames)))
    assert seen.continuity_errors == 0
    check_frames(seen, [track], frames)


def test_every_payload_length_around_packet_borders() -> None:
    frames = [Frame(9, 2000 * size, 2000 * size, 0, bytes([size & 0xFF]) * size) for size in range(1, 580)]
    seen = parse(shared(mux([AUDIO], frames)))
    check_frames(seen, [AUDIO], frames)
    check_clock_and_tables(seen)


def test_video_over_the_length_field() -> None:
    big = b"\x65" + bytes([0x5A]) * 400_000
    frames = [Frame(5, 0, 0, KEY, lengths(big)), Frame(5, 3600, 3600, 0, lengths(b"\x41" + bytes([0x5A]) * 65520))]
    ring = mux([VIDEO], frames)
    seen = parse(shared(ring))
    check_frames(seen, [VIDEO], frames)
    assert [pes.length for pes in seen.pes] == [0, 0]


MALFORMED = {
    "empty": (5, b""),
    "length over the end": (5, b"\0\0\0\x09\x41\x9a"),
    "cut length": (5, lengths(SLICE) + b"\0\0\0"),
    "huge length": (5, b"\xff\xff\xff\xff\x41"),
    "second unit over the end": (5, lengths(SLICE) + b"\0\0\1\0\x41"),
    "empty units only": (5, bytes(8)),
    "delimiter only": (5, lengths(AUD)),
    "annex b": (5, b"\0\0\0\1\x65\x88\x84\0"),
    "empty audio": (9, b""),
    "audio over 13 bits": (9, bytes(8185)),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_access_units_leave_no_trace(name: str) -> None:
    track, data = MALFORMED[name]
    ring = Ring()
    muxer = TsMuxer(ring, [VIDEO, AUDIO])
    good = interleave(video_frames(25, 1), audio_frames(1))
    for index, frame in enumerate(good):
        muxer.write_frame(track, frame.dts + 90_000_000, frame.dts, KEY, data)
        assert (muxer.malformed, ring.head) == (index + 1, index)
        muxer.write_frame(frame.track, frame.dts, frame.pts, frame.flags, frame.data)
    assert shared(ring) == shared(mux([VIDEO, AUDIO], good))


def test_times_outside_the_engine_are_malformed() -> None:
    ring = Ring()
    muxer = TsMuxer(ring, [AUDIO])
    for dts, pts in (((1 << 63) - 1, 0), (-(1 << 63), 0), (0, (1 << 63) - 1), (0, -(1 << 63))):
        muxer.write_frame(9, dts, pts, 0, b"\x21")
    assert (muxer.malformed, ring.head) == (4, 0)


def test_a_frame_shown_before_it_is_decoded_gets_one_stamp() -> None:
    seen = parse(shared(mux([VIDEO], [Frame(5, 9000, 8100, KEY, lengths(IDR))])))
    assert (seen.pes[0].pts, seen.pes[0].dts) == (8100 + DELAY, 8100 + DELAY)


def test_frames_of_other_tracks_are_passed_over() -> None:
    ring = mux([VIDEO], [Frame(77, 0, 0, KEY, b"\xff"), Frame(5, 0, 0, KEY, lengths(IDR))])
    assert ring.head == 1


def test_discontinuity_reaches_the_span() -> None:
    ring = mux([VIDEO], [Frame(5, 0, 0, KEY | DISCONTINUITY, lengths(IDR)), Frame(5, 3600, 3600, 0, lengths(SLICE))])
    assert [ring.span(seq)[4] for seq in range(2)] == [SPAN_KEY | SPAN_DISCONTINUITY, 0]


# Tracks and configs


def test_config_frame_replaces_the_config() -> None:
    other_sps = b"\x67\x42\xc0\x1f\xd9\x05"
    config = bytearray(nal.build_avcc([other_sps], [OTHER_PPS]))
    config[4] = 0xFD
    ring = Ring()
    muxer = TsMuxer(ring, [VIDEO, AUDIO])
    muxer.write_frame(5, 0, 0, KEY, lengths(IDR))
    muxer.write_frame(5, 3600, 3600, CONFIG, bytes(config))
    muxer.write_frame(9, 3600, 3600, CONFIG, nal.build_asc(2, 22050, 1))
    assert ring.head == 1
    muxer.write_frame(5, 3600, 3600, KEY, len(IDR).to_bytes(2, "big") + IDR)
    muxer.write_frame(9, 3600, 3600, 0, b"\x21\x22")
    seen = parse(shared(ring))
    assert seen.pes[1].payload == annexb([b"\x09\xf0", other_sps, OTHER_PPS, IDR])
    assert seen.pes[2].payload == nal.build_adts(nal.build_asc(2, 22050, 1), 2) + b"\x21\x22"
    for track, damaged in ((5, config[:-3]), (5, b""), (9, b"\xff"), (9, nal.build_asc(42, 48000, 2))):
        with pytest.raises(MediaError, match=rf"^track {track} \((H264|AAC)\): "):
            muxer.write_frame(track, 7200, 7200, CONFIG, bytes(damaged))
    muxer.write_frame(5, 7200, 7200, KEY, len(IDR).to_bytes(2, "big") + IDR)
    assert parse(ring.read(3)).pes[0].payload == seen.pes[1].payload


REFUSED = {
    "AV1": ([Track(4, Codec.AV1)], r"track 4 \(AV1\): MPEG-TS output carries H264, HEVC, AAC"),
    "FLAC": ([VIDEO, Track(4, Codec.FLAC)], r"track 4 \(FLAC\)"),
    "Opus 5.1": ([Track(4, Codec.OPUS, channels=6)], r"track 4 \(OPUS\): expected 1 or 2 channels, got 6"),
    "no config": ([Track(4, Codec.H264)], r"track 4 \(H264\): avcC ends early"),
    "no AudioSpecificConfig": ([Track(4, Codec.AAC)], r"track 4 \(AAC\): AudioSpecificConfig ends early"),
    "AAC with a PCE": (
        [Track(4, Codec.AAC, config=nal.build_asc(2, 48000, 0))],
        r"track 4 \(AAC\): .*configurations 1 to 7",
    ),
    "nothing": ([], "one or more tracks"),
    "one id twice": ([VIDEO, Track(5, Codec.AAC, config=AUDIO.config)], "distinct ids"),
    "33 audio tracks": ([Track(i, Codec.AAC, config=AUDIO.config) for i in range(33)], r"track 32 \(AAC\): at most 32"),
    "PMT too long": ([Track(i, Codec.AC3) for i in range(100)], "table 0x02 needs 1113 bytes, at most 1021"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_tracks(name: str) -> None:
    tracks, words = REFUSED[name]
    with pytest.raises(MediaError, match=words):
        TsMuxer(Ring(), tracks)


def test_many_tracks_need_a_pmt_of_several_packets() -> None:
    audios = [Track(20 + index, Codec.EAC3 if index % 2 else Codec.AAC, config=AUDIO.config) for index in range(30)]
    tracks = [*audios, VIDEO]
    frames = interleave(video_frames(25, 1), *[audio_frames(1, track=track.id) for track in audios])
    seen = parse(shared(mux(tracks, frames)))
    assert seen.continuity_errors == 0
    assert crc32(seen.sections[PMT_PID][0][1]) == 0
    expected = [(0x1B, FIRST_PID, b"")]
    for index in range(30):
        row = (0x87, b"\x05\x04EAC3") if index % 2 else (0x0F, b"")
        expected.append((row[0], FIRST_PID + 1 + index, row[1]))
    assert pmt_streams(seen) == expected
    assert sorted({pes.stream_id for pes in seen.pes}) == [0xBD, *range(0xC0, 0xCF), 0xE0]


def test_two_videos_have_one_clock_and_one_key() -> None:
    frames = interleave(
        video_frames(25, 2), [Frame(6, f.dts, f.pts, KEY, lengths(HEVC_IDR)) for f in video_frames(25, 2)]
    )
    ring = mux([HEVC, VIDEO], frames)
    seen = parse(shared(ring))
    check_clock_and_tables(seen)
    assert {frames[seq].track for seq in key_spans(ring)} == {5}
    assert {(pes.pid, pes.stream_id) for pes in seen.pes} == {(FIRST_PID, 0xE0), (FIRST_PID + 1, 0xE1)}


def test_another_pmt_has_another_version() -> None:
    versions = set()
    for tracks in ([VIDEO], [VIDEO, AUDIO], [AUDIO]):
        frame = Frame(tracks[0].id, 0, 0, KEY, lengths(IDR))
        versions.add(parse(shared(mux(tracks, [frame]))).sections[PMT_PID][0][1][5])
    assert len(versions) == 3
    assert all(version & 0xC1 == 0xC1 for version in versions)


@pytest.mark.parametrize(
    ("service", "coded"), [("Studio 3", b"\x08Studio 3"), ("Übung", b"\x07\x15" + "Übung".encode())]
)
def test_service_name(service: str, coded: bytes) -> None:
    ring = Ring()
    TsMuxer(ring, [AUDIO], service=service).write_frame(9, 0, 0, 0, b"\x21")
    section = parse(ring.read(0)).sections[SDT_PID][0][1]
    assert section.endswith(coded + section[-4:])


def test_service_name_too_long() -> None:
    with pytest.raises(ValueError, match="at most 200"):
        TsMuxer(Ring(), [AUDIO], service="x" * 201)


@given(
    st.lists(
        st.tuples(st.sampled_from([5, 6, 9]), st.integers(-90 * 250, 90 * 250), st.integers(1, 2000), st.booleans()),
        min_size=1,
        max_size=60,
    ),
    st.integers(0, 40000),
)
@settings(deadline=None, max_examples=100)
def test_any_interleaving(steps: list[tuple[int, int, int, bool]], start: int) -> None:
    """Whatever order tracks arrive in: packets and access units are whole, the PCR grows, every key is a start."""
    frames, now = [], {5: start, 6: start, 9: start}
    clock = start
    for track, jitter, size, key in steps:
        clock += 1800
        now[track] = max(now[track] + 1, clock + jitter)
        body = {5: b"\x65" if key else b"\x41", 6: b"\x26\x01" if key else b"\x02\x01", 9: b"\x21"}[
            track
        ] + b"\x77" * size
        data = body if track == 9 else lengths(body)
        frames.append(Frame(track, now[track], now[track] + size, KEY if key else 0, data))
    tracks = [VIDEO, HEVC, AUDIO]
    ring = mux(tracks, frames)
    seen = parse(shared(ring))
    assert seen.continuity_errors == 0
    by_id = {track.id: track for track in tracks}
    assert [pes.payload for pes in seen.pes] == [expected_payload(by_id[frame.track], frame) for frame in frames]
    pcrs = unwrap((pcr for _, pcr in seen.pcrs), 300 << 33)
    assert all(a < b for a, b in pairwise(pcrs))
    for seq in key_spans(ring):
        assert parse(ring.read_lead(seq) + shared(ring, seq)).continuity_errors == 0
