"""Sections out of packets: whole, byte by byte, several in one packet, over many, and with a tail."""

from __future__ import annotations

import build_ts
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pushcast.errors import MediaError
from pushcast.psi import read_pat, read_pmt
from pushcast.psisection import crc32, sections

ONE, TWO = build_ts.section(2, 5, bytes(40)), build_ts.section(0xFC, 9, bytes(range(200)))


def test_crc() -> None:
    assert crc32(ONE) == 0
    assert crc32(ONE[:-4]) == build_ts.crc32(ONE[:-4]) == int.from_bytes(ONE[-4:])
    assert crc32(b"") == 0xFFFFFFFF


@pytest.mark.parametrize("room", [3, 5, 50, 184])
def test_sections_in_pieces(room: int) -> None:
    """Both in a row, then stuffing; only the first payload has a pointer_field."""
    data = ONE + TWO + b"\xff" * 20
    pieces = [data[at : at + room] for at in range(0, len(data), room)]
    payloads = [(b"\0" + pieces[0], True), *((piece, False) for piece in pieces[1:])]
    assert sections(payloads) == ([ONE, TWO], 0)


@given(cut=st.integers(1, len(TWO) - 1))
def test_the_end_of_one_before_the_beginning_of_the_next(cut: int) -> None:
    rest = TWO[cut:]
    payloads = [(b"\0" + TWO[:cut], True), (bytes((len(rest),)) + rest + ONE + b"\xff" * 9, True)]
    assert sections(payloads) == ([TWO, ONE], 0)


@pytest.mark.parametrize(
    ("payloads", "found", "bad"),
    [
        ([(b"", True)], [], 1),
        ([(b"\x05\0", True)], [], 1),
        ([(ONE, False)], [], 0),
        ([(b"\0\x02\xb0\x00", True)], [], 1),
        ([(b"\0\x02\xff\xff" + bytes(100), True)], [], 1),
        ([(b"\0" + ONE[:10], True), (b"\0" + TWO, True)], [TWO], 0),
    ],
    ids=["nothing", "pointer behind the end", "never begun", "length 0", "longer than any", "begun anew"],
)
def test_odd_payloads(payloads: list[tuple[bytes, bool]], found: list[bytes], bad: int) -> None:
    assert sections(payloads, 1024) == (found, bad)


def test_a_longer_one_than_allowed() -> None:
    long = build_ts.section(2, 5, bytes(2000))
    assert sections([(b"\0" + long, True)]) == ([long], 0)
    assert sections([(b"\0" + long, True)], 1024)[0] == []


def test_tables_are_read() -> None:
    assert read_pat(build_ts.pat()) == [(5, build_ts.PMT)]
    network_reserved_null = b"\0\0\xe0\x10\0\x01\xe0\x05\0\x02\xff\xff"
    assert read_pat(build_ts.section(0, 77, network_reserved_null)) == []
    streams = read_pmt(build_ts.pmt({0x131: 0x1B, 0x132: 0x0F}, b"\x05\x04CUEI"))
    assert [tuple(each) for each in streams] == [(0x1B, 0x131, b""), (0x0F, 0x132, b"")]
    with pytest.raises(MediaError, match="its streams end at byte"):
        read_pmt(build_ts.section(2, 5, b"\xe1\x31\xf0\x00\x1b\xe1\x31\xf0\x09"))
