"""AudioParser: frames out of PES packets that hold several or parts of some; whole, byte by byte, and with a tail."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ts_frames import ac3_frame, eac3_frame, mp3_frame, opus_packet

from pushcast import aac
from pushcast.audioparser import (
    Ac3Parser,
    AdtsParser,
    AudioParser,
    LatmParser,
    MpegAudioParser,
    OpusParser,
    audio_facts,
)
from pushcast.errors import MediaError
from pushcast.media import Codec, Track
from pushcast.opus import opus_head
from pushcast.source import Clock, Source

ASC = aac.build_asc(2, 48000, 2)


def adts(number: int) -> bytes:
    payload = bytes([number + 1]) * (90 + number)
    return aac.build_adts(ASC, len(payload)) + payload


def latm(number: int, *, config: bool = True, asc: bytes = ASC) -> bytes:
    """An AudioSyncStream with a StreamMuxConfig of one program, one layer: ISO 14496-3 1.7.2, by hand."""
    payload = bytes([number + 1]) * (90 + number)
    bits = "0" if config else "1"
    if config:
        bits += "0" + "1" + "000000" + "0000" + "000"  # version 0, same framing, one frame, one program, one layer
        bits += "".join(f"{byte:08b}" for byte in asc) + "000" + "11111111" + "0" + "0"
    bits += "1" * 8 * (len(payload) // 255) + f"{len(payload) % 255:08b}" + "".join(f"{byte:08b}" for byte in payload)
    bits += "0" * (-len(bits) % 8)
    element = int(bits, 2).to_bytes(len(bits) // 8)
    return (0x2B7 << 13 | len(element)).to_bytes(3) + element


def opus(number: int) -> bytes:
    packet = opus_packet(number)
    return b"\x7f\xe0" + b"\xff" * (len(packet) // 255) + bytes([len(packet) % 255]) + packet


Made = Callable[[int], bytes]
# (parser, frame as it lies in a PES packet, as it goes out, ticks, codec, config, facts)
KINDS: dict[str, tuple[Callable[[Source], AudioParser], Made, Made, int, Codec, bytes, dict[str, int]]] = {
    "ADTS": (
        lambda source: AdtsParser(source, 0, Codec.AAC),
        adts,
        lambda number: adts(number)[7:],
        1920,
        Codec.AAC,
        ASC,
        {"sample_rate": 48000, "channels": 2},
    ),
    "LATM": (
        lambda source: LatmParser(source, 0, Codec.AAC),
        lambda number: latm(number, config=number % 3 == 0),
        lambda number: adts(number)[7:],
        1920,
        Codec.AAC,
        ASC,
        {"sample_rate": 48000, "channels": 2},
    ),
    "MP3": (
        lambda source: MpegAudioParser(source, 0, Codec.MP2),
        mp3_frame,
        mp3_frame,
        2160,
        Codec.MP3,
        b"",
        {"sample_rate": 48000, "channels": 2},
    ),
    "MP2": (
        lambda source: MpegAudioParser(source, 0, Codec.MP2),
        lambda number: mp3_frame(number, layer3=False),
        lambda number: mp3_frame(number, layer3=False),
        2160,
        Codec.MP2,
        b"",
        {"sample_rate": 48000, "channels": 2},
    ),
    "AC-3": (
        lambda source: Ac3Parser(source, 0, Codec.AC3),
        ac3_frame,
        ac3_frame,
        2880,
        Codec.AC3,
        b"",
        {"sample_rate": 48000, "channels": 6},
    ),
    "E-AC-3": (
        lambda source: Ac3Parser(source, 0, Codec.AC3),
        eac3_frame,
        eac3_frame,
        2880,
        Codec.EAC3,
        b"",
        {"sample_rate": 48000, "channels": 6},
    ),
    "Opus": (
        lambda source: OpusParser(source, 0, 2),
        opus,
        opus_packet,
        1800,
        Codec.OPUS,
        opus_head(2),
        {"sample_rate": 48000, "channels": 2},
    ),
}


def parsed(kind: str) -> tuple[Source, AudioParser]:
    source = Source(Clock())
    source.set_tracks([Track(0, KINDS[kind][4])])
    return source, KINDS[kind][0](source)


def frames(source: Source) -> list[tuple[int, bytes]]:
    found = source.recent()
    return [(dts - found[0][1], data) for _, dts, _, flags, data in found if not flags & 2]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("each", [1, 3, 20], ids=["one a packet", "three a packet", "all in one"])
def test_whole_frames(kind: str, each: int) -> None:
    _, made, out, ticks, codec, config, facts = KINDS[kind]
    source, parser = parsed(kind)
    for first in range(0, 20, each):
        parser.feed(b"".join(made(number) for number in range(first, min(first + each, 20))), 900_000 + first * ticks)
    assert (parser.codec, parser.config, parser.facts, parser.damaged) == (codec, config, facts, 0)
    assert frames(source) == [(number * ticks, out(number)) for number in range(20)]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [1, 7, 100, 1000])
def test_frames_that_begin_in_one_packet_and_end_in_another(kind: str, size: int) -> None:
    """A PTS is that of the first frame that begins in its packet; packets without one go on counting."""
    _, made, out, ticks, *_ = KINDS[kind]
    data, starts = b"", []
    for number in range(12):
        starts.append(len(data))
        data += made(number)
    source, parser = parsed(kind)
    for at in range(0, len(data), size):
        begun = next((number for number, start in enumerate(starts) if at <= start < at + size), None)
        stamped = begun is not None and begun % 2 == 0
        parser.feed(data[at : at + size], 900_000 + begun * ticks if stamped else None)
    assert frames(source) == [(number * ticks, out(number)) for number in range(12)]
    assert parser.damaged == 0


@pytest.mark.parametrize("kind", KINDS)
def test_rubbish_between_frames_is_passed_over(kind: str) -> None:
    _, made, out, _ticks, *_ = KINDS[kind]
    source, parser = parsed(kind)
    parser.feed(made(0) + bytes(50) + made(1), 900_000)
    assert [data for _, data in frames(source)] == [out(0), out(1)]
    assert parser.damaged == 1


def test_times_do_not_add_up() -> None:
    """44.1 kHz: 1024 samples are 2089.8 ticks; the thousandth frame is as exact as the first."""
    asc = aac.build_asc(2, 44100, 2)
    source, parser = parsed("ADTS")
    frame = aac.build_adts(asc, 8) + bytes(8)
    parser.feed(frame, 900_000)
    for _ in range(40):
        parser.feed(frame * 10)
    times = [at for at, _ in frames(source)]
    assert times == [round(number * 1024 * 90000 / 44100) for number in range(401)]


def test_another_header_is_a_change() -> None:
    source, parser = parsed("ADTS")
    mono = aac.build_asc(2, 24000, 1)
    parser.feed(adts(0) + aac.build_adts(mono, 4) + b"mono", 900_000)
    assert [(flags & 2, data) for _, _, _, flags, data in source.recent()] == [
        (0, adts(0)[7:]),
        (2, mono),
        (0, b"mono"),
    ]


def test_what_cannot_be_passed_on_says_why() -> None:
    layer1, source = b"\xff\xff\x54\x00", Source(Clock())
    parser = MpegAudioParser(source, 0, Codec.MP2)
    parser.feed(layer1 + bytes(500), 0)
    assert (parser.known, parser.reason) == (False, "MPEG audio of layer I")


def test_channels_that_an_element_of_the_frame_tells() -> None:
    """Frames before it are passed over, those behind it need not repeat it, and another one is a change."""
    source, parser = parsed("ADTS")
    quad = bytes.fromhex("a098808004220d4c61766335392e33372e313030")
    three = bytes.fromhex("a0990000002000")  # a pair and one in the middle
    asc = aac.build_asc(2, 48000, 0, quad)

    def frame(element: bytes, data: bytes) -> bytes:
        return aac.build_adts(asc, len(element + data)) + element + data

    damaged = quad[:8]
    parser.feed(frame(b"", b"\x21too early") + frame(b"", damaged), 900_000)
    assert not parser.known
    parser.feed(
        frame(quad, b"\x21one") + frame(b"", b"\x21two") + frame(quad, b"\x21three") + frame(three, b"\x21four"),
        903_840,
    )
    assert (parser.known, parser.reason) == (True, None)
    assert parser.facts == {"sample_rate": 48000, "channels": 3}
    assert [(flags & 2, data) for *_, flags, data in source.recent()] == [
        (0, quad + b"\x21one"),
        (0, b"\x21two"),
        (0, quad + b"\x21three"),
        (2, aac.build_asc(2, 48000, 0, three)),
        (0, three + b"\x21four"),
    ]


def test_channels_that_an_element_of_a_stream_mux_config_tells() -> None:
    asc = aac.build_asc(2, 48000, 0, bytes.fromhex("a098808004220d4c61766335392e33372e313030"))
    source, parser = parsed("LATM")
    parser.feed(latm(0, asc=asc) + latm(1, config=False), 900_000)
    assert (parser.config, parser.facts) == (asc, {"sample_rate": 48000, "channels": 4})
    assert [data for _, data in frames(source)] == [b"\x01" * 90, b"\x02" * 91]


def test_audio_facts() -> None:
    assert audio_facts(Codec.MP3, mp3_frame(0)[:64]) == {"sample_rate": 48000, "channels": 2}
    assert audio_facts(Codec.AC3, ac3_frame(0)[:64]) == {"sample_rate": 48000, "channels": 6}
    assert audio_facts(Codec.EAC3, b"short") == {}
    assert audio_facts(Codec.MP3, b"nothing of the kind") == {}


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.binary(max_size=400), cut=st.integers(0, 400))
def test_any_bytes(kind: str, data: bytes, cut: int) -> None:
    source, parser = parsed(kind)
    parser.feed(KINDS[kind][1](0) + data[:cut], 0)
    parser.feed(data[cut:] + KINDS[kind][1](1), 9000)
    times = [at for at, _ in frames(source)] if source.recent() else []
    assert times == sorted(times)


@pytest.mark.parametrize("kind", KINDS)
@given(rubbish=st.binary(max_size=60), cuts=st.lists(st.integers(1, 300), min_size=1, max_size=8))
def test_any_portions_behind_any_rubbish_give_the_same(kind: str, rubbish: bytes, cuts: list[int]) -> None:
    """The rubbish has none of the bytes that a header begins with, and none of the frames is lost to it."""
    _, made, out, ticks, *_ = KINDS[kind]
    data = bytes(byte for byte in rubbish if byte not in b"\xff\x0b\x56\x7f") + b"".join(map(made, range(6)))
    source, parser = parsed(kind)
    at = number = 0
    while at < len(data):
        size = cuts[number % len(cuts)]
        parser.feed(data[at : at + size], None if number else 900_000)
        at, number = at + size, number + 1
    assert frames(source) == [(number * ticks, out(number)) for number in range(6)]


def test_latm_whose_rate_is_said_in_hz() -> None:
    """Such an AudioSpecificConfig is longer than a machine word of 32 bits."""
    asc = aac.build_asc(2, 47_000, 2)
    _, parser = parsed("LATM")
    parser.feed(latm(0, asc=asc), 900_000)
    assert (parser.config, parser.facts) == (asc, {"sample_rate": 47_000, "channels": 2})


@given(data=st.binary(max_size=60))
def test_any_latm(data: bytes) -> None:
    try:
        _, begin, size = aac.parse_latm(data)
    except MediaError:
        return
    assert begin + 8 * size <= 8 * len(data)


def test_a_size_that_no_opus_packet_has_is_not_waited_for() -> None:
    """A control header whose size goes on for ever would have all of it looked at again with each byte that comes."""
    source, parser = parsed("Opus")
    parser.feed(b"\x7f\xe0" + b"\xff" * 1500, 900_000)
    assert parser.damaged == 1
    parser.feed(opus(7))
    assert [data for _, data in frames(source)] == [opus_packet(7)]
