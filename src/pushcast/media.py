"""Tracks, codecs and track selection: the vocabulary that every other module shares."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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


@dataclass(frozen=True, slots=True)
class Track:
    """One elementary stream.

    ``id`` is unique within its stream; ``name`` is the variant name of the API; ``config`` is the decoder
    configuration record (avcC, hvcC, AudioSpecificConfig, OpusHead); of data from a transport stream, its stream_type
    and descriptors.  ``language``: three letters of ISO 639-2.  Zero, or empty, means unknown.
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

    @property
    def kind(self) -> Kind:
        return self.codec.kind

    @property
    def variant_name(self) -> str:
        """The name that ``variantNames`` matches: an unnamed track answers to its kind."""
        return self.name or self.kind.value


@dataclass(frozen=True, slots=True)
class FeedKey:
    """Which bytes a destination needs: a container, the ids of the tracks in it, in stream order, and what a transport
    stream has otherwise than usual.
    """

    container: Container
    track_ids: tuple[int, ...]
    ts_options: TsOptions | None = None


def select_tracks(
    tracks: Sequence[Track], variant_names: Iterable[str], track_ids: Iterable[int], container: Container
) -> tuple[Track, ...]:
    """Tracks of a push: those named OR listed; nothing asked: all for MPEG-TS, first video + first audio for RTMP.

    A name may carry an index among the tracks of that name, ``video_h264:1``.
    """
    names, ids = list(variant_names), set(track_ids)
    ordered = sorted(tracks, key=lambda track: track.id)
    if names or ids:
        named = {track.id for name in names for track in _named(ordered, name)}
        return tuple(track for track in ordered if track.id in ids or track.id in named)
    if container is Container.MPEGTS:
        return tuple(ordered)
    firsts: dict[Kind, Track] = {}
    for track in ordered:
        if track.kind is not Kind.DATA:
            firsts.setdefault(track.kind, track)
    return tuple(track for track in ordered if firsts.get(track.kind) is track)


def _named(tracks: Sequence[Track], name: str) -> list[Track]:
    exact = [track for track in tracks if track.variant_name == name]
    if exact:
        return exact
    base, colon, index = name.rpartition(":")
    if colon and index.isdecimal() and len(index) < 6:
        same = [track for track in tracks if track.variant_name == base]
        return same[int(index) : int(index) + 1]
    return []
