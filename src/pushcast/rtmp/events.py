"""What happens on an RTMP connection.  What one role sends is what the other receives, so both use the same words.

Stream keys and what may hold one have no repr.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from pushcast.message import Message
from pushcast.rtmp import amf0


@dataclass(frozen=True, slots=True)
class Hello:
    """Client sends: C0 and C1."""


@dataclass(frozen=True, slots=True)
class HandshakeDone:
    """Either receives: the peer's echo came."""


@dataclass(frozen=True, slots=True)
class Connect:
    """Client to server: enter an application.  ``app`` keeps its query; ``tc_url`` is the URL without the stream.

    ``enhanced``: the client says what of enhanced RTMP it may send.
    """

    app: str = field(repr=False)
    tc_url: str = field(repr=False)
    enhanced: bool = True


@dataclass(frozen=True, slots=True)
class Accept:
    """Server sends: the application is entered."""


@dataclass(frozen=True, slots=True)
class Connected:
    """Client receives: the answer to Connect."""


@dataclass(frozen=True, slots=True)
class Prepare:
    """Client sends: releaseStream, FCPublish and createStream; on the server they are answered without an event."""

    key: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class StreamCreated:
    """Client receives: the answer to createStream."""

    message_stream_id: int


@dataclass(frozen=True, slots=True)
class Publish:
    """Client to server: media for ``key`` is about to come on this message stream."""

    key: str = field(repr=False)
    message_stream_id: int


@dataclass(frozen=True, slots=True)
class Start:
    """Server sends: NetStream.Publish.Start."""


@dataclass(frozen=True, slots=True)
class Started:
    """Client receives: NetStream.Publish.Start."""


@dataclass(frozen=True, slots=True)
class Refuse:
    """Server sends: no, with a code such as NetStream.Publish.BadName.  The client's next_event raises Rejected."""

    code: str
    description: str


@dataclass(frozen=True, slots=True)
class Unpublish:
    """Client to server: the wanted end, as FCUnpublish and deleteStream; the server takes whichever comes first."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """Server receives: the object of onMetaData, with or without @setDataFrame before it."""

    values: Mapping[str, amf0.Value] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Data:
    """Server receives: a data message that is no metadata, as it came."""

    timestamp_ms: int
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Media:
    """Server receives: audio or video that came before the chunk reader knew its sink."""

    message: Message


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """Either receives: the peer has so many bytes, mod 2**32, handshake not counted."""

    received_bytes: int


@dataclass(frozen=True, slots=True)
class Notice:
    """Client receives: a status that changes nothing."""

    code: str
    description: str


@dataclass(frozen=True, slots=True)
class ReconnectRequest:
    """Client receives: come to this URL without the stream, absolute or relative, or when it is empty here again.

    E-RTMP v2, reconnect request.
    """

    tc_url: str = field(repr=False)


Event: TypeAlias = (
    Hello
    | HandshakeDone
    | Connect
    | Accept
    | Connected
    | Prepare
    | StreamCreated
    | Publish
    | Start
    | Started
    | Refuse
    | Unpublish
    | Metadata
    | Data
    | Media
    | Acknowledged
    | Notice
    | ReconnectRequest
)
