"""``pushcast stream``: what is live in an app, by the REST API."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import click

from pushcast.cli.completion import complete_stream_names
from pushcast.cli.options import Session, client_options
from pushcast.cli.output import Column, say, say_fields, say_json, say_table
from pushcast.cli.push_view import members, objects, text
from pushcast.cli.units import NOTHING, bit_rate, short_time
from pushcast.log import redact

TRACKS = (
    Column("ID", right=True),
    Column("NAME", shrinks=True),
    Column("TYPE"),
    Column("CODEC"),
    Column("FORMAT"),
    Column("BIT RATE", right=True),
)


@click.group()
def stream() -> None:
    """See which streams are live."""


@stream.command("list")
@client_options
def list_(session: Session) -> None:
    """The names of the live streams, each on a line."""
    names = session.read("streams")
    if session.as_json:
        say_json(names)
        return
    for name in names if isinstance(names, list) else []:
        say(text(name))


@stream.command()
@click.argument("name", shell_complete=complete_stream_names)
@client_options
def show(session: Session, name: str) -> None:
    """One stream: where it comes from, its tracks, and its output streams where these are others."""
    found = session.read("streams", name)
    if session.as_json:
        say_json(found)
        return
    source = members(members(found).get("input"))
    url = text(source.get("sourceUrl"), "")
    described = [
        ("name", text(members(found).get("name"))),
        ("source", text(source.get("sourceType"))),
        ("url", redact(url) if url else ""),
        ("since", short_time(source.get("createdTime"), datetime.now())),
    ]
    say_fields([(title, value) for title, value in described if value])
    say("")
    say_table(TRACKS, [_row(track) for track in objects(source.get("tracks"))])
    for output in objects(members(found).get("outputs")):
        if (output.get("name"), _names(output)) != (members(found).get("name"), _names(source)):
            say("")
            say(f"output {text(output.get('name'))}")
            say_table(TRACKS, [_row(track) for track in objects(output.get("tracks"))])


def _names(stream: Mapping[str, Any]) -> list[tuple[Any, Any]]:
    return [(track.get("id"), track.get("name")) for track in objects(stream.get("tracks"))]


def _row(track: Mapping[str, Any]) -> list[str]:
    video, audio = members(track.get("video")), members(track.get("audio"))
    media = video or audio
    return [
        str(track.get("id", NOTHING)),
        text(track.get("name")),
        text(track.get("type")),
        text(media.get("codec")),
        _format(video, audio),
        bit_rate(media.get("bitrate") or media.get("bitrateLatest")),
    ]


def _format(video: Mapping[str, Any], audio: Mapping[str, Any]) -> str:
    """``1920x1080 25 fps`` or ``48000 Hz 2 ch deu``, as far as it is known."""
    parts = []
    if video.get("width") and video.get("height"):
        parts.append(f"{video['width']}x{video['height']}")
    if isinstance(rate := video.get("framerate"), (int, float)) and rate > 0:
        parts.append(f"{rate:.4g} fps")
    if audio.get("samplerate"):
        parts.append(f"{audio['samplerate']} Hz")
    if audio.get("channel"):
        parts.append(f"{audio['channel']} ch")
    if audio.get("language"):
        parts.append(text(audio["language"]))
    return " ".join(parts) or NOTHING
