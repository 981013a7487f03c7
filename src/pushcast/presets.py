"""Services that many push to: where they take streams, and what they advise about them.

The request member ``preset`` names one.  It fills in protocol, URL and backup where the request has none, and holds the
stream against what the service publishes for encoders; what differs becomes a warning of the push, and refuses nothing.

The figures are those of the services' help pages as of November 2026; services change them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pushcast.errors import InvalidRequest
from pushcast.media import Codec, Kind, Track

if TYPE_CHECKING:
    from pushcast.stream import OutputStream

# Below, a rate that was measured over some keyframes is no deviation but how an encoder breathes.
RATE_SLACK = 1.1
KEYFRAME_SLACK_S = 0.25


@dataclass(frozen=True, slots=True)
class Preset:
    """``url`` empty: each account has its own.  Rates in bits per second of video and of audio.  The usual is what most
    of them advise.
    """

    title: str
    url: str = ""
    backup_url: str = ""
    video: tuple[Codec, ...] = (Codec.H264,)
    audio: tuple[Codec, ...] = (Codec.AAC,)
    video_bits_per_s: int = 0
    audio_bits_per_s: int = 0
    keyframe_s: float = 2.0
    frames_per_s: float = 60.0


CUSTOM = "custom"
PRESETS: Mapping[str, Preset] = {
    "youtube": Preset(
        title="YouTube",
        url="rtmps://a.rtmps.youtube.com:443/live2",
        backup_url="rtmps://b.rtmps.youtube.com:443/live2?backup=1",
        video=(Codec.H264, Codec.HEVC, Codec.AV1),
        audio=(Codec.AAC, Codec.MP3),
        video_bits_per_s=40_000_000,
        audio_bits_per_s=384_000,
        keyframe_s=4.0,
    ),
    "facebook": Preset(
        "Facebook",
        "rtmps://live-api-s.facebook.com:443/rtmp",
        video_bits_per_s=9_000_000,
        audio_bits_per_s=256_000,
    ),
    "twitch": Preset(
        "Twitch",
        "rtmps://ingest.global-contribute.live-video.net:443/app",
        video_bits_per_s=6_000_000,
        audio_bits_per_s=160_000,
    ),
    "kick": Preset("Kick", video_bits_per_s=8_000_000, audio_bits_per_s=320_000),
    CUSTOM: Preset("custom", video=(), audio=()),
}


def read_preset(request: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """(name, empty when there is none; the request with what it fills in).

    :raises InvalidRequest: no such preset, or one that needs a URL.
    """
    name = request.get("preset")
    if name is None or name == "":
        return "", request
    preset = PRESETS.get(name) if isinstance(name, str) else None
    if preset is None or not isinstance(name, str):
        raise InvalidRequest(f"preset: found '{str(name)[:40]}', allowed: {', '.join(PRESETS)}")
    if not preset.url:
        if preset is not PRESETS[CUSTOM] and not request.get("url"):
            raise InvalidRequest(f"preset: {preset.title} gives each account a url of its own: url is needed with it")
        return name, request
    filled = dict(request)
    if not filled.get("url"):
        filled["url"] = preset.url
        if filled.get("backupUrls") is None and preset.backup_url:
            filled["backupUrls"] = [preset.backup_url]
    if not filled.get("protocol"):
        filled["protocol"] = "rtmp"
    return name, filled


def without_filled(members: Mapping[str, Any]) -> dict[str, Any]:
    """The members of a push without what its preset has filled in, so that another one can."""
    preset = PRESETS.get(members.get("preset", ""))
    if preset is None or members.get("url") != preset.url:
        return dict(members)
    return {name: value for name, value in members.items() if name not in ("url", "protocol", "backupUrls")}


def advice(name: str, stream: OutputStream, track_ids: Sequence[int]) -> Iterator[str]:
    """What the tracks that are pushed have otherwise than the service advises, a sentence each."""
    preset = PRESETS[name]
    if not preset.video:
        return
    measured = stream.measured()
    kinds = {kind: [track for track in stream.tracks if track.id in track_ids and track.kind is kind] for kind in Kind}
    for kind in (Kind.VIDEO, Kind.AUDIO):
        if not kinds[kind]:
            yield f"{preset.title} advises a stream with {kind.lower()}, and there is none"
    for track in kinds[Kind.VIDEO]:
        yield from _about_codec(preset, track, preset.video)
        yield from _about_video(preset, measured.get(track.id, {}))
    for track in kinds[Kind.AUDIO]:
        yield from _about_codec(preset, track, preset.audio)
        yield from _about_rate(preset, "audio", measured.get(track.id, {}), preset.audio_bits_per_s)


def _about_codec(preset: Preset, track: Track, advised: Sequence[Codec]) -> Iterator[str]:
    if track.codec not in advised:
        names = " or ".join(codec.name for codec in advised)
        yield f"{preset.title} advises {names}, and the {track.kind.lower()} is {track.codec.name}"


def _about_video(preset: Preset, measured: Mapping[str, float]) -> Iterator[str]:
    yield from _about_rate(preset, "video", measured, preset.video_bits_per_s)
    frames_per_s = measured.get("frames_per_s", 0.0)
    if frames_per_s > preset.frames_per_s * RATE_SLACK:
        yield f"{preset.title} advises up to {preset.frames_per_s:g} frames a second, and there are {frames_per_s:.3g}"
    frames = max(measured.get("latest_key_interval", 0.0), measured.get("frames_since_key", 0.0))
    keyframe_s = frames / frames_per_s if frames_per_s else 0.0
    if keyframe_s > preset.keyframe_s + KEYFRAME_SLACK_S:
        yield (
            f"{preset.title} advises a keyframe every {preset.keyframe_s:g} s or sooner, and there are"
            f" {keyframe_s:.1f} s between them"
        )


def _about_rate(preset: Preset, what: str, measured: Mapping[str, float], most: int) -> Iterator[str]:
    found = measured.get("bits_per_s", 0.0)
    if found > most * RATE_SLACK:
        yield f"{preset.title} advises up to {most // 1000} kbit/s of {what}, and there are {found / 1000:.0f}"
