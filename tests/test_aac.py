"""AudioSpecificConfig and ADTS: one table for both directions, then hostile bytes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hostile_bytes import check_damage, check_truncations
from hypothesis import given, settings
from hypothesis import strategies as st

from pushcast import aac
from pushcast.errors import MediaError


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: aac.build_asc(2, 1 << 24, 2), "does not fit 24 bits"),
        (lambda: aac.build_asc(2, 48000, 9), "channel configuration 9 is reserved"),
        (lambda: aac.build_asc(31, 48000, 2), "audio object type 31"),
        (lambda: aac.build_adts(bytes.fromhex("1190"), 8185), "1 to 8184 fit"),
        (lambda: aac.build_adts(bytes.fromhex("1190"), 0), "1 to 8184 fit"),
        (lambda: aac.build_adts(aac.build_asc(2, 47999, 2), 100), "no frequency index for 47999 Hz"),
        (lambda: aac.build_adts(aac.build_asc(42, 48000, 2), 100), "object types 1 to 4, got 42"),
        (lambda: aac.build_adts(aac.build_asc(2, 48000, 0), 100), "channel configurations 1 to 7, got 0"),
    ],
)
def test_refusals_say_what_is_wrong(build: Callable[[], object], words: str) -> None:
    with pytest.raises(MediaError, match=words):
        build()


def _fields(*fields: tuple[int, int]) -> bytes:
    """(bits, value) one after the other, filled up with zeros to whole bytes."""
    text = "".join(f"{value:0{bits}b}" for bits, value in fields)
    text += "0" * (-len(text) % 8)
    return int(text, 2).to_bytes(len(text) // 8, "big")


LC_24K_STEREO = ((5, 2), (4, 6), (4, 2), (3, 0))
LC_24K_MONO = ((5, 2), (4, 6), (4, 1), (3, 0))
# ISO 14496-3 1.6.2.1: bytes, then object type, output rate, channels, frequency index, channel configuration, sbr, ps.
ASC = {
    "48 kHz stereo": (b"\x11\x90", aac.AudioConfig(2, 48000, 2, 3, 2)),
    "44.1 kHz stereo": (b"\x12\x10", aac.AudioConfig(2, 44100, 2, 4, 2)),
    "7.1": (b"\x11\xb8", aac.AudioConfig(2, 48000, 8, 3, 7)),
    "main, mono": (_fields((5, 1), (4, 7), (4, 1)), aac.AudioConfig(1, 22050, 1, 7, 1)),
    "escape": (_fields((5, 31), (6, 10), (4, 3), (4, 2)), aac.AudioConfig(42, 48000, 2, 3, 2)),
    "explicit rate": (_fields((5, 2), (4, 15), (24, 96001), (4, 2)), aac.AudioConfig(2, 96001, 2, 15, 2)),
    "explicit rate with an index": (_fields((5, 2), (4, 15), (24, 32000), (4, 1)), aac.AudioConfig(2, 32000, 1, 5, 1)),
    "SBR around LC": (_fields((5, 5), (4, 6), (4, 2), (4, 3), (5, 2)), aac.AudioConfig(2, 48000, 2, 6, 2, True)),
    "PS around LC": (_fields((5, 29), (4, 7), (4, 1), (4, 4), (5, 2)), aac.AudioConfig(2, 44100, 2, 7, 1, True, True)),
    "SBR, explicit rate": (
        _fields((5, 5), (4, 6), (4, 2), (4, 15), (24, 47000), (5, 2)),
        aac.AudioConfig(2, 47000, 2, 6, 2, True),
    ),
    "sync extension": (
        _fields(*LC_24K_STEREO, (11, 0x2B7), (5, 5), (1, 1), (4, 3)),
        aac.AudioConfig(2, 48000, 2, 6, 2, True),
    ),
    "sync extension with PS": (
        _fields(*LC_24K_MONO, (11, 0x2B7), (5, 5), (1, 1), (4, 3), (11, 0x548), (1, 1)),
        aac.AudioConfig(2, 48000, 2, 6, 1, True, True),
    ),
    "sync extension without SBR": (
        _fields(*LC_24K_STEREO, (11, 0x2B7), (5, 5), (1, 0)),
        aac.AudioConfig(2, 24000, 2, 6, 2),
    ),
    "another extension": (
        _fields(*LC_24K_STEREO, (11, 0x2B6), (5, 5), (1, 1), (4, 3)),
        aac.AudioConfig(2, 24000, 2, 6, 2),
    ),
}
# program_config_element, 4.4.1.1: front pair and centre, back pair, two LFE, one of data, one coupled; all mixdowns.
PCE_FIELDS = (
    *((4, 9), (2, 1), (4, 3), (4, 2), (4, 0), (4, 1), (2, 2), (3, 1), (4, 1)),
    *((1, 1), (4, 5), (1, 1), (4, 6), (1, 1), (3, 7)),
    *((1, 1), (4, 0), (1, 0), (4, 0), (1, 1), (4, 1), (4, 0), (4, 1), (4, 3), (1, 1), (4, 4)),
)
PCE = _fields((3, 5), *PCE_FIELDS) + b"\x05hello"
QUAD_PCE = bytes.fromhex("a098808004220d4c61766335392e33372e313030")
LC_48K_BY_PCE = ((5, 2), (4, 3), (4, 0), (3, 0))
BY_PCE = {
    "quadraphonic, of ffmpeg": (
        bytes.fromhex("118004c4040021100d4c61766335392e33372e313030"),
        aac.AudioConfig(2, 48000, 4, 3, 0, program_config=QUAD_PCE),
    ),
    "everything an element may have": (
        _fields(*LC_48K_BY_PCE, *PCE_FIELDS) + b"\x05hello",
        aac.AudioConfig(2, 48000, 7, 3, 0, program_config=PCE),
    ),
    "an explicit rate": (
        _fields((5, 2), (4, 15), (24, 96001), (4, 0), (3, 0), *PCE_FIELDS) + b"\x05hello",
        aac.AudioConfig(2, 96001, 7, 15, 0, program_config=PCE),
    ),
}
ASC |= BY_PCE | {
    "an element, then SBR": (
        _fields(*LC_48K_BY_PCE, *PCE_FIELDS) + b"\0" + _fields((11, 0x2B7), (5, 5), (1, 1), (4, 0)),
        aac.AudioConfig(2, 96000, 7, 3, 0, True, program_config=_fields((3, 5), *PCE_FIELDS) + b"\0"),
    ),
    "SBR around LC with an element": (
        _fields((5, 5), (4, 6), (4, 0), (4, 3), (5, 2), (3, 0), *PCE_FIELDS) + b"\x05hello",
        aac.AudioConfig(2, 48000, 7, 6, 0, True, program_config=PCE),
    ),
    "channels that nothing tells": (_fields(*LC_48K_BY_PCE), aac.AudioConfig(2, 48000, 0, 3, 0)),
}
BUILT = ("48 kHz stereo", "44.1 kHz stereo", "7.1", "main, mono", "escape", "explicit rate")


@pytest.mark.parametrize("name", ASC)
def test_audio_specific_config(name: str) -> None:
    data, config = ASC[name]
    assert aac.parse_asc(data) == config
    if name in BUILT:
        assert aac.build_asc(config.object_type, config.sample_rate, config.channel_config) == data
    if name in BY_PCE:
        tail = b"the rest of the frame"
        built = aac.build_asc(config.object_type, config.sample_rate, 0, config.program_config + tail)
        assert built == data


def test_adts_by_program_config_element() -> None:
    """The first element of the frame tells the channels; a frame that begins otherwise does not."""
    asc = BY_PCE["quadraphonic, of ffmpeg"][0]
    for frame, said in ((QUAD_PCE + b"\x21rest", asc), (b"\x21rest", b"")):
        header = aac.build_adts(asc, len(frame))
        assert aac.parse_adts(header + frame) == aac.AdtsHeader(said, 7, len(frame) + 7)
    with pytest.raises(MediaError, match="expected a program_config_element"):
        aac.build_asc(2, 48000, 0, b"\x21rest")
    with pytest.raises(MediaError, match="program_config_element ends early"):
        aac.parse_adts(aac.build_adts(asc, 9) + QUAD_PCE[:9])


@given(st.integers(1, 4), st.sampled_from([7350, 12000, 44100, 96000]), st.integers(1, 7), st.integers(1, 8184))
@settings(deadline=None, max_examples=60)
def test_adts_both_ways(object_type: int, rate: int, channel_config: int, size: int) -> None:
    asc = aac.build_asc(object_type, rate, channel_config)
    header = aac.build_adts(asc, size)
    assert aac.parse_adts(header + b"tail") == aac.AdtsHeader(asc, 7, size + 7)
    with_crc = bytes([header[0], header[1] & 0xFE]) + header[2:] + b"\x12\x34"
    if size > 2:
        assert aac.parse_adts(with_crc).header_size == 9


def test_adts_by_hand() -> None:
    """LC, 48 kHz, stereo, 300 bytes: ISO 14496-3 1.A.2.2."""
    assert aac.build_adts(bytes.fromhex("1190"), 300).hex() == "fff14c80267ffc"


PARSERS: dict[str, tuple[Callable[[bytes], object], bytes]] = {
    "ASC": (aac.parse_asc, ASC["sync extension with PS"][0]),
    "ASC with an element": (aac.parse_asc, BY_PCE["everything an element may have"][0]),
    "ADTS with an element": (aac.parse_adts, aac.build_adts(BY_PCE["quadraphonic, of ffmpeg"][0], 20) + QUAD_PCE),
    "ADTS": (aac.parse_adts, bytes.fromhex("fff14c80267ffc")),
}


@pytest.mark.parametrize("name", PARSERS)
def test_every_truncation(name: str) -> None:
    check_truncations(*PARSERS[name])


@pytest.mark.parametrize("name", PARSERS)
@given(data=st.data())
@settings(deadline=None, max_examples=150)
def test_damaged_and_random_bytes(name: str, data: st.DataObject) -> None:
    check_damage(*PARSERS[name], data)
