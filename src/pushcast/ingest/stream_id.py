"""What an SRT caller's stream id asks for.

Taken are the forms that encoders send: ``app/stream`` and ``vhost/app/stream``, ``#!::r=app/stream,m=publish`` (SRT
access control, with ``h`` for the vhost and ``u``, ``s`` passed on), ``srt://host:port/app/stream`` (OvenMediaEngine),
and ``publish:app/stream`` (MediaMTX).  Behind a ``?`` stand parameters, as in a URL.  All may be percent-encoded:
older libavformat sends what stands in its URL.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl, unquote, urlsplit

MAX_CHARS = 512
BAD_REQUEST, BAD_MODE = 1400, 1405  # libsrt's access control codes


class BadStreamId(ValueError):
    """``code``: what the caller is told."""

    def __init__(self, reason: str, code: int = BAD_REQUEST) -> None:
        super().__init__(reason)
        self.code = code


@dataclass(frozen=True, slots=True)
class StreamId:
    """``vhost`` was named as such, ``host`` is a host name that may be one's; "" when it was not said.

    ``parameters`` may hold keys and tokens.
    """

    vhost: str
    host: str
    app: str
    name: str
    parameters: Mapping[str, str] = field(default_factory=dict, repr=False)


def parse_stream_id(text: str) -> StreamId:
    """:raises BadStreamId: it names no stream, or wants to play one."""
    if len(text) > MAX_CHARS or not text.isprintable():
        raise BadStreamId(f"expected a stream id of up to {MAX_CHARS} printable characters")
    decoded = unquote(text, errors="replace")
    if decoded.startswith("#!::"):
        return _access_control(decoded[4:])
    if decoded.startswith("#!"):
        raise BadStreamId("expected a stream id of the form #!::key=value,...")
    if decoded.partition(":")[0].lower() == "srt":
        return _url(decoded)
    mode, colon, rest = decoded.partition(":")
    if colon and mode in ("publish", "read", "play"):
        if mode != "publish":
            raise BadStreamId("this server takes publishers only", BAD_MODE)
        decoded = _user_and_password(rest)
    return _path("", decoded)


def _access_control(pairs: str) -> StreamId:
    values = dict(pair.partition("=")[::2] for pair in pairs.split(","))
    if values.get("m", "publish") not in ("publish", "bidirectional"):
        raise BadStreamId("this server takes publishers only: expected m=publish", BAD_MODE)
    if "r" not in values:
        raise BadStreamId("expected the stream as r=app/stream")
    found = _path(values.get("h", ""), values["r"])
    others = {name: value for name, value in values.items() if name not in ("r", "m", "h", "t")}
    return StreamId(found.vhost, found.host, found.app, found.name, {**others, **found.parameters})


def _url(text: str) -> StreamId:
    try:
        parts = urlsplit(text)
        host = parts.hostname or ""
    except ValueError:
        raise BadStreamId("it is not a URL") from None
    return _path(host, parts.path + (f"?{parts.query}" if parts.query else ""))


def _user_and_password(text: str) -> str:
    """``path:user:password`` as parameters."""
    path, _, rest = text.partition(":")
    user, _, password = rest.partition(":")
    query = "&".join(f"{name}={value}" for name, value in (("user", user), ("pass", password)) if value)
    return f"{path}{'&' if '?' in path else '?'}{query}" if query else path


def _path(host: str, text: str) -> StreamId:
    path, _, query = text.partition("?")
    parts = path.strip("/").split("/")
    vhost = parts.pop(0) if len(parts) == 3 else ""
    if len(parts) != 2 or not all(parts):
        raise BadStreamId("expected app/stream or vhost/app/stream")
    return StreamId(vhost, host, parts[0], parts[1], dict(parse_qsl(query, keep_blank_values=True)))
