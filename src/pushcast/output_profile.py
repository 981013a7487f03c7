"""Output profiles: which output streams an input stream has, and which of its tracks go into each, under which names.

As in OvenMediaEngine, with encodes that pass the input's tracks on as they are.  The tracks of an input are taken in
the order of their ids; each goes to the first encode of its kind that it fits, so that one encode may stand for several
tracks, which then share its name (``name:1`` is the second).  Tracks of outputs are numbered from 0 through all
profiles of an input stream.  Data that no encode speaks of goes along under its own name.

Nothing here touches media: an output stream is another view of the same frames.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import count

from pushcast.config_sections import Encode, OutputProfile
from pushcast.config_types import ORIGIN_STREAM_NAME
from pushcast.media import Kind, Track

_AS_IT_IS = Encode()


@dataclass(frozen=True, slots=True)
class Output:
    """An output stream to be: its tracks with their ids there, and ``sources``, their ids in the input."""

    name: str
    tracks: tuple[Track, ...]
    sources: tuple[int, ...]


def unchanged(name: str, tracks: Sequence[Track]) -> Output:
    """The output of a stream that no profile applies to: itself."""
    return Output(name, tuple(tracks), tuple(track.id for track in tracks))


def outputs(profiles: Sequence[OutputProfile], name: str, tracks: Sequence[Track]) -> list[Output]:
    """The outputs of an input stream, some perhaps without tracks; without a profile the stream itself."""
    if not profiles:
        return [unchanged(name, tracks)]
    ids = count()
    found = []
    for profile in profiles:
        chosen = _chosen(profile, tracks)
        numbered = tuple(replace(track, id=next(ids)) for track in chosen)
        found.append(
            Output(
                profile.output_stream_name.replace(ORIGIN_STREAM_NAME, name),
                numbered,
                tuple(track.id for track in chosen),
            )
        )
    return found


def _chosen(profile: OutputProfile, tracks: Iterable[Track]) -> list[Track]:
    """The tracks of the output with their names there, and still with the ids of the input."""
    seen = dict.fromkeys(Kind, 0)
    found = []
    for track in sorted(tracks, key=lambda each: each.id):
        index, seen[track.kind] = seen[track.kind], seen[track.kind] + 1
        encode = next((each for each in _encodes(profile, track.kind) if _takes(each, track, index)), None)
        if encode is not None:
            name, language = encode.name or track.name, encode.language or track.language
            found.append(replace(track, name=name, language=language))
    return found


def _encodes(profile: OutputProfile, kind: Kind) -> Sequence[Encode]:
    if kind is Kind.VIDEO:
        return profile.videos
    if kind is Kind.AUDIO:
        return profile.audios
    return (_AS_IT_IS,) if profile.datas is None else profile.datas


def _takes(encode: Encode, track: Track, index: int) -> bool:
    return (
        (not encode.track_ids or track.id in encode.track_ids)
        and encode.index in (None, index)
        and encode.source_language in ("", track.language)
    )
