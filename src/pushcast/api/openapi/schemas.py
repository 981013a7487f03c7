"""What the API's bodies look like: JSON Schema 2020-12, as OpenAPI 3.1 has it.

Answers are closed (no member that is not written here), requests are open: a member that is not known is ignored, and
one of a wrong type counts as absent, as OvenMediaEngine has it.
"""

from __future__ import annotations

from pushcast.api.openapi.push_schemas import PUSH, PUSH_ASKED, PUSH_NEEDS
from pushcast.api.openapi.words import TIME, Schema, asked, closed, listed, number, ref, text, whole
from pushcast.pull_url import MAX_URLS

_WORDS = {"type": ["string", "array"], "items": {"type": "string"}, "description": "A word or a list of words."}

_OUTCOME = closed({"statusCode": whole(), "message": text(), "response": ref("Push")}, ("response",))

_TIMEBASE = closed({"num": whole(), "den": whole()})
_BITRATES = {
    "bitrate": whole("Bits per second, as the publisher said; 0: it did not."),
    "bitrateConf": whole(),
    "bitrateAvg": whole("As it came, since the beginning."),
    "bitrateLatest": whole("In the last second."),
}
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
                "maxWidth": whole(),
                "height": whole(),
                "maxHeight": whole(),
                **_BITRATES,
                "framerate": number("As the publisher said; 0: it did not."),
                "framerateConf": number(),
                "framerateAvg": number("As it came, since the beginning."),
                "framerateLatest": number("In the last second."),
                "timebase": _TIMEBASE,
                "hasBframes": {"type": "boolean"},
                "keyFrameInterval": whole("Frames between the last two keyframes."),
                "keyFrameIntervalConf": whole("Not known here."),
                "keyFrameIntervalAvg": number(),
                "keyFrameIntervalLatest": whole(),
                "deltaFramesSinceLastKeyFrame": whole(),
            }
        ),
        "audio": closed(
            {
                "bypass": {"const": True},
                "codec": text(examples=["AAC"]),
                "samplerate": whole(),
                "channel": whole(),
                **_BITRATES,
                "timebase": _TIMEBASE,
                "language": text("Three letters of ISO 639-2.", examples=["deu"]),
            },
            ("language",),
        ),
        "data": closed({"codec": text(examples=["SCTE35"])}),
    },
    ("video", "audio", "data"),
)

_STREAM = closed(
    {
        "name": text(),
        "input": closed(
            {
                "sourceType": text(examples=["Rtmp"]),
                "sourceUrl": text("Without what may be secret in it."),
                "createdTime": TIME,
                "statistics": {
                    "type": "object",
                    "description": "Of a transport stream that comes in, and of SRT or RTP under it.",
                    "additionalProperties": {"type": "number"},
                },
                "tracks": listed(ref("Track")),
            },
            ("sourceUrl", "statistics"),
        ),
        "outputs": listed(
            closed({"name": text(), "tracks": listed(ref("Track")), "playlists": listed({}, maxItems=0)})
        ),
    }
)

_ENCODE = closed(
    {
        "bypass": {"type": "boolean", "const": True},
        "name": text(),
        "language": text(),
        "trackIds": listed(whole()),
        "index": whole(),
        "sourceLanguage": text(),
    },
    ("name", "language", "trackIds", "index", "sourceLanguage"),
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
                    "paced": {**_TURNS, "description": "Destinations of any protocol whose bytes are spread in time."},
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
    "StartPush": asked(PUSH_ASKED, PUSH_NEEDS),
    "CheckPush": asked(PUSH_ASKED, PUSH_NEEDS[1:]),
    "UpdatePush": asked(PUSH_ASKED, ("id",)),
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
    "Push": PUSH,
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
            "outputProfiles": closed({"outputProfile": listed(ref("OutputProfile"))}),
            "publishers": {"type": "object"},
        },
        ("outputProfiles",),
    ),
    "OutputProfile": closed(
        {
            "name": text(),
            "outputStreamName": text(examples=["${OriginStreamName}_hd"]),
            "encodes": {"type": "object", "additionalProperties": listed(_ENCODE)},
        }
    ),
    "Stream": _STREAM,
    "Track": _TRACK,
    "Metrics": _METRICS,
    "Senders": _SENDERS,
    "Error": closed({"statusCode": whole(), "message": text("`[HTTP] <text> (<status>)`.")}),
}
