"""PES packets as TsMuxer writes them: access units come out whole and by the rules, malformed ones leave no trace."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from read_ts import (
    AUDIO,
    AVC_PPS,
    AVC_SPS,
    DELAY,
    HEVC,
    HEVC_SETS,
    IDR,
    KEY,
    SLICE,
    VIDEO,
    Frame,
    annexb,
    audio_frames,
    check_clock_and_tables,
    check_frames,
    interleave,
    key_spans,
    lengths,
    mux,
    parse,
    shared,
    video_frames,
)

from pushcast.media import Codec, Track
from pushcast.mpegts import TsMuxer
from pushcast.ring import Ring

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


def test_a_frame_shown_before_it_is_decoded_gets_one_stamp() -> None:
    seen = parse(shared(mux([VIDEO], [Frame(5, 9000, 8100, KEY, lengths(IDR))])))
    assert (seen.pes[0].pts, seen.pes[0].dts) == (8100 + DELAY, 8100 + DELAY)
