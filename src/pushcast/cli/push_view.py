"""What people see of a push: a row of the list, the fields of one, a line for a change.

The API shows stream keys; people's tables do not.  A URL may hold secrets too: user info and options such as a
passphrase are masked, of an RTMP URL the query, and its last segment where that is the key.  Objects come from a server
that may be older or newer: what is absent or of another shape is not shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from pushcast.cli.output import Column
from pushcast.cli.units import NOTHING, duration, short_time, size
from pushcast.log import redact

STATE_COLOURS = {
    "pushing": "green",
    "connecting": "yellow",
    "stopping": "yellow",
    "error": "red",
    "paused": "cyan",
}
COLUMNS = (
    Column("ID", shrinks=True),
    Column("STATE", colours=STATE_COLOURS),
    Column("STREAM", shrinks=True),
    Column("DESTINATION", shrinks=True),
    Column("SENT", right=True),
    Column("SINCE"),
)

# Members of a push that are times, and what they are called here.
_TIMES = (
    ("createdTime", "created"),
    ("startTime", "started"),
    ("finishTime", "finished"),
    ("startAt", "starts at"),
    ("stopAt", "stops at"),
)


def row(push: Mapping[str, Any], now: datetime) -> list[str]:
    """The cells of COLUMNS."""
    return [
        text(push.get("id")),
        "paused" if push.get("paused") is True and push.get("state") == "ready" else text(push.get("state")),
        text(members(push.get("stream")).get("name")),
        shown_url(push).partition("?")[0],
        size(push.get("totalsentBytes")),
        short_time(push.get("startTime"), now),
    ]


def fields(push: Mapping[str, Any], now: datetime) -> list[tuple[str, str]]:
    """Everything that is known of a push."""
    stream = members(push.get("stream"))
    found = [
        ("id", text(push.get("id"))),
        ("state", text(push.get("state")) + (" (paused)" if push.get("paused") is True else "")),
        ("stream", "/".join(text(each) for each in (push.get("vhost"), push.get("app"), stream.get("name")))),
        ("tracks", _tracks(stream)),
        ("protocol", text(push.get("protocol"))),
        ("url", shown_url(push)),
        ("backup", f"number {push['activeBackup']} is in use" if push.get("activeBackup") else ""),
        ("stream key", "set (not shown)" if push.get("streamKey") else ""),
        ("sent", f"{size(push.get('sentBytes'))} in {duration(push.get('sentTime'))}"),
        ("sent in all", f"{size(push.get('totalsentBytes'))} in {duration(push.get('totalsentTime'))}"),
        ("sessions", str(push["sequence"]) if isinstance(push.get("sequence"), int) else ""),
        *((title, _time(push.get(member), now)) for member, title in _TIMES),
        ("ends after", f"{push['maxDuration']} s" if push.get("maxDuration") else ""),
        ("made by", "a rule of the configuration" if push.get("isConfig") is True else ""),
        *(("warning", sentence(each)) for each in push.get("warnings") or () if isinstance(each, str)),
        *(("left out", _skipped(each)) for each in objects(push.get("skippedTracks"))),
        ("tls", _tls(members(members(push.get("connection")).get("tls")))),
        ("health", _health(push)),
        *_failure(push, now),
        *((name, _figure(value, now)) for name, value in members(push.get("statistics")).items()),
        *(("history", _change(each, now)) for each in objects(push.get("history"))),
    ]
    return [(name, value) for name, value in found if value]


def _figure(value: object, now: datetime) -> str:
    """A number as it is, a time as all times; of many numbers those that are errors."""
    if isinstance(value, Mapping):
        wrong = [f"{count} {name}" for name, count in value.items() if name.endswith(("Error", "Loss")) and count]
        return f"{value.get('packets', 0)} packets, {', '.join(wrong) or 'no errors'}"
    return f"{value:g}" if isinstance(value, int | float) and abs(value) < 1e5 else _time(value, now) or str(value)


def _skipped(track: Mapping[str, Any]) -> str:
    return f"track {track.get('id')}, {text(track.get('codec'))}: {sentence(track.get('reason'))}"


def change_line(change: Mapping[str, Any], now: datetime) -> str:
    """``20:15:03  studio  connecting -> pushing  reason``."""
    return _change(change, now, text(change.get("id")))


def _change(change: Mapping[str, Any], now: datetime, *whose: str) -> str:
    parts = [short_time(change.get("time"), now), *whose, f"{text(change.get('from'))} -> {text(change.get('to'))}"]
    return "  ".join([*parts, sentence(change.get("reason"), "")]).rstrip()


def shown_url(push: Mapping[str, Any]) -> str:
    """The destination without what may be secret."""
    url = text(push.get("url"), "")
    if not url:
        return NOTHING
    if push.get("protocol") != "rtmp":
        return redact(url)
    address, question_mark, _ = url.partition("?")
    shown = redact(address)
    if not push.get("streamKey"):
        return shown.rstrip("/").rpartition("/")[0] + "/***"
    return shown + ("?***" if question_mark else "")


def text(value: object, nothing: str = NOTHING) -> str:
    """A string that is not empty, else ``nothing``."""
    return value if isinstance(value, str) and value else nothing


def sentence(value: object, nothing: str = NOTHING) -> str:
    """A text on one line."""
    return " ".join(text(value).split()) if text(value, "") else nothing


def members(value: object) -> Mapping[str, Any]:
    """An object, else one without members."""
    return value if isinstance(value, dict) else {}


def objects(value: object) -> Sequence[Mapping[str, Any]]:
    """The objects in an array, else none."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _time(value: object, now: datetime) -> str:
    shown = short_time(value, now)
    return shown if shown != NOTHING else ""


def _health(push: Mapping[str, Any]) -> str:
    health, reason = text(push.get("health"), ""), sentence(push.get("healthReason"), "")
    return f"{health}: {reason}" if reason else health


def _tls(connection: Mapping[str, Any]) -> str:
    if not connection:
        return ""
    resumed = ", resumed" if connection.get("resumed") is True else ""
    return f"{text(connection.get('version'))}, checked by {text(connection.get('verifiedBy'))}{resumed}"


def _tracks(stream: Mapping[str, Any]) -> str:
    chosen = [stream.get("variantNames"), stream.get("trackIds")]
    return ", ".join(str(each) for names in chosen if isinstance(names, list) for each in names)


def _failure(push: Mapping[str, Any], now: datetime) -> list[tuple[str, str]]:
    error = members(push.get("lastError"))
    if not error:
        return []
    found = [("last error", sentence(error.get("reason"))), ("at", _time(error.get("time"), now))]
    if push.get("retryCount"):
        found.append(("failures", f"{push['retryCount']} in a row"))
    found.append(("next retry", _time(push.get("nextRetryTime"), now)))
    found.append(("gave up", sentence(push.get("gaveUp"), "")))
    return found
