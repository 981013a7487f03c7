"""The push endpoints: ``:startPush``, ``:stopPush`` and ``:pushes``.

Field names, texts and the order of checks are OvenMediaEngine's; where its documentation and its behaviour differ
(a duplicate id, an array as body), the documentation wins.  Members of a wrong type count as absent and unknown
members are ignored.  After the documented members a push has ``isConfig`` (always false: a configuration file makes
no pushes), and once it has failed ``lastError``, ``retryCount`` (failures in a row, as of the last one) and
``nextRetryTime`` (while a retry is due).

Nothing here waits: the answers are made from what is known now.
"""

from __future__ import annotations

from collections.abc import Callable
from sys import intern
from typing import Any

from pushcast.api.body import Json, members, text_member
from pushcast.api.times import iso_time
from pushcast.egress import PROTOCOLS
from pushcast.errors import InvalidRequest
from pushcast.push import Push, PushSettings
from pushcast.scheduler import Scheduler

TRACK_ID_LIMIT = 1 << 32  # a track id is 32 bits wide, in the ring and on the wire of enhanced RTMP

Action = Callable[[Scheduler, str, str, Json], object]
"""What an action does: (scheduler, vhost, app, body) -> ``response``, None when the answer has no such member."""


def start_push(scheduler: Scheduler, vhost: str, app: str, body: Json) -> dict[str, Any]:
    """``:startPush``.  :raises InvalidRequest: 400.  :raises Conflict: 409, the app has that id already."""
    request = members(body)
    stream = request.get("stream")
    stream = stream if isinstance(stream, dict) else {}
    word = text_member(request, "protocol").strip().lower()
    protocol = PROTOCOLS.get(word)
    if protocol is None:
        raise InvalidRequest(f"Could not find protocol '{word}': [{vhost}/{app}]")
    push_id, stream_name = text_member(request, "id"), text_member(stream, "name")
    url, stream_key = text_member(request, "url").strip(), text_member(request, "streamKey").strip()
    _require(("id", push_id), ("stream.name", stream_name), ("url", url))
    url = url.rstrip("/") if not url.endswith("://") else url
    push = scheduler.start(
        PushSettings(
            id=push_id,
            vhost=intern(vhost),  # pushes are many, and their names are few
            app=intern(app),
            stream_name=intern(stream_name),
            protocol=protocol.name,
            target=protocol.parse(url, stream_key),
            url=url,
            stream_key=stream_key,
            variant_names=_names(stream.get("variantNames")),
            track_ids=_ids(stream.get("trackIds")) or _ids(stream.get("tracks")),
        )
    )
    return push_json(push)


def stop_push(scheduler: Scheduler, vhost: str, app: str, body: Json) -> None:
    """``:stopPush``.  :raises InvalidRequest: 400, no id.  :raises NotFound: 404, no such push."""
    push_id = text_member(members(body), "id")
    _require(("id", push_id))
    scheduler.stop(vhost, app, push_id)


def list_pushes(scheduler: Scheduler, vhost: str, app: str, body: Json) -> list[dict[str, Any]]:
    """``:pushes``: all of the app by id, or the one that the body names; an unknown one is an empty list."""
    push_id = text_member(members(body), "id")
    if not push_id:
        return [push_json(push) for push in scheduler.pushes(vhost, app)]
    push = scheduler.get(vhost, app, push_id)
    return [push_json(push)] if push is not None else []


ACTIONS: dict[tuple[str, str], Action] = {
    ("POST", "startPush"): start_push,
    ("POST", "stopPush"): stop_push,
    ("POST", "pushes"): list_pushes,
    ("GET", "pushes"): list_pushes,
    ("HEAD", "pushes"): list_pushes,
}


def push_json(push: Push) -> dict[str, Any]:
    """A push as the API shows it."""
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
        "url": settings.url,
        "streamKey": settings.stream_key,
        "sentBytes": progress.sent_bytes,
        "sentTime": progress.sent_time_ms,
        "sequence": push.sequence,
        "totalsentBytes": progress.total_sent_bytes,
        "totalsentTime": progress.total_sent_time_ms,
        "createdTime": iso_time(push.created_time),
        "startTime": iso_time(push.start_time),
        "finishTime": iso_time(push.finish_time),
        "isConfig": False,
    }
    if overload := push.overload:
        shown["overload"] = overload
    if push.last_error is not None:
        error = push.last_error
        shown["lastError"] = {"code": error.code, "reason": error.reason, "time": iso_time(error.time)}
        shown["retryCount"] = push.retry_count
        if push.next_retry_time:
            shown["nextRetryTime"] = iso_time(push.next_retry_time)
    return shown


def _require(*parameters: tuple[str, str]) -> None:
    missing = "".join(f" {name}" for name, value in parameters if not value)
    if missing:
        raise InvalidRequest(f"There is no required parameter [{missing}]")


def _names(value: object) -> tuple[str, ...]:
    return tuple(name for name in value if isinstance(name, str)) if isinstance(value, list) else ()


def _ids(value: object) -> tuple[int, ...]:
    found = value if isinstance(value, list) else []
    return tuple(each for each in found if type(each) is int and 0 <= each < TRACK_ID_LIMIT)
