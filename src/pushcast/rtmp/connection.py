"""An RTMP connection without its socket: bytes and events in, events and bytes out; what both roles share.

``receive_data`` takes bytes, ``next_event`` gives what they meant, ``send`` turns an event into bytes.  Answers that
need no decision (window acknowledgements, ping responses, replies to calls without consequence) wait in
``data_to_send``; ``send`` puts them in front of its own bytes.  The role is a subclass: ClientConnection publishes,
ServerConnection is published to.

States move by one table.  A move of ours that it does not know is a LocalProtocolError, one of the peer a
RemoteProtocolError, after which the connection is closed and takes nothing more.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import ClassVar, TypeAlias

from pushcast.chunk import ChunkReader, write_message
from pushcast.errors import EngineError, LocalProtocolError, RemoteProtocolError
from pushcast.message import Message
from pushcast.rtmp import messages
from pushcast.rtmp.events import (
    Accept,
    Acknowledged,
    Connect,
    Connected,
    Event,
    HandshakeDone,
    Hello,
    Prepare,
    Publish,
    Refuse,
    Start,
    Started,
    StreamCreated,
    Unpublish,
)
from pushcast.rtmp.handshake import Handshake
from pushcast.rtmp.messages import Csid, Type, UserEvent


class State(StrEnum):
    """Where a connection stands; the same words for both roles."""

    IDLE = "idle"
    SHAKING = "shaking hands"
    OPEN = "open"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    CREATING = "creating a stream"
    CREATED = "stream created"
    STARTING = "starting to publish"
    LIVE = "live"
    CLOSED = "closed"


Transitions: TypeAlias = Mapping[State, Mapping[type[Event], State]]

CLIENT_TRANSITIONS: Transitions = {
    State.IDLE: {Hello: State.SHAKING},
    State.SHAKING: {HandshakeDone: State.OPEN},
    State.OPEN: {Connect: State.CONNECTING},
    State.CONNECTING: {Connected: State.CONNECTED},
    State.CONNECTED: {Prepare: State.CREATING},
    State.CREATING: {StreamCreated: State.CREATED},
    State.CREATED: {Publish: State.STARTING},
    State.STARTING: {Started: State.LIVE, Unpublish: State.CLOSED},
    State.LIVE: {Unpublish: State.CLOSED},
    State.CLOSED: {},
}

SERVER_TRANSITIONS: Transitions = {
    State.SHAKING: {HandshakeDone: State.OPEN},
    State.OPEN: {Connect: State.CONNECTING},
    State.CONNECTING: {Accept: State.CONNECTED, Refuse: State.CLOSED},
    State.CONNECTED: {Publish: State.STARTING, Refuse: State.CLOSED},
    State.STARTING: {Start: State.LIVE, Refuse: State.CLOSED, Unpublish: State.CONNECTED},
    State.LIVE: {Unpublish: State.CONNECTED, Refuse: State.CLOSED},
    State.CLOSED: {},
}

DEFAULT_CHUNK_SIZE = 128
# Peers that wait for acknowledgements but never say how often ask for this window in practice.
DEFAULT_WINDOW_BYTES = 2_500_000
# Answers due after one read of input.  A peer that asks for more than this at once is not asking in earnest.
MAX_REPLY_BYTES = 64 * 1024


class Connection:
    """What both roles share.  ``now_ms`` is any millisecond clock's time, told to the peer in the handshake."""

    transitions: ClassVar[Transitions]
    __slots__ = (
        "_acknowledged_bytes",
        "_chunk_size",
        "_handshake",
        "_queue",
        "_replies",
        "_window_bytes",
        "_window_sent_bytes",
        "reader",
        "state",
    )

    def __init__(self, handshake: Handshake, state: State, reader: ChunkReader) -> None:
        self.state = state
        self.reader = reader
        self._handshake: Handshake | None = handshake
        # What came and was not asked for yet, the oldest last.  Not a deque: an empty one takes 700 bytes, and each
        # push keeps its connection.
        self._queue: list[HandshakeDone | Message] = []
        self._replies = b""
        self._chunk_size = DEFAULT_CHUNK_SIZE
        self._window_bytes = DEFAULT_WINDOW_BYTES
        self._window_sent_bytes = 0
        self._acknowledged_bytes = 0

    def receive_data(self, data: bytes | bytearray | memoryview) -> None:
        """Take bytes from the peer.

        Raises RemoteProtocolError for a broken handshake or chunk, and whatever the media sink raises.
        """
        if self.state is State.CLOSED:
            return
        try:
            self._receive(data)
        except EngineError:
            self.state = State.CLOSED
            raise

    def take_messages(self, came: list[Message]) -> None:
        """What the reader was given by others than ``receive_data``, which may have been media alone.

        Raises RemoteProtocolError when more answers are due than a peer may ask for.
        """
        self._queue[:0] = reversed(came)
        self._acknowledge()

    @property
    def acknowledge_at(self) -> int:
        """How many bytes the reader has received when the next acknowledgement is due."""
        return self._acknowledged_bytes + self._window_bytes

    def _receive(self, data: bytes | bytearray | memoryview) -> None:
        if self._handshake is None:
            self._queue[:0] = reversed(self.reader.receive(data))
        else:
            answer, rest = self._handshake.receive(bytes(data))
            self._replies += answer
            if not self._handshake.done:
                return
            self._handshake = None
            self._queue.insert(0, HandshakeDone())
            self._queue[:0] = reversed(self.reader.receive(rest))
        self._acknowledge()

    def next_event(self) -> Event | None:
        """The next thing that happened; None when more bytes are needed.

        Raises RemoteProtocolError for a malformed message or an impossible move, Rejected for a refusal.
        """
        while self._queue and self.state is not State.CLOSED:
            item = self._queue.pop()
            try:
                event = item if isinstance(item, HandshakeDone) else self._on_message(item)
                if event is not None:
                    self._move(event, RemoteProtocolError)
                    return event
            except RemoteProtocolError:
                self.state = State.CLOSED
                raise
        return None

    def send(self, event: Event) -> bytes:
        """Bytes that tell the peer, after answers that were waiting.

        Raises LocalProtocolError when it is not the time for it.
        """
        before = self.state
        self._move(event, LocalProtocolError)
        told = self._build(event, before)
        return self.data_to_send() + told

    def data_to_send(self) -> bytes:
        """Answers that were waiting; empty when there are none."""
        replies, self._replies = self._replies, b""
        return replies

    def _move(self, event: Event, error: type[LocalProtocolError] | type[RemoteProtocolError]) -> None:
        """The one place where the state changes for an event.  Events that no state waits for pass in any state."""
        kind = type(event)
        following = self.transitions[self.state].get(kind)
        if following is not None:
            self.state = following
        elif any(kind in moves for moves in self.transitions.values()):
            expected = ", ".join(move.__name__ for move in self.transitions[self.state]) or "nothing"
            raise error(f"RTMP connection {self.state}: expected {expected}, got {kind.__name__}")
        elif error is LocalProtocolError:
            raise error(f"RTMP connection: cannot send {kind.__name__}")

    def _on_message(self, message: Message) -> Event | None:
        if message.type in (Type.AUDIO, Type.VIDEO):
            return self._on_media(message)
        if message.type in (Type.DATA, Type.DATA_AMF3):
            return self._on_data(message)
        match messages.parse(message.type, message.payload):
            case messages.Command() as command:
                return self._on_command(command, message.message_stream_id)
            case messages.Acknowledgement(received):
                return Acknowledged(received)
            case messages.WindowAckSize(size):
                self._window_bytes = max(size, 1)
            case messages.SetPeerBandwidth(size):
                self._announce_window(size)
            case messages.UserControl(UserEvent.PING_REQUEST, data) if len(data) >= 4:
                self._reply(messages.UserControl(UserEvent.PING_RESPONSE, data[:4]))
            case _:
                pass  # Set Chunk Size and Abort have done their work in the reader; the rest is not for us
        return None

    def _on_media(self, message: Message) -> Event | None:
        raise NotImplementedError

    def _on_command(self, command: messages.Command, message_stream_id: int) -> Event | None:
        raise NotImplementedError

    def _on_data(self, message: Message) -> Event | None:
        raise NotImplementedError

    def _build(self, event: Event, before: State) -> bytes:
        raise NotImplementedError

    def _acknowledge(self) -> None:
        received = self.reader.bytes_received
        if received - self._acknowledged_bytes >= self._window_bytes:
            self._acknowledged_bytes = received
            self._reply(messages.Acknowledgement(received))

    def _announce_window(self, size: int) -> None:
        # 5.4.5: the answer to Set Peer Bandwidth, unless the peer knows the window already.
        if size != self._window_sent_bytes:
            self._reply(messages.WindowAckSize(size))
            self._window_sent_bytes = size

    def _reply(self, message: messages.Parsed, message_stream_id: int = 0) -> None:
        self._replies += self._write(message, message_stream_id)
        if len(self._replies) > MAX_REPLY_BYTES:
            raise RemoteProtocolError(
                f"RTMP connection: expected at most {MAX_REPLY_BYTES} bytes of answers due at once, got more"
            )

    def _write(self, message: messages.Parsed, message_stream_id: int = 0) -> bytes:
        kind, payload = messages.build(message)
        csid = Csid.COMMAND if kind is Type.COMMAND else Csid.CONTROL
        data = write_message(csid, kind, message_stream_id, 0, payload, self._chunk_size)
        if isinstance(message, messages.SetChunkSize):
            self._chunk_size = message.size_bytes
        return data
