"""Which tracks of a stream a push sends: those that its container can carry, and why the others stay behind."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from pushcast.fourcc import FOURCCS
from pushcast.media import PLAIN_CODECS, Codec, Container, Enhanced, Kind, Track

# ISO/IEC 13818-1, and what is registered for it.
NOT_IN_TS = {
    Codec.AV1: "its mapping to transport streams is a draft",
    Codec.VP9: "there is no mapping to transport streams",
    Codec.FLAC: "there is no mapping to transport streams",
    Codec.AMF: "there is no mapping to transport streams",
}


@dataclass(frozen=True, slots=True)
class Selection:
    """``skipped``: tracks that were asked for, or would have been sent, and why they are not."""

    tracks: tuple[Track, ...]
    skipped: tuple[tuple[Track, str], ...] = ()


def select_tracks(
    tracks: Sequence[Track],
    variant_names: Iterable[str],
    track_ids: Iterable[int],
    container: Container,
    enhanced: Enhanced = Enhanced.AUTO,
) -> Selection:
    """Tracks of a push, in the order of their ids: those named OR listed.

    A name may carry an index among the tracks of that name, ``video_h264:1``.  Nothing asked: all for MPEG-TS, and for
    RTMP where everything is enhanced; the first video and the first audio that can be carried for other RTMP.
    """
    names, ids = list(variant_names), set(track_ids)
    ordered = sorted(tracks, key=lambda track: track.id)
    if names or ids:
        named = {track.id for name in names for track in named_tracks(ordered, name)}
        return _carried([track for track in ordered if track.id in ids or track.id in named], container, enhanced)
    if container is Container.MPEGTS:
        return _carried(ordered, container, enhanced)
    media = [track for track in ordered if track.kind is not Kind.DATA]
    if enhanced is Enhanced.ALWAYS:
        return _carried(media, container, enhanced)
    return _firsts(_carried(media, container, enhanced, one_of_each=False))


def _firsts(found: Selection) -> Selection:
    """The first of each kind; a track that cannot be carried is said where it stands before that one."""
    firsts: dict[Kind, Track] = {}
    for track in found.tracks:
        firsts.setdefault(track.kind, track)
    before = [
        (track, why) for track, why in found.skipped if track.kind not in firsts or track.id < firsts[track.kind].id
    ]
    return Selection(tuple(track for track in found.tracks if firsts[track.kind] is track), tuple(before))


def _carried(
    tracks: Iterable[Track], container: Container, enhanced: Enhanced, *, one_of_each: bool = True
) -> Selection:
    taken: list[Track] = []
    skipped: list[tuple[Track, str]] = []
    for track in tracks:
        why = _REASONS[container](track, enhanced)
        if not why and container is Container.RTMP and enhanced is Enhanced.NEVER and one_of_each:
            second = any(each.kind is track.kind for each in taken)
            why = f"RTMP carries one track of {track.kind.lower()} unless it is enhanced" if second else ""
        if why:
            skipped.append((track, why))
        else:
            taken.append(track)
    return Selection(tuple(taken), tuple(skipped))


def _reason_in_ts(track: Track, enhanced: Enhanced) -> str:
    return NOT_IN_TS.get(track.codec, "")


def _reason_in_rtmp(track: Track, enhanced: Enhanced) -> str:
    if track.kind is Kind.DATA:
        return "RTMP has no tracks of data"
    if track.codec not in FOURCCS:
        return f"RTMP has no code for {track.codec.name}"
    if enhanced is Enhanced.NEVER and track.codec not in PLAIN_CODECS:
        return f"RTMP carries {track.codec.name} only when it is enhanced"
    return ""


_REASONS: dict[Container, Callable[[Track, Enhanced], str]] = {
    Container.MPEGTS: _reason_in_ts,
    Container.RTMP: _reason_in_rtmp,
}


def named_tracks(tracks: Sequence[Track], name: str) -> list[Track]:
    """Those of a variant name, or the one that a name with an index means."""
    exact = [track for track in tracks if track.variant_name == name]
    if exact:
        return exact
    base, colon, index = name.rpartition(":")
    if colon and index.isdecimal() and len(index) < 6:
        same = [track for track in tracks if track.variant_name == base]
        return same[int(index) : int(index) + 1]
    return []
