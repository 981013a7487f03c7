"""The API's operations: what is called how, who may, and which answers there are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pushcast.access import Role
from pushcast.api.answers import REALM
from pushcast.api.idempotency import MOST_KEY_CHARS
from pushcast.api.openapi.words import TIME, Schema, closed, enveloped, listed, ref, text, whole

APP = "/v1/vhosts/{vhost}/apps/{app}"
STREAM = f"{APP}/streams/{{stream}}"
STATS = "/v1/stats/current"

PUSHES, STREAMS, HOSTS, STATISTICS = "Pushes", "Streams", "Virtual hosts and applications", "Statistics"

TAGS = {
    PUSHES: "A push sends one stream to one destination. One whose stream is not there waits for it.",
    STREAMS: "What is live.",
    HOSTS: "The configuration makes them.",
    STATISTICS: "Numbers of now, and what happens to pushes as it happens.",
}


@dataclass(frozen=True, slots=True)
class Operation:
    """``role`` None: any token.  ``refusals``: statuses beside those that every operation has."""

    id: str
    method: str
    path: str
    tag: str
    summary: str
    description: str
    role: Role | None
    answers: dict[int, Schema | None]
    body: str = ""
    body_required: bool = True
    refusals: tuple[int, ...] = ()
    headers: tuple[Schema, ...] = ()
    queries: tuple[Schema, ...] = ()
    event_stream: bool = False
    deprecated: bool = False


def _header(name: str, description: str, **more: Any) -> Schema:
    return {"name": name, "in": "header", "description": description, "schema": text(**more)}


def _query(name: str, description: str, **more: Any) -> Schema:
    return {"name": name, "in": "query", "description": description, "schema": text(**more)}


def _push_action(
    id: str,
    summary: str,
    description: str,
    *,
    body: str = "PushId",
    answer: tuple[int, Schema] = (200, enveloped(ref("Push"))),
    refusals: tuple[int, ...] = (),
    headers: tuple[Schema, ...] = (),
) -> Operation:
    status, schema = answer
    return Operation(
        id,
        "post",
        f"{APP}:{id}",
        PUSHES,
        summary,
        description,
        Role.PUSH,
        {status: schema},
        body,
        refusals=(400, 404, *refusals),
        headers=headers,
    )


def _get(
    id: str,
    path: str,
    tag: str,
    summary: str,
    response: Schema,
    *,
    role: Role | None = Role.READ,
    refusals: tuple[int, ...] = (),
) -> Operation:
    return Operation(id, "get", path, tag, summary, "", role, {200: enveloped(response)}, refusals=refusals)


_MANY = (207, enveloped(ref("Outcomes"), 207, "Multi Status"))
_NAMES = listed(text())

OPERATIONS = (
    _push_action(
        "startPush",
        "Start a push",
        "It is in the store when this is answered, and runs as soon as its stream is live.",
        body="StartPush",
        refusals=(409, 503),
        headers=(
            _header(
                "Idempotency-Key",
                "The same key and body get the first answer again for a day, and start nothing a second time.",
                minLength=1,
                maxLength=MOST_KEY_CHARS,
                pattern="^[!-~]+$",
            ),
        ),
    ),
    _push_action(
        "stopPush",
        "Stop a push",
        "Its id is free at once.",
        answer=(200, enveloped(None)),
        refusals=(503,),
    ),
    Operation(
        "listPushes",
        "post",
        f"{APP}:pushes",
        PUSHES,
        "List pushes",
        "All of the application, or those that the body asks for; ordered by id.",
        Role.READ,
        {200: enveloped(listed(ref("Push")))},
        "ListPushes",
        body_required=False,
        refusals=(400, 404),
    ),
    Operation(
        "getPushes",
        "get",
        f"{APP}:pushes",
        PUSHES,
        "List all pushes",
        "As OvenMediaEngine has it beside the POST.",
        Role.READ,
        {200: enveloped(listed(ref("Push")))},
        refusals=(404,),
        deprecated=True,
    ),
    _push_action(
        "startPushes",
        "Start many pushes",
        "An outcome for each, in the same order; a fault of one does not touch the others.",
        body="StartPushes",
        answer=_MANY,
    ),
    _push_action(
        "stopPushes",
        "Stop many pushes",
        "An outcome for each, in the same order.",
        body="StopPushes",
        answer=_MANY,
    ),
    _push_action(
        "updatePush",
        "Change a push in place",
        "The members that are there replace those of the push, which connects anew. Its stream cannot be changed.",
        body="UpdatePush",
        refusals=(409, 503),
    ),
    _push_action(
        "pausePush",
        "Pause a push",
        "It disconnects and is kept, over a restart of the server too.",
        refusals=(409, 503),
    ),
    _push_action("resumePush", "Resume a push", "It goes on as if it had just been started.", refusals=(409, 503)),
    _push_action("restartPush", "Restart a push", "It connects anew at once, whatever it waited for.", refusals=(409,)),
    _push_action(
        "checkPush",
        "Try a push",
        "Name resolution, connect, handshake, permission to publish and codecs, as a push would meet them. Nothing is "
        "pushed. A destination that refuses is an answer, not an error.",
        body="CheckPush",
        answer=(200, enveloped(ref("Check"))),
    ),
    _get("listStreams", f"{APP}/streams", STREAMS, "Names of the live streams", _NAMES, refusals=(404,)),
    Operation(
        "createStream",
        "post",
        f"{APP}/streams",
        STREAMS,
        "Pull a stream from a URL",
        "Answered when the stream is live, or when nothing came from any of its URLs: 502 says why.",
        Role.ADMIN,
        {201: enveloped(None, 201, "Created")},
        "CreateStream",
        refusals=(400, 404, 409, 502),
    ),
    _get("showStream", STREAM, STREAMS, "One stream with its tracks", ref("Stream"), refusals=(404,)),
    Operation(
        "deleteStream",
        "delete",
        STREAM,
        STREAMS,
        "End a stream",
        "A pull or a file ends; a publisher is disconnected, and may come again.",
        Role.ADMIN,
        {200: enveloped(None)},
        refusals=(404, 409),
    ),
    _get("listVhosts", "/v1/vhosts", HOSTS, "Names of the virtual hosts", _NAMES, role=None),
    _get("showVhost", "/v1/vhosts/{vhost}", HOSTS, "One virtual host", ref("Vhost"), refusals=(404,)),
    _get("listApps", "/v1/vhosts/{vhost}/apps", HOSTS, "Names of the applications", _NAMES, refusals=(404,)),
    _get("showApp", APP, HOSTS, "One application", ref("App"), refusals=(404,)),
    _get("version", "/v1/version", HOSTS, "Which pushcast this is", ref("Version"), role=None),
    _get("serverStats", STATS, STATISTICS, "Bytes and connections of the server", ref("Metrics")),
    _get("vhostStats", f"{STATS}/vhosts/{{vhost}}", STATISTICS, "Of a virtual host", ref("Metrics"), refusals=(404,)),
    _get(
        "appStats",
        f"{STATS}/vhosts/{{vhost}}/apps/{{app}}",
        STATISTICS,
        "Of an application",
        ref("Metrics"),
        refusals=(404,),
    ),
    _get(
        "streamStats",
        f"{STATS}/vhosts/{{vhost}}/apps/{{app}}/streams/{{stream}}",
        STATISTICS,
        "Of a stream",
        ref("Metrics"),
        refusals=(404,),
    ),
    _get("senders", "/v1/stats/senders", STATISTICS, "Sender threads and local ports of SRT callers", ref("Senders")),
    Operation(
        "events",
        "get",
        "/v1/events",
        STATISTICS,
        "Changes of state, as they happen",
        "Server-sent events: `push` for each change of state, `gap` when what came between is not kept any more.",
        Role.READ,
        {200: None},
        refusals=(400,),
        headers=(_header("Last-Event-ID", "Goes on behind this event.", pattern="^[0-9]{1,18}$"),),
        queries=(
            _query("after", "As `Last-Event-ID`, for clients that cannot set it.", pattern="^[0-9]{1,18}$"),
            _query("vhost", "Pushes of this virtual host alone."),
            _query("app", "Pushes of this application alone."),
        ),
        event_stream=True,
    ),
)

EVENT = closed(
    {
        "time": TIME,
        "vhost": text(),
        "app": text(),
        "id": text(),
        "stream": text(),
        "from": text(),
        "to": text(),
        "reason": text(),
    }
)

REFUSALS = {
    400: "The request is wrong; `message` says what was found and what is allowed.",
    401: "No token, or a wrong one.",
    403: "The token's role or scope does not reach this.",
    404: "There is no such virtual host, application, stream, push or path.",
    409: "It cannot be done now: the id or the name is taken, or the push is being changed.",
    413: "The body is larger than 1 MiB.",
    429: "This address has failed to log in too often.",
    502: "No stream came.",
    503: "The store cannot be written; nothing was changed.",
}
REFUSAL_HEADERS = {
    401: {"WWW-Authenticate": {"schema": {"const": REALM}}},
    429: {"Retry-After": {"description": "Seconds.", "schema": whole()}},
}
ALWAYS = (400, 401, 403, 413, 429)
