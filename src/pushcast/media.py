"""Tracks, codecs and track selection: the vocabulary that every other module shares."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum, StrEnum

from pushcast.tsoptions import TsOptions


class Kind(StrEnum):
    """What a track carries; the value is the word of the REST API."""

    VIDEO = "Video"
    AUDIO = "Audio"
    DATA = "Data"


class Codec(IntEnum):
    """Codecs by the numbers of ext/pushcast/frame.pxd."""

    H264 = 1
    HEVC = 2
    AV1 = 3
    VP9 = 4
    AAC = 16
    MP3 = 17
    OPUS = 18
    AC3 = 19
    EAC3 = 20
    FLAC = 21
    MP2 = 22
    ID3 = 32
    SCTE35 = 33
    KLV = 34
    PRIVATE = 35
    AMF = 36

    @property
    def kind(self) -> Kind:
        if self >= Codec.ID3:
            return Kind.DATA
        return Kind.VIDEO if self < Codec.AAC else Kind.AUDIO


class Container(StrEnum):
    """What a feed's bytes are."""

    MPEGTS = "mpegts"
    RTMP = "rtmp"


# What RTMP carries since FLV 10.1, one track of each kind.
PLAIN_CODECS = (Codec.H264, Codec.AAC, Codec.MP3)


class Enhanced(StrEnum):
    """Whether a peer gets enhanced RTMP: as far as the tracks need it, for everything, or not at all."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Track:
    """One elementary stream.

    ``id`` is unique within its stream; ``name`` is the variant name of the API; ``config`` is the decoder
    configuration record (avcC, hvcC, AudioSpecificConfig, OpusHead); of data from a transport stream, its stream_type
    and descriptors.  ``language``: three letters of ISO 639-2.
    ``metadata``: HDR colour, as the AMF of enhanced RTMP.  Zero, or empty, means unknown.
    """

    id: int
    codec: Codec
    name: str = ""
    config: bytes = field(default=b"", repr=False)
    width: int = 0
    height: int = 0
    frame_rate: float = 0.0
    sample_rate: int = 0
    channels: int = 0
    bitrate: int = 0
    language: str = ""
    metadata: bytes = field(default=b"", repr=False)

    @property
    def kind(self) -> Kind:
        return self.codec.kind

    @property
    def variant_name(self) -> str:
        """The name that ``variantNames`` matches: an unnamed track answers to its kind."""
        return self.name or self.kind.value


@dataclass(frozen=True, slots=True)
class FeedKey:
    """Which bytes a destination needs: a container, the ids of the tracks in it, in stream order, what a transport
    stream has otherwise than usual, and how much of enhanced RTMP.

    ``cue_ids``: tracks of splices that RTMP is told of as cue points.  ``languages``: those of ``track_ids``, where the
    source says others; empty: as it says.
    """

    container: Container
    track_ids: tuple[int, ...]
    ts_options: TsOptions | None = None
    enhanced: Enhanced = Enhanced.AUTO
    cue_ids: tuple[int, ...] = ()
    languages: tuple[str, ...] = ()
