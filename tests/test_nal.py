"""NAL units: splitting, joining, roles, then hostile bytes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hostile_bytes import check_damage, check_truncations
from hypothesis import given, settings
from hypothesis import strategies as st
from parameter_sets import PPS, SPS

from pushcast import nal
from pushcast.errors import MediaError
from pushcast.media import Codec

H264, HEVC = Codec.H264, Codec.HEVC


UNITS = {
    "one": [b"\x65\x11\x22"],
    "sets and slice": [SPS, PPS, b"\x65\x88\x84\x00\x00\x03\x01"],
    "slices": [b"\x41\x9a" + bytes([7]) * 300, b"\x41\x9b\x01"],
}


@pytest.mark.parametrize("units", UNITS.values(), ids=UNITS)
@pytest.mark.parametrize("start", [b"\0\0\1", b"\0\0\0\1"], ids=["3", "4"])
@pytest.mark.parametrize("tail", [b"", b"\0\0\0"], ids=["bare", "trailing zeros"])
def test_annexb_and_lengths(units: list[bytes], start: bytes, tail: bytes) -> None:
    annexb = b"".join(start + unit for unit in units) + tail
    lengths = b"".join(len(unit).to_bytes(4, "big") + unit for unit in units)
    assert nal.split_annexb(annexb) == units
    assert nal.annexb_to_lengths(memoryview(annexb)) == lengths
    assert nal.split_lengths(lengths) == units
    assert nal.lengths_to_annexb(lengths) == b"".join(b"\0\0\0\1" + unit for unit in units)


@pytest.mark.parametrize("size", [1, 2, 4])
def test_length_sizes(size: int) -> None:
    units = [b"\x67\x42", b"", b"\x65" + bytes([3]) * 90]
    data = b"".join(len(unit).to_bytes(size, "big") + unit for unit in units)
    assert nal.split_lengths(data, size) == [units[0], units[2]]
    for cut in range(1, len(data)):
        if cut not in (size + 2, 2 * size + 2):
            with pytest.raises(MediaError, match="runs over its end"):
                nal.split_lengths(data[:cut], size)


@pytest.mark.parametrize("size", [0, 3, 5])
def test_length_size_3_is_refused(size: int) -> None:
    with pytest.raises(MediaError, match="expected 1, 2 or 4"):
        nal.split_lengths(b"\0\0\0\1\x65", size)


ROLES = {
    (H264, 9): "aud",
    (H264, 7): "sps",
    (H264, 8): "pps",
    (H264, 5): "key",
    (HEVC, 35): "aud",
    (HEVC, 32): "vps",
    (HEVC, 33): "sps",
    (HEVC, 34): "pps",
    **{(HEVC, kind): "key" for kind in range(16, 22)},
}


@pytest.mark.parametrize("codec", [H264, HEVC])
def test_roles(codec: Codec) -> None:
    """Every type of both codecs; what stands in no row of the table has no role."""
    for kind in range(32 if codec is H264 else 64):
        unit = bytes([0x60 | kind]) if codec is H264 else bytes([kind << 1, 1])
        data = len(unit).to_bytes(2, "big") + unit
        role = ROLES.get((codec, kind))
        assert nal.nal_unit_type(codec, unit) == kind
        assert nal.access_unit_roles(codec, 2, data) == ({role} if role else set())
        assert nal.is_keyframe(codec, 2, data) == (role == "key")


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: nal.split_annexb(b"\x65\0\0\1\x65"), "does not begin with a start code"),
        (lambda: nal.split_annexb(bytes(9)), "no start code"),
        (lambda: nal.nal_unit_type(H264, b""), "empty NAL unit"),
    ],
)
def test_refusals_say_what_is_wrong(build: Callable[[], object], words: str) -> None:
    with pytest.raises(MediaError, match=words):
        build()


PARSERS: dict[str, tuple[Callable[[bytes], object], bytes]] = {
    "Annex B": (nal.split_annexb, b"\0\0\0\1" + SPS + b"\0\0\1" + PPS),
    "lengths": (nal.split_lengths, b"\0\0\0\6" + PPS + b"\0\0\0\2\x41\x9a"),
    "keyframe": (lambda data: nal.is_keyframe(HEVC, 2, data), b"\0\2\x26\1\0\3\x40\1\2"),
}


@pytest.mark.parametrize("name", PARSERS)
def test_every_truncation(name: str) -> None:
    check_truncations(*PARSERS[name])


@pytest.mark.parametrize("name", PARSERS)
@given(data=st.data())
@settings(deadline=None, max_examples=150)
def test_damaged_and_random_bytes(name: str, data: st.DataObject) -> None:
    check_damage(*PARSERS[name], data)


_UNIT = st.binary(min_size=1, max_size=40).filter(lambda unit: b"\0\0" not in unit and unit[-1] != 0)


@given(st.lists(_UNIT, min_size=1, max_size=6))
@settings(deadline=None, max_examples=100)
def test_split_annexb_is_the_inverse_of_joining(units: list[bytes]) -> None:
    # No NAL unit begins with a zero byte: it would belong to the start code.
    units = [b"\x41" + unit for unit in units]
    assert nal.split_annexb(b"".join(b"\0\0\1" + unit for unit in units)) == units


@given(st.lists(st.binary(min_size=1, max_size=255), max_size=8), st.sampled_from([1, 2, 4]))
def test_any_units_come_back_from_any_lengths(units: list[bytes], size: int) -> None:
    data = b"".join(len(unit).to_bytes(size, "big") + unit for unit in units)
    assert nal.split_lengths(data, size) == units
    assert len(nal.lengths_to_annexb(data, size)) == len(data) + (4 - size) * len(units)
