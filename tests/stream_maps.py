"""What tests of automatic pushes are made of: a rule, and an item of OvenMediaEngine's file."""

from __future__ import annotations

from pushcast.streammap_rule import Rule

STREAM_MACROS = "macros ${Application}, ${Stream}, ${SourceStream}"


def rule(**more: object) -> Rule:
    texts: dict[str, object] = {
        "place": "PLACE",
        "number": 4,
        "id": "r",
        "stream": "*",
        "protocol": "rtmp",
        "url": "rtmp://192.0.2.9/live",
    }
    return Rule(**(texts | more))  # type: ignore[arg-type]


def item(**elements: str) -> str:
    given = {"Enable": "true", "StreamName": "*", "Protocol": "rtmp", "Url": "rtmp://192.0.2.9/live", "StreamKey": "k"}
    return "<Push>" + "".join(f"<{name}>{text}</{name}>" for name, text in (given | elements).items()) + "</Push>"
