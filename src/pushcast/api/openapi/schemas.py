"""What the API's bodies look like: JSON Schema 2020-12, as OpenAPI 3.1 has it.

Answers are closed (no member that is not written here), requests are open: a member that is not known is ignored, and
one of a wrong type counts as absent, as OvenMediaEngine has it.
"""

from __future__ import annotations

from typing import Any

from pushcast.api.pulls import MAX_URLS
from pushcast.egress.srt_members import MEMBERS
from pushcast.health import Health
from pushcast.push import Halt, PushState

Schema = dict[str, Any]

TIME = {
    "type": "string",
    "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d$",
    "description": "ISO 8601 in the server's zone; what has not happened yet is the epoch.",
    "examples": ["2026-11-25T18:00:00.000+01:00"],
}


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def closed(properties: dict[str, Schema], optional: tuple[str, ...] = ()) -> Schema:
    """An object of an answer: it has these members and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in optional],
        "additionalProperties": False,
    }


def asked(properties: dict[str, Schema], required: tuple[str, ...] = ()) -> Schema:
    """An object of a request."""
    return {"type": "object", "properties": properties} | ({"required": list(required)} if required else {})


def listed(items: Schema, **more: object) -> Schema:
    return {"type": "array", "items": items, **more}


def text(description: str = "", **more: object) -> Schema:
    return _typed({"type": "string"}, description, more)


def whole(description: str = "", **more: object) -> Schema:
    return _typed({"type": "integer", "minimum": 0}, description, more)


def number(description: str = "") -> Schema:
    return _typed({"type": "number", "minimum": 0}, description, {})


def _typed(kind: Schema, description: str, more: Schema) -> Schema:
    return kind | ({"description": description} if description else {}) | more


def enveloped(response: Schema | None, status: int = 200, message: str = "OK") -> Schema:
    """The whole body of an answer: ``{"statusCode", "message", "response"}``, without ``response`` for None."""
    members: dict[str, Schema] = {"statusCode": {"const": status}, "message": {"const": message}}
    return closed(members if response is None else members | {"response": response})


_MOMENT = {
    "type": ["string", "number"],
    "description": "ISO 8601 with an offset, or seconds since 1970.",
    "examples": ["2026-11-25T18:00:00+01:00"],
}
_WORDS = {"type": ["string", "array"], "items": {"type": "string"}, "description": "A word or a list of words."}

_STREAM_ASKED = asked(
    {
        "name": text("Name of the stream that is pushed.", minLength=1, examples=["show"]),
        "variantNames": listed(text(), description="Tracks by name; with both lists empty the protocol's choice."),
        "trackIds": listed(whole(), description="Tracks by id; `tracks` is another name for it."),
    },
    ("name",),
)

_TLS_ASKED = asked(
    {
        "serverName": text("What the certificate must be for, instead of the URL's host."),
        "ca": text("Authorities as PEM text, instead of the system's."),
        "fingerprint": text("SHA-256 of the server's certificate; counts instead of authorities and name."),
        "certificate": text("PEM text of what is shown to the server, its chain behind it."),
        "key": text("PEM text of its private key.  Masked for tokens of role `read`."),
        "insecure": {"type": "boolean", "description": "The server's certificate is not checked."},
    }
)

_OF_KIND: dict[type, Schema] = {int: {"type": "integer"}, bool: {"type": "boolean"}, str: {"type": "string"}}

_RETRY_ASKED = {
    **asked(
        {
            "initial": number("Seconds: the shortest wait."),
            "max": number("Seconds: the longest wait."),
            "factor": number("By which waits grow."),
            "jitter": number("The part of a wait that is left to chance, 0 to 1."),
            "giveUpAfter": whole("Failures in a row, 0: never."),
        }
    ),
    "description": "What happens after a failure.",
}
_STALL_TIMEOUT = number("Seconds after which a peer that takes nothing is lost, 1 to 600.")

_BACKUPS = listed(
    {"anyOf": [text(), asked({"url": text(), "streamKey": text()}, ("url",))]},
    description="Where it goes, in turn, when the destination before fails.",
)
_HOLD = whole("Milliseconds for which the connection is kept when the stream is lost.")
_FAIL_BACK = number("Seconds between two looks, from a backup, at the first destination.")

_SRT_ASKED = {
    **asked({name: _OF_KIND[kind] for name, (kind, _, _) in MEMBERS.items()}),
    "description": "For `srt` alone; they beat those of the URL.",
}

_PUSH_ASKED = {
    "id": text("Unique in its application.", minLength=1, examples=["platform"]),
    "stream": _STREAM_ASKED,
    "protocol": text("`rtmp`, `srt` or `mpegts`, in any case.", examples=["rtmp"]),
    "url": text(
        "`rtmp://host[:port]/app`, `rtmps://...`, `srt://host:port?mode=caller&latency=...` or `udp://host:port`, `tcp://host:port`.",
        minLength=1,
        examples=["rtmp://live.example.net/app"],
    ),
    "streamKey": text("RTMP alone; the others ignore it.", examples=["0000-1111"]),
    "tls": {**_TLS_ASKED, "description": "For `rtmps://` alone."},
    "srtOptions": _SRT_ASKED,
    "startAt": _MOMENT,
    "stopAt": _MOMENT,
    "maxDuration": {"type": "number", "exclusiveMinimum": 0, "description": "Seconds of pushing."},
    "retry": _RETRY_ASKED,
    "stallTimeout": _STALL_TIMEOUT,
    "backupUrls": _BACKUPS,
    "failBack": _FAIL_BACK,
    "holdMs": _HOLD,
}
_PUSH_NEEDS = ("id", "stream", "protocol", "url")

_STATE = {"type": "string", "enum": [state.value for state in PushState]}

_PUSH = closed(
    {
        "id": text(),
        "state": _STATE,
        "vhost": text(),
        "app": text(),
        "stream": closed({"name": text(), "trackIds": listed(whole()), "variantNames": listed(text())}),
        "protocol": {"enum": ["rtmp", "srt", "mpegts"]},
        "url": text("Masked for tokens of role `read`."),
        "streamKey": text("Masked for tokens of role `read`."),
        "sentBytes": whole("Since the latest connect."),
        "sentTime": whole("Milliseconds of pushing since the latest connect."),
        "sequence": whole("Sessions that have ended."),
        "totalsentBytes": whole(),
        "totalsentTime": whole("Milliseconds."),
        "createdTime": TIME,
        "startTime": TIME,
        "finishTime": TIME,
        "isConfig": {"type": "boolean", "description": "A rule of the configuration made it."},
        "halted": {"enum": [halt.value for halt in Halt], "description": "Why it is `stopped` and still there."},
        "paused": {"type": "boolean"},
        "startAt": TIME,
        "stopAt": TIME,
        "maxDuration": number("Seconds."),
        "retry": _RETRY_ASKED,
        "stallTimeout": _STALL_TIMEOUT,
        "backupUrls": _BACKUPS,
        "failBack": _FAIL_BACK,
        "holdMs": _HOLD,
        "activeBackup": whole("Which of them it goes to, from 1."),
        "tls": _TLS_ASKED,
        "srtOptions": _SRT_ASKED,
        "warnings": listed(text(), description="What is allowed and should be known of."),
        "connection": closed(
            {
                "tls": closed(
                    {
                        "version": text(examples=["TLSv1.3"]),
                        "cipher": text(),
                        "verifiedBy": {"enum": ["authorities and name", "fingerprint", "nothing"]},
                        "resumed": {"type": "boolean"},
                    }
                )
            },
            ("tls",),
        ),
        "overload": text("The destination takes less than the stream."),
        "health": {"enum": [health.value for health in Health], "description": "While it is `pushing`."},
        "healthReason": text(),
        "statistics": {
            "type": "object",
            "description": "Of the session in hand, with `details` alone; which there are depends on the protocol.",
            "additionalProperties": {"type": ["number", "string"]},
        },
        "history": listed(
            closed({"time": TIME, "from": _STATE, "to": _STATE, "reason": text()}),
            description="The latest changes of state, with `details` alone.",
        ),
        "lastError": closed({"code": text(), "reason": text(), "time": TIME}),
        "retryCount": whole("Failures in a row."),
        "nextRetryTime": TIME,
        "gaveUp": text("Why it tries no more: restart or update it."),
    },
    (
        "halted",
        "paused",
        "startAt",
        "stopAt",
        "maxDuration",
        "retry",
        "stallTimeout",
        "backupUrls",
        "failBack",
        "holdMs",
        "activeBackup",
        "tls",
        "srtOptions",
        "warnings",
        "connection",
        "overload",
        "health",
        "healthReason",
        "statistics",
        "history",
        "lastError",
        "retryCount",
        "nextRetryTime",
        "gaveUp",
    ),
)

_OUTCOME = closed({"statusCode": whole(), "message": text(), "response": ref("Push")}, ("response",))

_TIMEBASE = closed({"num": whole(), "den": whole()})
_TRACK = closed(
    {
        "id": whole(),
        "name": text("What `variantNames` of a push matches."),
        "type": {"enum": ["Video", "Audio", "Data"]},
        "video": closed(
            {
                "bypass": {"const": True},
                "codec": text(examples=["H264"]),
                "width": whole(),
                "height": whole(),
                "bitrate": whole("Bits per second; 0: not known."),
                "framerate": number(),
                "timebase": _TIMEBASE,
            }
        ),
        "audio": closed(
            {
                "bypass": {"const": True},
                "codec": text(examples=["AAC"]),
                "samplerate": whole(),
                "channel": whole(),
                "bitrate": whole("Bits per second; 0: not known."),
                "timebase": _TIMEBASE,
            }
        ),
    },
    ("video", "audio"),
)

_STREAM = closed(
    {
        "name": text(),
        "input": closed(
            {
                "sourceType": text(examples=["Rtmp"]),
                "sourceUrl": text("Without what may be secret in it."),
                "createdTime": TIME,
                "tracks": listed(ref("Track")),
            },
            ("sourceUrl",),
        ),
        "outputs": listed(closed({"name": text(), "tracks": listed(ref("Track"))})),
    }
)

_PULL_ASKED = asked(
    {
        "name": text(minLength=1, maxLength=128, pattern=r"^[^\s/:?#%\\]+$", examples=["show"]),
        "urls": listed(
            text("RTMP, SRT, RTSP, HTTP, UDP or TCP.", examples=["rtsp://camera.example.net/1"]),
            minItems=1,
            maxItems=MAX_URLS,
        ),
        "properties": asked(
            {
                "persistent": {"type": "boolean", "description": "It is pulled again whenever it ends."},
                "noInputFailoverTimeoutMs": whole("Silence after which the next URL is tried."),
                "unusedStreamDeletionTimeoutMs": whole("Without a push for so long, it ends."),
                "retryCount": whole(),
                "ignoreRtcpSRTimestamp": {"type": "boolean", "description": "Taken, and without effect."},
            }
        ),
    },
    ("name", "urls"),
)

_METRICS = closed(
    {
        "createdTime": TIME,
        "lastUpdatedTime": TIME,
        "totalBytesIn": whole(),
        "totalBytesOut": whole(),
        **{
            f"{kind}Throughput{way}": number("Bits per second.")
            for kind in ("avg", "max", "last")
            for way in ("In", "Out")
        },
        "lastRecvTime": TIME,
        "lastSentTime": TIME,
        "totalConnections": whole("Pushes that are `pushing`."),
        "maxTotalConnections": whole(),
        "maxTotalConnectionTime": TIME,
        "connections": closed(
            {name: whole() for name in ("webrtc", "llhls", "ovt", "file", "push", "thumbnail", "hls", "srt")}
        ),
    }
)

_TURNS = closed({"destinations": whole(), "intervalMs": whole(), "configuredMs": whole(), "mostMs": whole()})
_SENDERS = closed(
    {
        "threads": listed(
            closed(
                {
                    "name": text(),
                    "bytesPerSecond": number(),
                    "busy": number("A part of 1."),
                    "lateMsMax": number("How late a slot began at the most."),
                    "udp": _TURNS,
                    "srt": _TURNS,
                    "tcp": _TURNS,
                }
            )
        ),
        "srtPorts": listed(closed({"sockets": whole(), "bytesPerSecond": number(), "overloadedSockets": whole()})),
    }
)

_CHECK = closed(
    {
        "ok": {"type": "boolean"},
        "steps": listed(
            closed(
                {
                    "step": {"enum": ["request", "stream", "codecs", "connect"]},
                    "ok": {"type": "boolean"},
                    "detail": text(),
                }
            )
        ),
    }
)

SCHEMAS: dict[str, Schema] = {
    "StartPush": asked(_PUSH_ASKED, _PUSH_NEEDS),
    "CheckPush": asked(_PUSH_ASKED, _PUSH_NEEDS[1:]),
    "UpdatePush": asked(_PUSH_ASKED, ("id",)),
    "PushId": asked({"id": text("Of the push.", minLength=1, examples=["platform"])}, ("id",)),
    "ListPushes": asked(
        {
            "id": text("That push alone."),
            "ids": _WORDS,
            "state": _WORDS,
            "stream": _WORDS,
            "protocol": _WORDS,
            "limit": {"type": "integer", "minimum": 1},
            "after": text("Pushes behind this id."),
            "details": {"type": "boolean", "description": "`statistics` and `history` too."},
        }
    ),
    "StartPushes": asked({"pushes": listed(ref("StartPush"))}, ("pushes",)),
    "StopPushes": asked({"ids": listed(text(minLength=1))}, ("ids",)),
    "CreateStream": _PULL_ASKED,
    "Push": _PUSH,
    "Outcomes": listed(_OUTCOME),
    "Check": _CHECK,
    "Version": closed({"version": text(), "gitVersion": text()}),
    "Vhost": closed({"name": text(), "host": closed({"names": listed(text())})}),
    "App": closed(
        {
            "name": text(),
            "type": text(),
            "dynamic": {"type": "boolean"},
            "providers": {"type": "object"},
            "publishers": {"type": "object"},
        }
    ),
    "Stream": _STREAM,
    "Track": _TRACK,
    "Metrics": _METRICS,
    "Senders": _SENDERS,
    "Error": closed({"statusCode": whole(), "message": text("`[HTTP] <text> (<status>)`.")}),
}
