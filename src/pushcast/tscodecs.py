"""What an elementary stream of a PMT is: its codec, how its PES packets hold it, and what its descriptors say.

ISO/IEC 13818-1 table 2-34 and 2.6; the registrations of SMPTE-RA; ETSI EN 300 468 annex D for AC-3; ETSI TS 103 491 for
Opus; SCTE 35 for splice information; MISB ST 1402 for KLV.  Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto

from pushcast.errors import MediaError
from pushcast.media import Codec
from pushcast.psi import ElementaryStream

REGISTRATION, LANGUAGE, METADATA, EXTENSION = 0x05, 0x0A, 0x26, 0x7F
DVB_AC3, DVB_EAC3 = 0x6A, 0x7A
PRIVATE_PES, METADATA_PES = 0x06, 0x15


class Carriage(Enum):
    """How PES packets, or sections, hold a track."""

    NAL = auto()
    ADTS = auto()
    LATM = auto()
    MPEG_AUDIO = auto()
    AC3 = auto()
    OPUS = auto()
    PES_DATA = auto()
    SPLICE = auto()


@dataclass(frozen=True, slots=True)
class CarriedStream:
    """One line of a PMT that can be taken.

    ``codec`` of MPEG audio and of AC-3 is a guess until the first frame.  ``config``: of data, its stream_type and its
    descriptors, so that it can go out as it came.
    """

    pid: int
    codec: Codec
    carriage: Carriage
    language: str = ""
    channels: int = 0
    config: bytes = b""

    @property
    def shape(self) -> tuple[object, ...]:
        """What stays the same when a track moves to another PID."""
        return self.carriage, self.codec, self.language, self.channels, self.config


_BY_TYPE = {
    0x03: (Codec.MP2, Carriage.MPEG_AUDIO),
    0x04: (Codec.MP2, Carriage.MPEG_AUDIO),
    0x0F: (Codec.AAC, Carriage.ADTS),
    0x11: (Codec.AAC, Carriage.LATM),
    0x1B: (Codec.H264, Carriage.NAL),
    0x24: (Codec.HEVC, Carriage.NAL),
    0x81: (Codec.AC3, Carriage.AC3),
    0x87: (Codec.EAC3, Carriage.AC3),
    0x86: (Codec.SCTE35, Carriage.SPLICE),
}
_BY_REGISTRATION = {
    b"AC-3": (Codec.AC3, Carriage.AC3),
    b"EAC3": (Codec.EAC3, Carriage.AC3),
    b"HEVC": (Codec.HEVC, Carriage.NAL),
    b"KLVA": (Codec.KLV, Carriage.PES_DATA),
    b"Opus": (Codec.OPUS, Carriage.OPUS),
}
_REFUSED_TYPES = {0x01: "MPEG-1 video", 0x02: "MPEG-2 video", 0x05: "private sections", 0x10: "MPEG-4 part 2 video"}
_REFUSED_REGISTRATIONS = {b"AV01": "AV1, whose mapping to transport streams is a draft", b"VVC ": "VVC"}


def carriage_of(stream: ElementaryStream) -> CarriedStream:
    """:raises MediaError: pushcast does not take it; the text says what it is."""
    found = dict(descriptors(stream.descriptors))
    registration = found.get(REGISTRATION, b"")[:4]
    language = found.get(LANGUAGE, b"")[:3].decode("latin-1")
    language = language.lower() if language.isascii() and language.isalpha() and len(language) == 3 else ""
    if stream.stream_type in _BY_TYPE:
        codec, carriage = _BY_TYPE[stream.stream_type]
    elif stream.stream_type == PRIVATE_PES:
        codec, carriage = _private(registration, found)
    elif stream.stream_type == METADATA_PES:
        codec, carriage = _metadata(found.get(METADATA, b"")), Carriage.PES_DATA
    else:
        kind = _REFUSED_TYPES.get(stream.stream_type, "no kind that is known")
        raise MediaError(f"stream_type {stream.stream_type:#04x}, {kind}")
    config = bytes((stream.stream_type,)) + stream.descriptors if codec.kind == "Data" else b""
    channels = _opus_channels(found.get(EXTENSION, b"")) if carriage is Carriage.OPUS else 0
    return CarriedStream(stream.pid, codec, carriage, language, channels, config)


def descriptors(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(tag, body) of each whole descriptor: 2.6.1."""
    at = 0
    while at + 2 <= len(data) and at + 2 + data[at + 1] <= len(data):
        yield data[at], data[at + 2 : at + 2 + data[at + 1]]
        at += 2 + data[at + 1]


def _private(registration: bytes, found: dict[int, bytes]) -> tuple[Codec, Carriage]:
    """Private data in PES packets is what a registration or a DVB descriptor says, and passed on as it is without."""
    if registration in _REFUSED_REGISTRATIONS:
        raise MediaError(_REFUSED_REGISTRATIONS[registration])
    if registration in _BY_REGISTRATION:
        return _BY_REGISTRATION[registration]
    if DVB_AC3 in found or DVB_EAC3 in found:
        return (Codec.AC3 if DVB_AC3 in found else Codec.EAC3), Carriage.AC3
    return Codec.PRIVATE, Carriage.PES_DATA


def _metadata(descriptor: bytes) -> Codec:
    """By the metadata_format_identifier of a metadata_descriptor: 2.6.60."""
    start = 6 if descriptor[:2] == b"\xff\xff" else 2
    if descriptor[start : start + 1] != b"\xff":
        return Codec.PRIVATE
    return {b"ID3 ": Codec.ID3, b"KLVA": Codec.KLV}.get(descriptor[start + 1 : start + 5], Codec.PRIVATE)


def _opus_channels(extension: bytes) -> int:
    """channel_config_code of the extension descriptor with tag 0x80: TS 103 491 6.2."""
    channels = extension[1] if len(extension) > 1 and extension[0] == 0x80 else 0
    if not 1 <= channels <= 8:
        raise MediaError(f"Opus with channel_config_code {channels}, taken are 1 to 8")
    return channels
