"""Lines of a PMT: what they are, and what is not taken."""

from __future__ import annotations

import pytest

from pushcast.errors import MediaError
from pushcast.media import Codec
from pushcast.psi import ElementaryStream
from pushcast.tscodecs import Carriage, carriage_of, descriptors


def registration(text: bytes) -> bytes:
    return b"\x05\x04" + text


TAKEN = {
    "H.264": (0x1B, b"", Codec.H264, Carriage.NAL),
    "HEVC": (0x24, b"", Codec.HEVC, Carriage.NAL),
    "HEVC as private data": (0x06, registration(b"HEVC"), Codec.HEVC, Carriage.NAL),
    "AAC": (0x0F, b"", Codec.AAC, Carriage.ADTS),
    "AAC in LATM": (0x11, b"", Codec.AAC, Carriage.LATM),
    "MPEG-1 audio": (0x03, b"", Codec.MP2, Carriage.MPEG_AUDIO),
    "MPEG-2 audio": (0x04, b"", Codec.MP2, Carriage.MPEG_AUDIO),
    "AC-3 of ATSC": (0x81, b"", Codec.AC3, Carriage.AC3),
    "E-AC-3 of ATSC": (0x87, b"", Codec.EAC3, Carriage.AC3),
    "AC-3 of DVB": (0x06, b"\x6a\x01\x00", Codec.AC3, Carriage.AC3),
    "E-AC-3 of DVB": (0x06, b"\x7a\x01\x00", Codec.EAC3, Carriage.AC3),
    "AC-3 registered": (0x06, registration(b"AC-3"), Codec.AC3, Carriage.AC3),
    "Opus": (0x06, registration(b"Opus") + b"\x7f\x02\x80\x02", Codec.OPUS, Carriage.OPUS),
    "KLV": (0x06, registration(b"KLVA"), Codec.KLV, Carriage.PES_DATA),
    "KLV as metadata": (0x15, b"\x26\x09\x01\x00\xffKLVA\x00\x0f", Codec.KLV, Carriage.PES_DATA),
    "ID3": (0x15, b"\x26\x0d\xff\xffID3 \xffID3 \x00\x0f", Codec.ID3, Carriage.PES_DATA),
    "other metadata": (0x15, b"", Codec.PRIVATE, Carriage.PES_DATA),
    "subtitles": (0x06, b"\x59\x08deu\x10\x00\x01\x00\x01", Codec.PRIVATE, Carriage.PES_DATA),
    "SCTE 35": (0x86, registration(b"CUEI"), Codec.SCTE35, Carriage.SPLICE),
}


@pytest.mark.parametrize("name", TAKEN)
def test_what_is_taken(name: str) -> None:
    stream_type, body, codec, carriage = TAKEN[name]
    found = carriage_of(ElementaryStream(stream_type, 0x200, body))
    assert (found.pid, found.codec, found.carriage) == (0x200, codec, carriage)
    data = codec.kind == "Data"
    assert found.config == (bytes((stream_type,)) + body if data else b"")


@pytest.mark.parametrize(
    ("stream_type", "body", "sentence"),
    [
        (0x02, b"", "stream_type 0x02, MPEG-2 video"),
        (0x99, b"", "stream_type 0x99, no kind that is known"),
        (0x06, registration(b"AV01"), "AV1, whose mapping"),
        (0x06, registration(b"Opus"), "Opus with channel_config_code 0"),
        (0x06, registration(b"Opus") + b"\x7f\x02\x80\x81", "Opus with channel_config_code 129"),
    ],
)
def test_what_is_not(stream_type: int, body: bytes, sentence: str) -> None:
    with pytest.raises(MediaError, match=sentence):
        carriage_of(ElementaryStream(stream_type, 0x200, body))


@pytest.mark.parametrize(
    ("body", "language"),
    [(b"\x0a\x04DEU\x00", "deu"), (b"\x0a\x04\xff\xff\xff\x00", ""), (b"\x0a\x02de", ""), (b"\x0a\x04a1b\0", "")],
)
def test_languages(body: bytes, language: str) -> None:
    assert carriage_of(ElementaryStream(0x0F, 0x200, body)).language == language


def test_descriptors_that_run_over_the_end() -> None:
    assert list(descriptors(b"\x05\x02ab\x0a\x09x")) == [(5, b"ab")]
    assert list(descriptors(b"\x05")) == []
