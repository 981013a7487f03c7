"""The push endpoints that change one push, and what a push looks like.

Field names, texts and the order of checks are OvenMediaEngine's; where its documentation and its behaviour differ
(a duplicate id, an array as body), the documentation wins.  Members of a wrong type count as absent and unknown
members are ignored.  After the documented members a push has ``isConfig`` (true: a rule of the configuration made it),
in a session ``health`` (health.py), and once it has failed ``lastError``, ``retryCount`` (failures in a row, as of the
last one), ``nextRetryTime`` (while a retry is due) and ``gaveUp`` (when none is).

A change is answered when it is in the store.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from pushcast.api.body import Json, members
from pushcast.api.times import iso_time
from pushcast.desired import Desired
from pushcast.errors import Conflict, NotFound
from pushcast.log import MASKED, redact
from pushcast.presets import without_filled
from pushcast.push import Push
from pushcast.push_state import Halt
from pushcast.settings import PushSettings, read_settings, require, text_member

Action = Callable[[Desired, str, str, Json], Awaitable[Push | None]]
"""What an action does: (desired, vhost, app, body) -> the push that is answered with, None for none."""


async def start_push(desired: Desired, vhost: str, app: str, body: Json) -> Push:
    """``:startPush``.  :raises InvalidRequest: 400.  :raises Conflict: 409, the app has that id already."""
    return await desired.start(read_settings(vhost, app, members(body)))


async def stop_push(desired: Desired, vhost: str, app: str, body: Json) -> None:
    """``:stopPush``.  :raises InvalidRequest: 400, no id.  :raises NotFound: 404, no such push."""
    await desired.stop(vhost, app, _id(body))


async def update_push(desired: Desired, vhost: str, app: str, body: Json) -> Push:
    """``:updatePush``: the members that are there replace those of the push, which connects anew with them.

    :raises Conflict: 409, the stream is another one, or the push is being changed.
    """
    push = find_push(desired, vhost, app, body)
    kept, asked = push.settings.members(), members(body)
    stream = asked.get("stream")
    stream = stream if isinstance(stream, dict) else {}
    if text_member(stream, "name") not in ("", push.settings.stream_name):
        raise Conflict(f"The stream of a push cannot be changed: [{vhost}/{app}/{push.settings.id}]")
    if asked.get("preset") is not None:
        kept = without_filled(kept)
    await desired.replace(push, read_settings(vhost, app, {**kept, **asked, "stream": {**kept["stream"], **stream}}))
    return push


async def pause_push(desired: Desired, vhost: str, app: str, body: Json) -> Push:
    """``:pausePush``: disconnected and kept, over a restart of the server too."""
    push = find_push(desired, vhost, app, body)
    await desired.pause(push)
    return push


async def resume_push(desired: Desired, vhost: str, app: str, body: Json) -> Push:
    """``:resumePush``."""
    push = find_push(desired, vhost, app, body)
    await desired.resume(push)
    return push


async def restart_push(desired: Desired, vhost: str, app: str, body: Json) -> Push:
    """``:restartPush``: connects anew at once."""
    push = find_push(desired, vhost, app, body)
    desired.scheduler.restart(push)
    return push


def find_push(desired: Desired, vhost: str, app: str, body: Json) -> Push:
    """The push that a body names.  :raises InvalidRequest: 400, no id.  :raises NotFound: 404, no such push."""
    push_id = _id(body)
    push = desired.scheduler.get(vhost, app, push_id)
    if push is None:
        raise NotFound(f"Could not find id '{push_id}': [{vhost}/{app}]")
    return push


def _id(body: Json) -> str:
    push_id = text_member(members(body), "id")
    require(("id", push_id))
    return push_id


CHANGES: dict[str, Action] = {
    "startPush": start_push,
    "stopPush": stop_push,
    "updatePush": update_push,
    "pausePush": pause_push,
    "resumePush": resume_push,
    "restartPush": restart_push,
}
"""POST; each waits for its place among the others."""


def push_json(push: Push, *, reveal: bool) -> dict[str, Any]:
    """A push as the API shows it; without ``reveal`` its keys are masked."""
    settings, progress = push.settings, push.progress()
    shown: dict[str, Any] = {
        "id": settings.id,
        "state": push.state,
        "vhost": settings.vhost,
        "app": settings.app,
        "stream": {
            "name": settings.stream_name,
            "trackIds": settings.track_ids,
            "variantNames": settings.variant_names,
        },
        "protocol": settings.protocol,
        "url": settings.url if reveal else _masked_url(settings.protocol, settings.url, settings.stream_key),
        "streamKey": settings.stream_key if reveal or not settings.stream_key else MASKED,
        "sentBytes": progress.sent_bytes,
        "sentTime": progress.sent_time_ms,
        "sequence": push.sequence,
        "totalsentBytes": progress.total_sent_bytes,
        "totalsentTime": progress.total_sent_time_ms,
        "createdTime": iso_time(push.created_time),
        "startTime": iso_time(push.start_time),
        "finishTime": iso_time(push.finish_time),
        "isConfig": settings.is_config,
    }
    if push.halt is not None:
        shown["halted"] = push.halt
        shown["paused"] = push.halt is Halt.PAUSED
    if settings.start_at:
        shown["startAt"] = iso_time(settings.start_at)
    if settings.stop_at:
        shown["stopAt"] = iso_time(settings.stop_at)
    if settings.max_duration_s:
        shown["maxDuration"] = settings.max_duration_s
    shown |= settings.conduct()
    if (session := push.session) is not None:
        shown["health"] = session.condition.health
        if session.condition.reason:
            shown["healthReason"] = session.condition.reason
        if connection := session.described():
            shown["connection"] = connection
        if overload := session.overload:
            shown["overload"] = overload
    if settings.backups:
        shown["backupUrls"] = [
            backup.member() if reveal else _masked_url(settings.protocol, backup.url, backup.stream_key or "")
            for backup in settings.backups
        ]
        if push.on_backup:
            shown["activeBackup"] = push.on_backup
    if settings.options:
        shown |= _shown_options(settings, reveal=reveal)
    if settings.preset:
        shown["preset"] = settings.preset
    if warnings := (*settings.target.warnings, *push.advice()):
        shown["warnings"] = warnings
    if push.skipped:
        shown["skippedTracks"] = [
            {"id": track.id, "name": track.variant_name, "codec": track.codec.name, "reason": reason}
            for track, reason in push.skipped
        ]
    if push.last_error is not None:
        error = push.last_error
        shown["lastError"] = {"code": error.code, "reason": error.reason, "time": iso_time(error.time)}
        shown["retryCount"] = push.retry_count
        if push.next_retry_time:
            shown["nextRetryTime"] = iso_time(push.next_retry_time)
        if push.gave_up:
            shown["gaveUp"] = push.gave_up
    return shown


# Of the members that a protocol alone knows: a private key, and what SRT peers tell each other by.
_SECRETS = frozenset({"key", "passphrase", "streamId"})


def details_json(push: Push) -> dict[str, Any]:
    """What ``"details": true`` adds: ``statistics`` of the session in hand, and the latest moves as ``history``."""
    figures = _camel_keys(push.session.figures()) if push.session is not None else {}
    confirmed = figures.pop("confirmedTime", 0)
    if confirmed:
        figures["lastConfirmedTime"] = iso_time(confirmed)
    moves = [
        {"time": iso_time(move.time), "from": move.before, "to": move.state, "reason": move.why}
        for move in push.history
    ]
    return {"statistics": figures, "history": moves}


def _camel_keys(figures: Mapping[str, Any]) -> dict[str, Any]:
    return {
        _camel(name): _camel_keys(value) if isinstance(value, Mapping) else value for name, value in figures.items()
    }


def _camel(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(word.capitalize() for word in others)


def _shown_options(settings: PushSettings, *, reveal: bool) -> dict[str, Any]:
    """The members that the protocol alone knows; without ``reveal`` what is secret among them is masked."""
    if reveal:
        return dict(settings.options)
    return {
        name: {each: MASKED if each in _SECRETS else value for each, value in member.items()}
        for name, member in settings.options.items()
    }


def _masked_url(protocol: str, url: str, stream_key: str) -> str:
    """An RTMP URL without a key beside it carries the key itself, in its path or its query."""
    bare = protocol == "rtmp" and (not stream_key or "?" in url)
    return redact(url, keep_path=not bare)
