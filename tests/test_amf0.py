"""AMF0: golden bytes, limits, hostile input."""

from __future__ import annotations

import math
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pushcast.errors import LocalProtocolError, RemoteProtocolError
from pushcast.rtmp.amf0 import Date, EcmaArray, Value, decode, encode

CORPUS = Path(__file__).parent / "corpus" / "rtmp"
READABLE = {"amf0-latin1-key.bin", "amf0-no-end-marker.bin"}
LONG = "ü" * 40000  # 80000 bytes

# value, bytes: both directions
BOTH: list[tuple[Value, str]] = [
    (3.5, "00 400c000000000000"),
    (-0.0, "00 8000000000000000"),
    (True, "01 01"),
    (False, "01 00"),
    ("", "02 0000"),
    ("schön", "02 0006 736368c3b66e"),
    ({}, "03 000009"),
    ({"a": 1.0, "ß": None}, "03 0001 61 00 3ff0000000000000 0002 c39f 05 000009"),
    (None, "05"),
    (EcmaArray(k=True), "08 00000001 0001 6b 01 01 000009"),
    ([], "0a 00000000"),
    (["x", [2.0]], "0a 00000002 02 0001 78 0a 00000001 00 4000000000000000"),
    (Date(1.5), "0b 3ff8000000000000 0000"),
    (LONG, "0c 00013880" + LONG.encode().hex()),
]

# bytes, value: what peers send and we never do
READ_ONLY: list[tuple[str, Value]] = [
    ("01 07", True),
    ("06", None),
    ("0d", None),
    ("0f 00000002 3c3e", "<>"),
    ("10 0003 466f6f 0001 61 01 01 000009", {"a": True}),
    ("0b 3ff8000000000000 ffc4", Date(1.5)),
    ("08 00000063 0001 6b 05 000009", EcmaArray(k=None)),
    ("08 00000001 0001 6b 05", EcmaArray(k=None)),
    ("03 0000 05 000009", {"": None}),
    ("02 0002 e9e8", "��"),
    ("03 0001 61 05 0001 61 01 01 000009", {"a": True}),
]

REFUSED = [
    ("00 40", "expected 8 bytes at offset 1, got 1"),
    ("02 0005 61", "expected 5 bytes at offset 3, got 1"),
    ("03 0001 61 05", "expected 2 bytes"),
    ("04", "marker at offset 0, got 0x04"),
    ("05 11 0a", "marker at offset 1, got 0x11"),
    ("07 0000", "got 0x07"),
    ("09", "got 0x09"),
    ("0a 00000003 05 05", "expected 3 values in an array, got 2 bytes"),
    ("0a 00000001" * 18 + "05", "at most 16 levels"),
    ("03 0001 61" * 18, "at most 16 levels"),
    ("05" * 4097, "at most 4096 values"),
    ("0c ffffffff", "expected 4294967295 bytes"),
    ("02 ffff" + "61" * (256 * 1024), "at most 262144 bytes, got 262147"),
]


@pytest.mark.parametrize(("value", "wire"), BOTH, ids=[case[1][:30] for case in BOTH])
def test_encodes_and_decodes(value: Value, wire: str) -> None:
    data = bytes.fromhex(wire)
    assert encode(value) == data
    got = decode(data)
    assert got == [value]
    assert type(got[0]) is type(value)
    assert decode(data + b"\x01\x01") == [value, True]


@pytest.mark.parametrize(("value", "wire"), BOTH, ids=[case[1][:30] for case in BOTH])
def test_every_cut_is_refused(value: Value, wire: str) -> None:
    data = bytes.fromhex(wire)
    for cut in range(1, min(len(data), 40)):
        if isinstance(value, EcmaArray) and decodes(data[:cut]):
            continue  # an ECMA array may end with the payload
        with pytest.raises(RemoteProtocolError):
            decode(data[:cut])


def decodes(data: bytes) -> bool:
    try:
        decode(data)
    except RemoteProtocolError:
        return False
    return True


@pytest.mark.parametrize(("wire", "value"), READ_ONLY)
def test_takes_what_peers_send(wire: str, value: Value) -> None:
    assert decode(bytes.fromhex(wire)) == [value]


@pytest.mark.parametrize(("wire", "words"), REFUSED, ids=[case[1] for case in REFUSED])
def test_refuses(wire: str, words: str) -> None:
    with pytest.raises(RemoteProtocolError, match=words):
        decode(bytes.fromhex(wire))


def test_whole_numbers_are_numbers() -> None:
    assert encode(7) == encode(7.0)
    assert encode(7, "x", None) == encode(7) + encode("x") + encode(None)


def test_what_amf0_cannot_hold_is_our_own_error() -> None:
    nested: list[Value] = []
    for _ in range(20):
        nested = [nested]
    for value in (b"bytes", object(), nested, {"k" * 70000: None}):
        with pytest.raises(LocalProtocolError):
            encode(value)  # type: ignore[arg-type]


VALUES: st.SearchStrategy[Value] = st.recursive(
    st.none()
    | st.booleans()
    | st.floats(allow_nan=False)
    | st.text(max_size=20)
    | st.floats(allow_nan=False).map(Date),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=8), inner, max_size=4)
        | st.dictionaries(st.text(max_size=8), inner, max_size=4).map(EcmaArray)
    ),
    max_leaves=12,
)


@settings(deadline=None, max_examples=200)
@given(st.lists(VALUES, max_size=4))
def test_decode_undoes_encode(values: list[Value]) -> None:
    assert decode(encode(*values)) == values


def test_not_a_number_comes_through() -> None:
    (got,) = decode(b"\0" + struct.pack(">d", math.nan))
    assert isinstance(got, float)
    assert math.isnan(got)


@settings(deadline=None, max_examples=400)
@given(st.binary(max_size=400))
def test_random_bytes_are_refused_or_read(data: bytes) -> None:
    decodes(data)


@settings(deadline=None, max_examples=300)
@given(st.lists(VALUES, min_size=1, max_size=3), st.data())
def test_damaged_values_are_refused_or_read(values: list[Value], data: st.DataObject) -> None:
    wire = bytearray(encode(*values))
    for _ in range(data.draw(st.integers(1, 4))):
        wire[data.draw(st.integers(0, len(wire) - 1))] = data.draw(st.integers(0, 17))
    decodes(bytes(wire))


@pytest.mark.parametrize("path", sorted(CORPUS.glob("amf0-*.bin")), ids=lambda path: path.name)
def test_corpus(path: Path) -> None:
    assert decodes(path.read_bytes()) == (path.name in READABLE)
