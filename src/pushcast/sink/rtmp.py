"""The commands of an RTMP publisher, answered as a media server does (RTMP 1.0, 7.2; FMLE's additions)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from pushcast.chunk import write_message
from pushcast.errors import RemoteProtocolError
from pushcast.rtmp import messages
from pushcast.rtmp.messages import Command, Csid, Limit, UserEvent

WINDOW_BYTES = 2_500_000
MAX_STREAMS = 8  # that one connection may create
_CHUNK_SIZE = 128  # the default: we never announce another
_ENDINGS = frozenset({"FCUnpublish", "deleteStream", "closeStream"})


class Answer(NamedTuple):
    """What follows from a command: bytes for the peer; whether media may come on its message stream from now on, and
    under which name; whether the publisher says that it stops."""

    reply: bytes = b""
    publishing: bool = False
    stream: str = ""
    ended: bool = False


class Dialogue:
    """One publisher.  Strict about the order of connect, createStream and publish; other calls are ignored."""

    def __init__(self) -> None:
        self._app: str | None = None
        self._created = 0
        self._published = False

    def answer(self, type: int, message_stream_id: int, payload: bytes) -> Answer:
        """Raises RemoteProtocolError when the publisher cannot go on like this."""
        command = messages.parse(type, payload)
        if not isinstance(command, Command):
            raise RemoteProtocolError(f"RTMP: expected a command, got a message of type {type}")
        match command.name:
            case "connect":
                return self._connect(command)
            case _ if self._app is None:
                raise RemoteProtocolError("RTMP: expected connect first, got another command")
            case "releaseStream":
                return Answer(_write(Command("_result", command.transaction_id)))
            case "FCPublish":
                return Answer(_write(_on("onFCPublish", "NetStream.Publish.Start")))
            case "createStream":
                return self._create_stream(command)
            case "publish":
                return self._publish(command, message_stream_id)
            case name if name in _ENDINGS:
                return Answer(_write(_on("onStatus", "NetStream.Unpublish.Success"), message_stream_id), ended=True)
            case _:
                return Answer()

    def _connect(self, command: Command) -> Answer:
        app = command.object.get("app") if isinstance(command.object, Mapping) else None
        if self._app is not None or not isinstance(app, str):
            raise RemoteProtocolError("RTMP connect: expected it once, with a string as app")
        self._app = app
        result = Command(
            "_result",
            command.transaction_id,
            {"fmsVer": "FMS/3,5,7,7009", "capabilities": 31.0},
            (
                {
                    "level": "status",
                    "code": "NetConnection.Connect.Success",
                    "description": "connected",
                    "objectEncoding": 0.0,
                },
            ),
        )
        return Answer(
            b"".join(
                _write(message)
                for message in (
                    messages.WindowAckSize(WINDOW_BYTES),
                    messages.SetPeerBandwidth(WINDOW_BYTES, Limit.DYNAMIC),
                    messages.UserControl(UserEvent.STREAM_BEGIN, bytes(4)),
                    result,
                )
            )
        )

    def _create_stream(self, command: Command) -> Answer:
        if self._created == MAX_STREAMS:
            raise RemoteProtocolError(f"RTMP createStream: expected at most {MAX_STREAMS} streams, got more")
        self._created += 1
        return Answer(_write(Command("_result", command.transaction_id, None, (float(self._created),))))

    def _publish(self, command: Command, message_stream_id: int) -> Answer:
        name = command.arguments[0] if command.arguments else None
        if not isinstance(name, str) or self._published or not 1 <= message_stream_id <= self._created:
            raise RemoteProtocolError(
                "RTMP publish: expected it once, with a name, on a message stream that was created"
            )
        self._published = True
        begin = _write(messages.UserControl(UserEvent.STREAM_BEGIN, message_stream_id.to_bytes(4)))
        status = _write(_on("onStatus", "NetStream.Publish.Start"), message_stream_id)
        return Answer(begin + status, publishing=True, stream=f"{self._app}/{name}")


def _on(name: str, code: str) -> Command:
    return Command(name, 0.0, None, ({"level": "status", "code": code, "description": ""},))


def _write(message: messages.Parsed, message_stream_id: int = 0) -> bytes:
    type, payload = messages.build(message)
    csid = Csid.COMMAND if isinstance(message, Command) else Csid.CONTROL
    return write_message(csid, type, message_stream_id, 0, payload, _CHUNK_SIZE)
