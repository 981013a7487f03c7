"""A strict parser of transport streams; tracks and frames to make them of, and what must come out."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from pushcast import aac, nal, videoconfig
from pushcast.media import Codec, Kind, Track
from pushcast.mpegts import TsMuxer
from pushcast.ring import Ring
from pushcast.tsoptions import TsOptions

KEY, CONFIG, DISCONTINUITY = 1, 2, 4
SPAN_KEY, SPAN_DISCONTINUITY = 1, 4
MS = 27000
DELAY = 300 * 90
STREAM_IDS = {Codec.AC3: 0xBD, Codec.EAC3: 0xBD, Codec.OPUS: 0xBD}
PAT_PID, SDT_PID, PMT_PID, FIRST_PID, NULL_PID = 0x0000, 0x0011, 0x1000, 0x0100, 0x1FFF


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
    last_packet: int = 0


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


def parse(data: bytes, section_pids: Iterable[int] = ()) -> Transport:
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
        if pid == NULL_PID:
            assert packet[3:] == b"\x10" + b"\xff" * 184
            seen.pids.append(pid)
            seen.packets += 1
            continue
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
        if has_payload and pid in (PAT_PID, PMT_PID, SDT_PID, *section_pids):
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
        if pid in running and has_payload:
            running[pid].last_packet = seen.packets
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


def mux(
    tracks: Sequence[Track], frames: Iterable[Frame], delay_ms: int = 300, options: TsOptions | None = None
) -> Ring:
    ring = Ring(start_bytes=16 << 20)
    muxer = TsMuxer(ring, tracks, options or TsOptions(decode_delay_ms=delay_ms))
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
VIDEO = Track(5, Codec.H264, config=videoconfig.build_avcc([AVC_SPS], [AVC_PPS]))
HEVC = Track(6, Codec.HEVC, config=videoconfig.build_hvcc(*[[unit] for unit in HEVC_SETS]))
AUDIO = Track(9, Codec.AAC, config=aac.build_asc(2, 44100, 2))


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


# What must come out


def expected_payload(track: Track, frame: Frame) -> bytes:
    """The PES payload by the rules, written down a second time: whole units, no cursor, no counting."""
    if track.codec is Codec.AAC:
        return aac.build_adts(track.config, len(frame.data)) + frame.data
    if track.codec is Codec.OPUS:
        return b"\x7f\xe0" + b"\xff" * (len(frame.data) // 255) + bytes([len(frame.data) % 255]) + frame.data
    if track.kind is Kind.AUDIO:
        return frame.data
    avc = track.codec is Codec.H264
    config = videoconfig.parse_avcc(track.config) if avc else videoconfig.parse_hvcc(track.config)
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
