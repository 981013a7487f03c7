"""What a push looks like: what is asked for, and what is answered."""

from __future__ import annotations

from pushcast.api.openapi.words import TIME, Schema, asked, closed, listed, number, text, whole
from pushcast.egress.srt_members import MEMBERS
from pushcast.egress.ts_members import MEMBERS as TS_MEMBERS
from pushcast.egress.ts_members import PACINGS
from pushcast.health import Health
from pushcast.media import Enhanced
from pushcast.presets import PRESETS
from pushcast.push_state import Halt, PushState

_MOMENT = {
    "type": ["string", "number"],
    "description": "ISO 8601 with an offset, or seconds since 1970.",
    "examples": ["2026-11-25T18:00:00+01:00"],
}

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
_DELAY = whole("Milliseconds that it stays behind the stream, up to 600000.")
_FAIL_BACK = number("Seconds between two looks, from a backup, at the first destination.")

_SRT_ASKED = {
    **asked({name: _OF_KIND[kind] for name, (kind, _, _) in MEMBERS.items()}),
    "description": "For `srt` alone; they beat those of the URL.",
}

_TS_ASKED = {
    **asked(
        {
            **{name: _OF_KIND[member.kind] for name, member in TS_MEMBERS.items()},
            "pacing": {"enum": list(PACINGS), "description": "`frame`: each frame leaves within the time of one."},
        }
    ),
    "description": "For `mpegts` and `srt`: how the transport stream is made.",
}

_PRESET = {
    "enum": list(PRESETS),
    "description": "A service: fills in protocol and url where they are not given, warns of what it would not have.",
}

_ENHANCED = {
    "enum": list(Enhanced),
    "description": "For `rtmp`: `auto` as far as the tracks need it, `always` for everything and all tracks, `never`.",
}

PUSH_ASKED = {
    "id": text("Unique in its application.", minLength=1, examples=["platform"]),
    "stream": _STREAM_ASKED,
    "protocol": text("`rtmp`, `srt` or `mpegts`, in any case.", examples=["rtmp"]),
    "url": text(
        "`rtmp://host[:port]/app`, `rtmps://...`, `srt://host:port?mode=caller&latency=...`, or with a port `udp://host:port`,"
        " `rtp://...`, `tcp://...`.",
        minLength=1,
        examples=["rtmp://live.example.net/app"],
    ),
    "streamKey": text("RTMP alone; the others ignore it.", examples=["0000-1111"]),
    "preset": _PRESET,
    "tls": {**_TLS_ASKED, "description": "For `rtmps://` alone."},
    "enhanced": _ENHANCED,
    "srtOptions": _SRT_ASKED,
    "mpegtsOptions": _TS_ASKED,
    "startAt": _MOMENT,
    "stopAt": _MOMENT,
    "maxDuration": {"type": "number", "exclusiveMinimum": 0, "description": "Seconds of pushing."},
    "retry": _RETRY_ASKED,
    "stallTimeout": _STALL_TIMEOUT,
    "backupUrls": _BACKUPS,
    "failBack": _FAIL_BACK,
    "delayMs": _DELAY,
    "holdMs": _HOLD,
}
# Protocol and url too, unless a preset fills them in.
PUSH_NEEDS = ("id", "stream")

_STATE = {"type": "string", "enum": [state.value for state in PushState]}

PUSH = closed(
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
        "delayMs": _DELAY,
        "holdMs": _HOLD,
        "activeBackup": whole("Which of them it goes to, from 1."),
        "tls": _TLS_ASKED,
        "enhanced": _ENHANCED,
        "srtOptions": _SRT_ASKED,
        "mpegtsOptions": _TS_ASKED,
        "preset": _PRESET,
        "warnings": listed(text(), description="What is allowed and should be known of."),
        "skippedTracks": listed(
            closed({"id": whole(), "name": text(), "codec": text(examples=["AV1"]), "reason": text()}),
            description="Tracks that the destination cannot carry, of the stream that it pushed last.",
        ),
        "connection": closed(
            {
                "movedTo": text("Where it goes on, as the server asked."),
                "tls": closed(
                    {
                        "version": text(examples=["TLSv1.3"]),
                        "cipher": text(),
                        "verifiedBy": {"enum": ["authorities and name", "fingerprint", "nothing"]},
                        "resumed": {"type": "boolean"},
                    }
                ),
            },
            ("movedTo", "tls"),
        ),
        "overload": text("The destination takes less than the stream."),
        "health": {"enum": [health.value for health in Health], "description": "While it is `pushing`."},
        "healthReason": text(),
        "statistics": {
            "type": "object",
            "description": "Of the session in hand, with `details` alone; which there are depends on the protocol.",
            "properties": {
                "transportStream": {
                    "type": "object",
                    "description": "Errors by TR 101 290, and the longest distances of PCR and tables.",
                    "additionalProperties": {"type": "number"},
                }
            },
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
        "delayMs",
        "holdMs",
        "activeBackup",
        "tls",
        "enhanced",
        "srtOptions",
        "mpegtsOptions",
        "preset",
        "warnings",
        "skippedTracks",
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
