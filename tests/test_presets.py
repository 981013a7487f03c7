"""Presets: what they fill in, what beats them, and what they say of a stream."""

from __future__ import annotations

from typing import Any

import pytest
from live import TRACKS, Engine, LiveStream, engine

from pushcast.errors import InvalidRequest
from pushcast.media import Codec, Track
from pushcast.presets import PRESETS, advice, read_preset, without_filled
from pushcast.settings import read_settings
from pushcast.source import Clock
from pushcast.stream import Registry

KEYFRAMES = "{} advises a keyframe every 2 s or sooner, and there are {}.0 s between them"
BASE = {"id": "p", "stream": {"name": "s"}, "streamKey": "k"}


@pytest.mark.parametrize(
    ("name", "host", "app"),
    [
        ("youtube", "a.rtmps.youtube.com", "live2"),
        ("facebook", "live-api-s.facebook.com", "rtmp"),
        ("twitch", "ingest.global-contribute.live-video.net", "app"),
    ],
)
def test_a_preset_fills_in_what_is_not_there(name: str, host: str, app: str) -> None:
    made = read_settings("v", "a", {**BASE, "preset": name})
    assert (made.protocol, made.preset, made.target.host, made.target.port) == ("rtmp", name, host, 443)
    assert made.target.app == app  # type: ignore[attr-defined]
    assert made.target.tls is not None  # type: ignore[attr-defined]
    assert made.target.key == "k"  # type: ignore[attr-defined]
    kept = read_settings("v", "a", made.members())
    assert (kept.url, kept.preset, kept.backups) == (made.url, name, made.backups)


def test_youtube_has_a_backup() -> None:
    (backup,) = read_settings("v", "a", {**BASE, "preset": "youtube"}).backups
    assert (backup.target.host, backup.target.app) == ("b.rtmps.youtube.com", "live2?backup=1")  # type: ignore[attr-defined]
    assert read_settings("v", "a", {**BASE, "preset": "youtube", "backupUrls": []}).backups == ()


def test_what_is_given_beats_it() -> None:
    made = read_settings("v", "a", {**BASE, "preset": "youtube", "url": "rtmp://mine.example/live", "protocol": "rtmp"})
    assert (made.target.host, made.backups, made.preset) == ("mine.example", (), "youtube")
    own = {**BASE, "preset": "custom", "url": "udp://10.0.0.1:9", "protocol": "mpegts"}
    assert read_settings("v", "a", own).target.host == "10.0.0.1"


@pytest.mark.parametrize(
    ("preset", "text"),
    [
        ("periscope", "preset: found 'periscope', allowed: youtube, facebook, twitch, kick, custom"),
        (7, "preset: found '7', allowed: youtube, facebook, twitch, kick, custom"),
        ("kick", "preset: Kick gives each account a url of its own: url is needed with it"),
    ],
)
def test_what_is_refused(preset: Any, text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_settings("v", "a", {**BASE, "preset": preset})
    assert str(caught.value) == text


def test_custom_needs_what_every_push_needs() -> None:
    with pytest.raises(InvalidRequest, match="Could not find protocol"):
        read_settings("v", "a", {**BASE, "preset": "custom"})


def test_another_preset_fills_in_anew() -> None:
    kept = read_settings("v", "a", {**BASE, "preset": "youtube"}).members()
    assert read_settings("v", "a", {**without_filled(kept), "preset": "twitch"}).target.host.startswith("ingest.global")
    own = read_settings("v", "a", {**BASE, "preset": "youtube", "url": "rtmp://mine.example/live"}).members()
    assert without_filled(own)["url"] == "rtmp://mine.example/live"
    assert without_filled(BASE) == BASE


def test_every_preset_is_read() -> None:
    for name, preset in PRESETS.items():
        assert read_preset({"preset": name, "url": "rtmp://h/a"})[0] == name
        assert bool(preset.video) == (name != "custom")


def said(name: str, tracks: tuple[Track, ...] = TRACKS, *, key_every: int = 25, padding: int = 400) -> list[str]:
    """The advice about ten seconds of a stream of 25 frames a second."""
    live = LiveStream(Registry({"v": ("a",)}, Clock()), tracks=tracks)
    for number in range(250):
        if any(track.id == 7 for track in tracks):
            live.source.push(7, number * 3600, number * 3600, 1 if number % key_every == 0 else 0, bytes(padding))
        if any(track.id == 9 for track in tracks):
            live.source.push(9, number * 3600, number * 3600, 1, bytes(300))
    return list(advice(name, live.up().outputs[0], [track.id for track in tracks]))


@pytest.mark.parametrize("name", ["youtube", "facebook", "twitch", "kick", "custom"])
def test_a_stream_as_it_should_be_is_no_matter(name: str) -> None:
    assert said(name) == []


@pytest.mark.parametrize(
    ("name", "options", "texts"),
    [
        ("twitch", {"padding": 40_000}, ["Twitch advises up to 6000 kbit/s of video, and there are 8000"]),
        ("youtube", {"padding": 40_000}, []),
        ("twitch", {"key_every": 100}, [KEYFRAMES.format("Twitch", 4)]),
        ("facebook", {"key_every": 10_000}, [KEYFRAMES.format("Facebook", 10)]),
        ("kick", {"tracks": TRACKS[:1]}, ["Kick advises a stream with audio, and there is none"]),
        ("kick", {"tracks": TRACKS[1:]}, ["Kick advises a stream with video, and there is none"]),
    ],
)
def test_what_differs_is_said_with_both_figures(name: str, options: dict[str, Any], texts: list[str]) -> None:
    assert said(name, **options) == texts


def test_codecs_are_named() -> None:
    hevc = Track(7, Codec.HEVC, config=b"")
    assert said("twitch", (hevc, TRACKS[1])) == ["Twitch advises H264, and the video is HEVC"]
    assert said("youtube", (hevc, TRACKS[1])) == []


async def test_a_push_says_it_while_its_stream_is_live() -> None:
    async with engine() as world:
        push = start(world)
        assert push.advice() == ()
        live = LiveStream(world.registry, tracks=TRACKS[:1])
        live.up()
        assert push.advice() == ("Kick advises a stream with audio, and there is none",)
        live.down()
        assert push.advice() == ()


def start(world: Engine) -> Any:
    asked = {**BASE, "preset": "kick", "protocol": "rtmp", "url": "rtmp://127.0.0.1:1/app"}
    return world.scheduler.start(read_settings("v", "a", asked))
