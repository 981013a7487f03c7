"""The command line of ``push start`` and ``push check``, which is one, and the request that it makes.

The protocol follows from the scheme of the URL, and a time without an offset is one of this machine's zone, so that a
server elsewhere means the same moment.  Everything else is for the server to judge.  The key may come from a file or
the environment, where other users of the machine do not see it.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from datetime import datetime
from typing import IO, Any

import click
import orjson

from pushcast.cli.completion import complete_stream_names
from pushcast.cli.output import note

KEY_VARIABLE = "PUSHCAST_STREAM_KEY"
MAX_KEY_BYTES = 4096  # the server takes no longer one
MAX_TRACK_ID = (1 << 32) - 1

# What the server calls the protocol behind a scheme.
PROTOCOLS = {"rtmp": "rtmp", "rtmps": "rtmp", "srt": "srt", "udp": "mpegts", "tcp": "mpegts"}


def _read_time(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    """An ISO 8601 time, with an offset whether it was given one or not."""
    if value is None:
        return None
    try:
        moment = datetime.fromisoformat(value)
        return (moment if moment.tzinfo is not None else moment.astimezone()).isoformat(timespec="milliseconds")
    except (ValueError, OverflowError, OSError) as error:
        allowed = "an ISO 8601 time such as 2031-05-01T20:00 or 2031-05-01T18:00:00Z"
        raise click.BadParameter(f"found {value!r}, allowed: {allowed}") from error


def _read_settings(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> dict[str, Any]:
    """The members that they make together; dots in a name lead into an object."""
    found: dict[str, Any] = {}
    for value in values:
        name, equals, text = value.partition("=")
        *outer, last = name.split(".")
        place: Any = found
        for each in outer:
            place = place.setdefault(each, {}) if isinstance(place, dict) else None
        if not equals or not all((*outer, last)) or not isinstance(place, dict):
            raise click.BadParameter(f"found {name[:40]!r}, allowed: NAME=VALUE, with dots inside an object")
        try:
            place[last] = orjson.loads(text)
        except orjson.JSONDecodeError:
            place[last] = text
    return found


_PARAMETERS = (
    click.argument("push_id", metavar="ID"),
    click.argument("destination", metavar="URL"),
    click.option(
        "--stream", required=True, shell_complete=complete_stream_names, help="The stream; it need not be live yet."
    ),
    click.option("--key", help="Stream key; other users of this machine can see it in the list of processes."),
    click.option(
        "--key-file",
        type=click.File("rb"),
        help=f"File that holds the stream key, - for stdin; without both options {KEY_VARIABLE} counts.",
    ),
    click.option("--protocol", help="rtmp, srt or mpegts; without it what the URL begins with says it."),
    click.option("--variant", "variants", multiple=True, help="Name of a track to send; may be given several times."),
    click.option(
        "--track",
        "tracks",
        multiple=True,
        type=click.IntRange(0, MAX_TRACK_ID),
        help="Id of a track to send; may be given several times.",
    ),
    click.option("--start-at", callback=_read_time, metavar="TIME", help="Do not begin before this time."),
    click.option("--stop-at", callback=_read_time, metavar="TIME", help="End at this time."),
    click.option("--max-duration", type=click.IntRange(min=1), metavar="SECONDS", help="End after so long."),
    click.option(
        "--set",
        "settings",
        multiple=True,
        callback=_read_settings,
        metavar="NAME=VALUE",
        help="Any other member of the request, such as tls.insecure=true; VALUE is JSON, or else a text.",
    ),
)


def push_request(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command the parameters of a push; it is called with ``request``, the body, in their place."""

    @functools.wraps(command)
    def with_request(
        push_id: str,
        destination: str,
        stream: str,
        key: str | None,
        key_file: IO[bytes] | None,
        protocol: str | None,
        variants: tuple[str, ...],
        tracks: tuple[int, ...],
        start_at: str | None,
        stop_at: str | None,
        max_duration: int | None,
        settings: dict[str, Any],
        **others: Any,
    ) -> None:
        selected = {"variantNames": list(variants), "trackIds": list(tracks)}
        request: dict[str, Any] = {
            "id": push_id,
            "stream": {"name": stream} | {name: value for name, value in selected.items() if value},
            "protocol": protocol or _protocol_of(destination),
            "url": destination,
        }
        more = {
            "streamKey": _read_key(key, key_file),
            "startAt": start_at,
            "stopAt": stop_at,
            "maxDuration": max_duration,
        }
        command(request=request | {name: value for name, value in more.items() if value} | settings, **others)

    made: Callable[..., None] = with_request
    for parameter in reversed(_PARAMETERS):
        made = parameter(made)
    return made


def _protocol_of(destination: str) -> str:
    scheme, mark, _ = destination.partition("://")
    protocol = PROTOCOLS.get(scheme.lower()) if mark else None
    if protocol is None:
        found = f"{scheme[:20]}://" if mark else "no scheme"  # the rest may hold secrets
        allowed = ", ".join(f"{name}://" for name in PROTOCOLS)
        raise click.UsageError(f"URL: found {found}, allowed: {allowed}, or another with --protocol")
    note(f"the protocol is {protocol}, as the URL begins with {scheme}://")
    return protocol


def _read_key(key: str | None, file: IO[bytes] | None) -> str:
    if key is not None and file is not None:
        raise click.UsageError("found --key and --key-file, allowed: one of them")
    if file is None:
        found = key if key is not None else os.environ.get(KEY_VARIABLE, "")
        origin = "--key" if key is not None else KEY_VARIABLE
    else:
        content = file.read(MAX_KEY_BYTES + 1)
        found, origin = content.decode(errors="replace").strip(), "--key-file"
        if not found or len(content) > MAX_KEY_BYTES or "�" in found:
            raise click.UsageError(f"--key-file: found {len(content)} bytes that are no key, allowed: one line of text")
    if not found.isprintable():
        raise click.UsageError(f"{origin}: found characters that cannot be printed, allowed: one line of text")
    return found
