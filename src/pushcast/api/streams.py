"""Virtual hosts, applications and streams: what there is to push, read only.

The shapes are OvenMediaEngine's as far as the data exists here.  Streams are inputs; what pushes name are their
outputs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pushcast import __version__
from pushcast.api.times import iso_time
from pushcast.config_sections import Encode, OutputProfile
from pushcast.errors import NotFound
from pushcast.media import Codec, Kind, Track
from pushcast.stream import Registry, Stream


def check_vhost(registry: Registry, vhost: str) -> None:
    """:raises NotFound: no such virtual host."""
    if not registry.has_vhost(vhost):
        raise NotFound(f"Could not find the virtual host: [{vhost}]")


def check_app(registry: Registry, vhost: str, app: str) -> None:
    """:raises NotFound: no such virtual host, or it has no such application."""
    check_vhost(registry, vhost)
    if not registry.has_app(vhost, app):
        raise NotFound(f"Could not find the application: [{vhost}/{app}]")


def version_json() -> dict[str, str]:
    return {"version": __version__, "gitVersion": f"v{__version__}"}


def vhost_json(vhost: str) -> dict[str, Any]:
    return {"name": vhost, "host": {"names": ["*"]}}


def app_json(registry: Registry, vhost: str, app: str) -> dict[str, Any]:
    profiles = [_profile_json(profile) for profile in registry.profiles(vhost, app)]
    return {
        "name": app,
        "type": "live",
        "dynamic": False,
        "providers": {"rtmp": {}, "srt": {}, "mpegts": {}, "file": {}},
        **({"outputProfiles": {"outputProfile": profiles}} if profiles else {}),
        "publishers": {"push": {}},
    }


def _profile_json(profile: OutputProfile) -> dict[str, Any]:
    encodes = {"videos": profile.videos, "audios": profile.audios, "datas": profile.datas}
    return {
        "name": profile.name,
        "outputStreamName": profile.output_stream_name,
        "encodes": {kind: [_encode_json(each) for each in given] for kind, given in encodes.items() if given},
    }


def _encode_json(encode: Encode) -> dict[str, Any]:
    conditions = {"trackIds": encode.track_ids, "index": encode.index, "sourceLanguage": encode.source_language}
    said = {"name": encode.name, "language": encode.language, **conditions}
    return {"bypass": True, **{key: value for key, value in said.items() if value or value == 0}}


def find_stream(registry: Registry, vhost: str, app: str, name: str) -> Stream:
    """:raises NotFound: no such stream."""
    stream = registry.get(vhost, app, name)
    if stream is None:
        # OvenMediaEngine shows its internal name of the application here, and clients match on its texts.
        raise NotFound(f"Could not find the stream: [{vhost}/#{vhost}#{app}/{name}]")
    return stream


def stream_json(stream: Stream) -> dict[str, Any]:
    measured = stream.source.measured()
    source: dict[str, Any] = {"sourceType": stream.source_type}
    if stream.source_url:
        source["sourceUrl"] = stream.source_url
    source["createdTime"] = iso_time(stream.created_time)
    if stream.figures is not None:
        source["statistics"] = stream.figures()
    source["tracks"] = _tracks_json(stream.tracks, measured)
    outputs = [
        {"name": output.name, "tracks": _tracks_json(output.tracks, output.measured()), "playlists": []}
        for output in stream.outputs
    ]
    return {"name": stream.name, "input": source, "outputs": outputs}


def _tracks_json(tracks: Iterable[Track], measured: Mapping[int, Mapping[str, float]]) -> list[dict[str, Any]]:
    return [track_json(track, measured.get(track.id, {})) for track in tracks]


def track_json(track: Track, measured: Mapping[str, float]) -> dict[str, Any]:
    """A track; ``name`` is what ``variantNames`` of a push matches.  Numbers that are not known are 0.

    Members in ``Conf`` are what the publisher said, those in ``Avg`` and ``Latest`` what came (Source.measured).
    """
    bitrates = {
        "bitrate": track.bitrate,
        "bitrateConf": track.bitrate,
        "bitrateAvg": measured.get("bits_per_s", 0),
        "bitrateLatest": measured.get("latest_bits_per_s", 0),
    }
    shown: dict[str, Any] = {"id": track.id, "name": track.variant_name, "type": track.kind}
    codec = _CODEC_NAMES.get(track.codec, track.codec.name)
    timebase = {"num": 1, "den": 90000}
    if track.kind is Kind.VIDEO:
        shown["video"] = {
            "bypass": True,
            "codec": codec,
            "width": track.width,
            "maxWidth": track.width,
            "height": track.height,
            "maxHeight": track.height,
            **bitrates,
            "framerate": track.frame_rate,
            "framerateConf": track.frame_rate,
            "framerateAvg": round(measured.get("frames_per_s", 0.0), 3),
            "framerateLatest": measured.get("latest_frames_per_s", 0.0),
            "timebase": timebase,
            "hasBframes": bool(measured.get("reordered", False)),
            "keyFrameInterval": measured.get("latest_key_interval", 0),
            "keyFrameIntervalConf": 0,
            "keyFrameIntervalAvg": round(measured.get("key_interval", 0.0), 3),
            "keyFrameIntervalLatest": measured.get("latest_key_interval", 0),
            "deltaFramesSinceLastKeyFrame": measured.get("frames_since_key", 0),
        }
    elif track.kind is Kind.AUDIO:
        shown["audio"] = {
            "bypass": True,
            "codec": codec,
            "samplerate": track.sample_rate,
            "channel": track.channels,
            **bitrates,
            "timebase": timebase,
        }
        if track.language:
            shown["audio"]["language"] = track.language
    else:
        shown["data"] = {"codec": codec}
    return shown


_CODEC_NAMES = {Codec.HEVC: "H265"}
