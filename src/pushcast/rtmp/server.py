"""The ingest role: a publisher connects, creates a stream and publishes; all else is answered so that it goes on.

releaseStream, FCPublish, createStream, _checkbw and getStreamLength are answered without an event, playing is refused,
and a call that nobody knows gets an error.  Only two things need a decision from outside: Connect (Accept or Refuse)
and Publish (Start or Refuse).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pushcast.chunk import ChunkReader
from pushcast.errors import LocalProtocolError, RemoteProtocolError
from pushcast.message import Message
from pushcast.rtmp import amf0, messages
from pushcast.rtmp.connection import SERVER_TRANSITIONS, Connection, State
from pushcast.rtmp.enhanced import capabilities
from pushcast.rtmp.events import (
    Accept,
    Connect,
    Data,
    Event,
    Media,
    Metadata,
    Publish,
    Refuse,
    Start,
    Unpublish,
)
from pushcast.rtmp.handshake import ServerHandshake
from pushcast.rtmp.messages import Command, UserEvent

# Some publishers parse this as a version of Flash Media Server and want at least 3.
SERVER_VERSION = "FMS/3,5,7,7009"
CHUNK_SIZE = 4096
WINDOW_BYTES = 2_500_000

_PLAYING: Final = frozenset({"play", "play2", "seek", "pause", "pauseRaw", "receiveAudio", "receiveVideo"})
_ENDINGS: Final = frozenset({"FCUnpublish", "deleteStream", "closeStream"})
_ANSWERS: Final = frozenset({"_result", "_error", "onStatus"})
_METADATA_STARTS: Final = (amf0.encode("@setDataFrame"), amf0.encode("onMetaData"))
_BEFORE_CONNECT: Final = frozenset({State.OPEN, State.CONNECTING})


class ServerConnection(Connection):
    """``next_event`` gives HandshakeDone, Connect, Publish, Metadata, Media, Unpublish and Acknowledged.

    ``send`` takes Accept, Start and Refuse.
    """

    transitions = SERVER_TRANSITIONS
    __slots__ = ("_connect_id", "_created", "_message_stream_id")

    def __init__(self, reader: ChunkReader, now_ms: int = 0) -> None:
        super().__init__(ServerHandshake(now_ms), State.SHAKING, reader)
        self._connect_id = 0.0
        self._created = 0
        self._message_stream_id = 0

    def _build(self, event: Event, before: State) -> bytes:
        match event:
            case Accept():
                return self._accept()
            case Start():
                begin = messages.UserControl(UserEvent.STREAM_BEGIN, self._message_stream_id.to_bytes(4))
                return self._write(begin) + self._status("status", "NetStream.Publish.Start", "publishing")
            case Refuse(code, description) if before is State.CONNECTING:
                info = {"level": "error", "code": code, "description": description}
                return self._write(Command("_error", self._connect_id, None, (info,)))
            case Refuse(code, description):
                return self._status("error", code, description)
            case _:
                raise LocalProtocolError(f"RTMP server: cannot send {type(event).__name__}")

    def _accept(self) -> bytes:
        info: dict[str, amf0.Value] = {
            "level": "status",
            "code": "NetConnection.Connect.Success",
            "description": "connected",
            "objectEncoding": 0,
        }
        properties: dict[str, amf0.Value] = {"fmsVer": SERVER_VERSION, "capabilities": 31, **capabilities()}
        self._window_sent_bytes = WINDOW_BYTES
        return b"".join(
            self._write(message)
            for message in (
                messages.WindowAckSize(WINDOW_BYTES),
                messages.SetPeerBandwidth(WINDOW_BYTES, messages.Limit.DYNAMIC),
                messages.SetChunkSize(CHUNK_SIZE),
                messages.UserControl(UserEvent.STREAM_BEGIN, bytes(4)),
                Command("_result", self._connect_id, properties, (info,)),
            )
        )

    def _status(self, level: str, code: str, description: str) -> bytes:
        info = {"level": level, "code": code, "description": description}
        return self._write(Command("onStatus", 0, None, (info,)), self._message_stream_id)

    def _on_media(self, message: Message) -> Event | None:
        # What still comes after the end of a publish belongs to nobody.
        return Media(message) if self.state is State.LIVE else None

    def _on_data(self, message: Message) -> Event | None:
        if self.state is not State.LIVE:
            return None
        # Only metadata is decoded: publishers put cue points, captions and AMF3 objects into data messages too.
        if not message.payload.lstrip(b"\0").startswith(_METADATA_STARTS):
            amf3 = message.type == messages.Type.DATA_AMF3
            return Data(message.timestamp_ms, message.payload[1:] if amf3 else message.payload)
        parsed = messages.parse(message.type, message.payload)
        match parsed.values if isinstance(parsed, messages.Data) else ():
            case ("@setDataFrame", "onMetaData", Mapping() as values, *_) | ("onMetaData", Mapping() as values, *_):
                return Metadata(values)
            case _:
                return None

    def _on_command(self, command: Command, message_stream_id: int) -> Event | None:
        name = command.name
        if name == "connect":
            return self._on_connect(command)
        if self.state in _BEFORE_CONNECT:
            raise RemoteProtocolError(f"RTMP connection {self.state}: expected connect, got {_shown(name)}")
        if name == "publish":
            return self._on_publish(command, message_stream_id)
        if name in _ENDINGS:
            return self._on_ending(command, message_stream_id)
        self._answer(command, message_stream_id)
        return None

    def _on_connect(self, command: Command) -> Event:
        values = command.object if isinstance(command.object, Mapping) else {}
        app, tc_url = values.get("app"), values.get("tcUrl", "")
        if not isinstance(app, str):
            raise RemoteProtocolError("RTMP connect: expected a string as app, got none")
        self._connect_id = command.transaction_id
        return Connect(app, tc_url if isinstance(tc_url, str) else "")

    def _on_publish(self, command: Command, message_stream_id: int) -> Event:
        name = command.arguments[0] if command.arguments else None
        if not isinstance(name, str) or not name:
            raise RemoteProtocolError("RTMP publish: expected a stream name, got none")
        if self.state is State.CONNECTED:
            self._message_stream_id = message_stream_id
        return Publish(name, message_stream_id)

    def _on_ending(self, command: Command, message_stream_id: int) -> Event | None:
        if self.state is not State.LIVE:
            return None
        if command.name == "deleteStream" and command.arguments[:1] not in ((), (float(self._message_stream_id),)):
            return None
        if command.name == "FCUnpublish" and command.transaction_id:
            self._reply(Command("_result", command.transaction_id, None))
        info = {"level": "status", "code": "NetStream.Unpublish.Success", "description": "stopped"}
        self._reply(Command("onStatus", 0, None, (info,)), self._message_stream_id)
        return Unpublish()

    def _answer(self, command: Command, message_stream_id: int) -> None:
        """Calls that change nothing."""
        call = command.transaction_id
        match command.name:
            case "createStream":
                self._created += 1
                self._reply(Command("_result", call, None, (float(self._created),)))
            case "FCPublish":
                info: dict[str, amf0.Value] = {"code": "NetStream.Publish.Start", "description": "ready"}
                self._reply(Command("onFCPublish", 0, None, (info,)))
                self._reply(Command("_result", call, None))
            case "releaseStream" | "_checkbw":
                self._reply(Command("_result", call, None))
            case "getStreamLength":
                self._reply(Command("_result", call, None, (0.0,)))
            case name if name in _PLAYING:
                info = {
                    "level": "error",
                    "code": "NetStream.Play.Failed",
                    "description": "this server takes streams only",
                }
                self._reply(Command("onStatus", 0, None, (info,)), message_stream_id)
            case name if call and name not in _ANSWERS:
                info = {"level": "error", "code": "NetConnection.Call.Failed", "description": "unknown call"}
                self._reply(Command("_error", call, None, (info,)))
            case _:
                pass  # an answer, or a call that wants none


def _shown(name: str) -> str:
    return repr(name[:40])
