"""The publishing role: connect, releaseStream + FCPublish + createStream, publish, and what the server says to it.

Round trips after TCP: the handshake, connect, createStream, publish.  Answers to releaseStream and FCPublish are not
waited for and their errors ignored: they are no part of RTMP 1.0, and servers that do not know them take the publish
all the same.

The words of a server may repeat what we sent; the key, and every query value in application and URL, is struck out of
them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import quote, unquote

from pushcast.chunk import ChunkReader
from pushcast.errors import LocalProtocolError, Rejected
from pushcast.message import Message
from pushcast.rtmp import amf0, messages
from pushcast.rtmp.connection import CLIENT_TRANSITIONS, Connection, State
from pushcast.rtmp.enhanced import RECONNECTS, capabilities
from pushcast.rtmp.events import (
    Connect,
    Connected,
    Event,
    Hello,
    Notice,
    Prepare,
    Publish,
    ReconnectRequest,
    Started,
    StreamCreated,
    Unpublish,
)
from pushcast.rtmp.handshake import ClientHandshake
from pushcast.rtmp.messages import Command, Type

# Old servers look for the FMLE prefix before they let anybody publish.
FLASH_VERSION = "FMLE/3.0 (compatible; pushcast)"
# Larger than almost every frame, so that a message is one chunk and its bytes stand in one piece.
CHUNK_SIZE = 65536
# How often the server shall acknowledge: nginx-rtmp's own default, some 16 s of 2.5 Mbit/s.  What hundreds of peers say
# there TCP knows already, and hearing it is most of what the event loop does while they only receive.
WINDOW_BYTES = 5_000_000
# A server says little; what it says beyond this is not for a publisher.
MAX_MESSAGE_BYTES = 64 * 1024
MAX_PARTIAL_BYTES = 128 * 1024

# Final whatever level they come with.
REFUSALS: Final = frozenset(
    {
        "NetConnection.Connect.Rejected",
        "NetConnection.Connect.InvalidApp",
        "NetStream.Publish.BadName",
        "NetStream.Publish.Denied",
        "NetStream.Publish.Rejected",
        "NetStream.Publish.Failed",
    }
)

_CONNECT, _RELEASE, _FC_PUBLISH, _CREATE, _PUBLISH, _FC_UNPUBLISH, _DELETE = range(1, 8)
# What we wait for, by state, in the words of the protocol.
_EXPECTED: Final = {
    State.CONNECTING: ("connect", "NetConnection.Connect.Success"),
    State.CREATING: ("createStream", "a message stream id"),
    State.STARTING: ("publish", "NetStream.Publish.Start"),
}
_MAX_WORDS = 300
RECONNECT_REQUEST = "NetConnection.Connect.ReconnectRequest"
_MAX_URL_CHARS = 4096
_ANSWERS: Final = tuple(amf0.encode(name) for name in ("_result", "_error", "onStatus"))


class ClientConnection(Connection):
    """``send`` takes Hello, Connect, Prepare, Publish and Unpublish.

    ``next_event`` gives HandshakeDone, Connected, StreamCreated, Started, Acknowledged, Notice and ReconnectRequest,
    and raises Rejected when the server refuses.
    """

    transitions = CLIENT_TRANSITIONS
    __slots__ = ("_key", "_message_stream_id", "_secrets")

    def __init__(self, now_ms: int = 0) -> None:
        reader = ChunkReader(MAX_MESSAGE_BYTES, MAX_PARTIAL_BYTES, 16)
        super().__init__(ClientHandshake(now_ms), State.IDLE, reader)
        self._key = ""
        self._message_stream_id = 0
        self._secrets: tuple[str, ...] = ()

    def _build(self, event: Event, before: State) -> bytes:
        match event:
            case Hello() if self._handshake is not None:
                return self._handshake.hello()
            case Connect(app, tc_url, enhanced):
                self._secrets = tuple(_secrets_of_query(app)) + tuple(_secrets_of_query(tc_url))
                asked: dict[str, amf0.Value] = {"app": app, "type": "nonprivate", "flashVer": FLASH_VERSION}
                asked |= {"tcUrl": tc_url, **(capabilities(reconnects=True) if enhanced else {"capsEx": RECONNECTS})}
                return self._write(Command("connect", _CONNECT, asked))
            case Prepare(key):
                return self._prepare(key)
            case Publish(key, message_stream_id):
                self._message_stream_id = message_stream_id
                return self._write(Command("publish", _PUBLISH, None, (key, "live")), message_stream_id)
            case Unpublish():
                return self._write(Command("FCUnpublish", _FC_UNPUBLISH, None, (self._key,))) + self._write(
                    Command("deleteStream", _DELETE, None, (float(self._message_stream_id),))
                )
            case _:
                raise LocalProtocolError(f"RTMP client: cannot send {type(event).__name__}")

    def _prepare(self, key: str) -> bytes:
        self._key = key
        self._secrets += (key, key.partition("?")[0], *_secrets_of_query(key))
        self._window_sent_bytes = WINDOW_BYTES
        return b"".join(
            self._write(message)
            for message in (
                messages.WindowAckSize(WINDOW_BYTES),
                messages.SetChunkSize(CHUNK_SIZE),
                Command("releaseStream", _RELEASE, None, (key,)),
                Command("FCPublish", _FC_PUBLISH, None, (key,)),
                Command("createStream", _CREATE, None),
            )
        )

    def _on_message(self, message: Message) -> Event | None:
        # Only answers are decoded: onBWDone, onFCPublish and the like ask for nothing, and may hold what AMF0 does not.
        is_command = message.type in (Type.COMMAND, Type.COMMAND_AMF3)
        if is_command and not message.payload.lstrip(b"\0").startswith(_ANSWERS):
            return None
        return super()._on_message(message)

    def _on_media(self, message: Message) -> Event | None:
        return None

    def _on_data(self, message: Message) -> Event | None:
        return None

    def _on_command(self, command: Command, message_stream_id: int) -> Event | None:
        if command.name == "_result":
            return self._on_result(command)
        if command.name == "_error":
            return self._on_error(command)
        return self._on_status(_info(command))

    def _on_result(self, command: Command) -> Event | None:
        if self.state is State.CONNECTING and command.transaction_id == _CONNECT:
            info = _info(command)
            if info.get("level") == "error" or info.get("code") in REFUSALS:
                raise self._rejected(info)
            return Connected()
        # Some servers answer createStream with transaction id 0; only its answer holds a number.
        if self.state is State.CREATING and command.transaction_id in (_CREATE, 0):
            number = command.arguments[0] if command.arguments else None
            if isinstance(number, float) and 0 <= number <= 0xFFFFFFFF and number.is_integer():
                return StreamCreated(int(number))
            if command.transaction_id == _CREATE:
                raise self._rejected({"code": "an answer without one"})
        return None

    def _on_error(self, command: Command) -> Event | None:
        awaited = {State.CONNECTING: _CONNECT, State.CREATING: _CREATE, State.STARTING: _PUBLISH}.get(self.state)
        if command.transaction_id == awaited:
            raise self._rejected(_info(command))
        return None

    def _on_status(self, info: Mapping[str, amf0.Value]) -> Event | None:
        code = info.get("code")
        if info.get("level") == "error" or code in REFUSALS:
            raise self._rejected(info)
        if code == "NetStream.Publish.Start" and self.state is State.STARTING:
            return Started()
        if code == RECONNECT_REQUEST:
            tc_url = info.get("tcUrl")
            return ReconnectRequest(tc_url[:_MAX_URL_CHARS] if isinstance(tc_url, str) else "")
        return Notice(self._words(code), self._words(info.get("description")))

    def _rejected(self, info: Mapping[str, amf0.Value]) -> Rejected:
        step, expected = _EXPECTED.get(self.state, ("publishing", "nothing"))
        code = info.get("code")
        # A known code cannot hold a key, and a short key shall not spoil it.
        said = (code if code in REFUSALS else self._words(code), self._words(info.get("description")))
        words = ": ".join(word for word in said if isinstance(word, str) and word)
        description = info.get("description")
        return Rejected(
            f"{step}: expected {expected}, got {words or 'an error without words'}",
            description if isinstance(description, str) else "",
            _redirect(info),
        )

    def _words(self, text: amf0.Value) -> str:
        """What the server said, fit for a log line: printable, short, and without what is secret."""
        if not isinstance(text, str):
            return ""
        for secret in sorted(filter(None, self._secrets), key=len, reverse=True):
            for form in (secret, quote(secret), quote(secret, safe=""), unquote(secret)):
                text = text.replace(form, "***")
        return "".join(letter if letter.isprintable() else " " for letter in text)[:_MAX_WORDS].strip()


def _info(command: Command) -> Mapping[str, amf0.Value]:
    """The information object of an answer or a status: the first argument that is one."""
    for value in (*command.arguments, command.object):
        if isinstance(value, Mapping) and ("code" in value or "level" in value):
            return value
    return {}


def _redirect(info: Mapping[str, amf0.Value]) -> str:
    """The URL of ``ex: {code: 302, redirect}``, as Adobe's servers and SRS have it."""
    more = info.get("ex")
    if not isinstance(more, Mapping) or more.get("code") != 302:
        return ""
    url = more.get("redirect")
    return url if isinstance(url, str) else ""


def _secrets_of_query(text: str) -> Iterator[str]:
    for option in text.partition("?")[2].split("&"):
        name, equals, value = option.partition("=")
        yield value if equals else name
