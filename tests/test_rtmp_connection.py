"""RTMP messages and connections: golden bytes, both roles against each other, refusals, hostile peers."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pushcast.chunk import ChunkReader, write_message
from pushcast.errors import LocalProtocolError, ProtocolError, Rejected, RemoteProtocolError
from pushcast.message import MediaSink, Message
from pushcast.rtmp import events, messages
from pushcast.rtmp.amf0 import EcmaArray, encode
from pushcast.rtmp.client import ClientConnection
from pushcast.rtmp.connection import Connection, State
from pushcast.rtmp.events import (
    Accept,
    Acknowledged,
    Connect,
    Connected,
    Event,
    HandshakeDone,
    Hello,
    Media,
    Metadata,
    Notice,
    Prepare,
    Publish,
    Refuse,
    Start,
    Started,
    StreamCreated,
    Unpublish,
)
from pushcast.rtmp.handshake import BLOCK_BYTES
from pushcast.rtmp.messages import (
    Abort,
    Acknowledgement,
    Command,
    Data,
    SetChunkSize,
    SetPeerBandwidth,
    Type,
    UserControl,
    WindowAckSize,
    build,
    parse,
)
from pushcast.rtmp.server import ServerConnection

CORPUS = Path(__file__).parent / "corpus" / "rtmp"
KEY = "k3y-of-mine?sig=5e8a&exp=99"
APP = "inst/live?auth=t0psecret"
URL = "rtmp://media.example:1999/" + APP

# message, type, payload: both directions
MESSAGES = [
    (SetChunkSize(70000), 1, "00011170"),
    (Abort(6), 2, "00000006"),
    (Acknowledgement(0x01020304), 3, "01020304"),
    (UserControl(0, b"\0\0\0\7"), 4, "0000 00000007"),
    (UserControl(31, b""), 4, "001f"),
    (WindowAckSize(777777), 5, "000bde31"),
    (SetPeerBandwidth(777777, 1), 6, "000bde31 01"),
    (Command("c", 3.0, None, ("x",)), 20, "02000163 00 4008000000000000 05 02000178"),
    (Command("c", 0.0, {"a": True}), 20, "02000163 00 0000000000000000 03 000161 0101 000009"),
    (Data(("n", EcmaArray(w=None))), 18, "0200016e 08 00000001 000177 05 000009"),
]
# type, payload, message: what peers send and we never do
READ_ONLY = [
    (17, "00 02000163 00 4008000000000000 05", Command("c", 3.0)),
    (17, "02000163 00 4008000000000000", Command("c", 3.0)),
    (15, "00 0200016e", Data(("n",))),
    (6, "000bde31", SetPeerBandwidth(777777, 2)),
    (8, "af01", None),
    (99, "", None),
]
MALFORMED = [
    (1, "000000"),
    (2, ""),
    (3, "0102"),
    (4, "00"),
    (5, "0102"),
    (6, "010203"),
    (20, ""),
    (20, "0101"),
    (20, "02000163 0101"),
    (17, "00"),
    (18, "04"),
]


@pytest.mark.parametrize(("message", "type", "payload"), MESSAGES)
def test_messages_are_built_and_parsed(message: messages.Parsed, type: int, payload: str) -> None:
    assert build(message) == (type, bytes.fromhex(payload))
    assert parse(type, bytes.fromhex(payload)) == message


@pytest.mark.parametrize(("type", "payload", "message"), READ_ONLY)
def test_messages_of_peers_are_parsed(type: int, payload: str, message: messages.Parsed | None) -> None:
    assert parse(type, bytes.fromhex(payload)) == message


@pytest.mark.parametrize(("type", "payload"), MALFORMED)
def test_malformed_messages_are_refused(type: int, payload: str) -> None:
    with pytest.raises(RemoteProtocolError, match=r"expected .* got"):
        parse(type, bytes.fromhex(payload))


class Pair:
    """A client and a server whose bytes pass in pieces of one size; events are noted with the side they came to."""

    def __init__(self, size: int = 1 << 20) -> None:
        self.client = ClientConnection(81)
        self.server = ServerConnection(ChunkReader(), 92)
        self.size = size
        self.events: list[tuple[str, Event]] = []

    def say(self, side: str, event: Event) -> list[Event]:
        """One side sends an event; both go on until nobody has anything to say.  The events that came of it."""
        speaker, listener = (self.client, self.server) if side == "client" else (self.server, self.client)
        known = len(self.events)
        data = speaker.send(event)
        while data:
            self._pass(data, listener)
            speaker, listener = listener, speaker
            data = speaker.data_to_send()
        return [event for _, event in self.events[known:]]

    def raw(self, side: str, command: messages.Parsed, stream: int = 0) -> list[Event]:
        """One side's peer says something of its own."""
        connection = self.client if side == "client" else self.server
        type, payload = build(command)
        known = len(self.events)
        chunk_size = connection.reader.chunk_size
        self._pass(write_message(3, type, stream, 0, payload, chunk_size), connection)
        return [event for _, event in self.events[known:]]

    def _pass(self, data: bytes, listener: Connection) -> None:
        name = "client" if listener is self.client else "server"
        for start in range(0, len(data), self.size):
            listener.receive_data(data[start : start + self.size])
            while (event := listener.next_event()) is not None:
                self.events.append((name, event))

    def until(self, state: State) -> Pair:
        """Play the publish sequence until the client is there.  What it says to be CREATING is not heard."""
        for side, event in SEQUENCE:
            if self.client.state is state:
                return self
            if state is State.CREATING and isinstance(event, Prepare):
                self.client.send(event)
                return self
            self.say(side, event)
        return self


SEQUENCE: list[tuple[str, Event]] = [
    ("client", Hello()),
    ("client", Connect(APP, URL)),
    ("server", Accept()),
    ("client", Prepare(KEY)),
    ("client", Publish(KEY, 1)),
    ("server", Start()),
    ("client", Unpublish()),
]


@pytest.mark.parametrize("size", [1, 3, 128, 1 << 20])
def test_publish_sequence(size: int) -> None:
    pair = Pair(size)
    for side, event in SEQUENCE:
        pair.say(side, event)
    status = Notice("NetStream.Unpublish.Success", "stopped")
    assert pair.events == [
        ("client", HandshakeDone()),
        ("server", HandshakeDone()),
        ("server", Connect(APP, URL)),
        ("client", Connected()),
        ("client", StreamCreated(1)),
        ("server", Publish(KEY, 1)),
        ("client", Started()),
        ("server", Unpublish()),
    ]
    assert pair.client.state is State.CLOSED
    assert pair.server.state is State.CONNECTED
    assert status not in [event for _, event in pair.events]  # the client had left


def test_what_the_client_says_is_golden() -> None:
    client = ClientConnection(0)
    hello = client.send(Hello())
    client.receive_data(b"\x03" + bytes(2 * BLOCK_BYTES))
    assert isinstance(client.next_event(), HandshakeDone)
    sent = [hello[:5] + client.data_to_send()[:0], client.send(Connect("a", "rtmp://h/a", enhanced=False))]
    body = encode(
        "connect",
        1,
        {
            "app": "a",
            "type": "nonprivate",
            "flashVer": "FMLE/3.0 (compatible; pushcast)",
            "tcUrl": "rtmp://h/a",
            "capsEx": 1.0,
        },
    )
    assert sent[1] == write_message(3, 20, 0, 0, body, 128)
    client.receive_data(answer(Command("_result", 1, {}, ({"code": "NetConnection.Connect.Success"},))))
    assert isinstance(client.next_event(), Connected)
    prepared = client.send(Prepare("kk"))
    expected = (
        write_message(2, 5, 0, 0, (5_000_000).to_bytes(4), 128)
        + write_message(2, 1, 0, 0, (65536).to_bytes(4), 128)
        + write_message(3, 20, 0, 0, encode("releaseStream", 2, None, "kk"), 65536)
        + write_message(3, 20, 0, 0, encode("FCPublish", 3, None, "kk"), 65536)
        + write_message(3, 20, 0, 0, encode("createStream", 4, None), 65536)
    )
    assert prepared == expected
    client.receive_data(answer(Command("_result", 4, None, (9.0,))))
    assert client.next_event() == StreamCreated(9)
    assert client.send(Publish("kk", 9)) == write_message(3, 20, 9, 0, encode("publish", 5, None, "kk", "live"), 65536)
    client.receive_data(answer(Command("onStatus", 0, None, ({"level": "status", "code": "NetStream.Publish.Start"},))))
    assert client.next_event() == Started()
    assert client.send(Unpublish()) == (
        write_message(3, 20, 0, 0, encode("FCUnpublish", 6, None, "kk"), 65536)
        + write_message(3, 20, 0, 0, encode("deleteStream", 7, None, 9), 65536)
    )


def answer(command: messages.Parsed, stream: int = 0) -> bytes:
    type, payload = build(command)
    return write_message(3, type, stream, 0, payload, 128)


# What a server says at a step, and the words of the refusal
REFUSALS: list[tuple[State, Command, str]] = [
    (
        State.CONNECTING,
        Command(
            "_error", 1, None, ({"level": "error", "code": "NetConnection.Connect.Rejected", "description": "busy"},)
        ),
        "connect: expected NetConnection.Connect.Success, got NetConnection.Connect.Rejected: busy",
    ),
    (
        State.CONNECTING,
        Command("_result", 1, None, ({"level": "error", "code": "NetConnection.Connect.InvalidApp"},)),
        "got NetConnection.Connect.InvalidApp",
    ),
    (State.CONNECTING, Command("_error", 1), "got an error without words"),
    (
        State.CREATING,
        Command("_error", 4, None, ({"code": "Nope"},)),
        "createStream: expected a message stream id, got Nope",
    ),
    (State.CREATING, Command("_result", 4), "expected a message stream id"),
    (
        State.CREATING,
        Command(
            "onStatus", 0, None, ({"level": "error", "code": "NetStream.Publish.BadName", "description": "in use"},)
        ),
        "got NetStream.Publish.BadName: in use",
    ),
    (
        State.STARTING,
        Command("onStatus", 0, None, ({"level": "status", "code": "NetStream.Publish.Denied"},)),
        "publish: expected NetStream.Publish.Start, got NetStream.Publish.Denied",
    ),
    (State.STARTING, Command("_error", 5, {"code": "X.Y", "level": "error"}), "got X.Y"),
    (
        State.LIVE,
        Command(
            "onStatus", 0, None, ({"level": "error", "code": "NetStream.Publish.Gone", "description": "a\nb\x07c"},)
        ),
        "publishing: expected nothing, got NetStream.Publish.Gone: a b c",
    ),
]


@pytest.mark.parametrize(("state", "command", "words"), REFUSALS, ids=[case[2][-40:] for case in REFUSALS])
def test_refusals_name_step_expected_and_got(state: State, command: Command, words: str) -> None:
    pair = Pair().until(state)
    assert pair.client.state is state
    with pytest.raises(Rejected) as caught:
        pair.raw("client", command)
    assert words in str(caught.value)
    assert pair.client.state is State.CLOSED
    pair.client.receive_data(b"anything")
    assert pair.client.next_event() is None


IGNORED: list[tuple[State, Command]] = [
    (State.CONNECTING, Command("onBWDone", 0)),
    (State.CREATING, Command("_error", 2, None, ({"level": "error", "code": "NetConnection.Call.Failed"},))),
    (State.CREATING, Command("_error", 3)),
    (State.CREATING, Command("_result", 2)),
    (State.CREATING, Command("_result", 0)),
    (State.CREATING, Command("onFCPublish", 0, None, ({"code": "NetStream.Publish.Start"},))),
    (State.STARTING, Command("_result", 4, None, (7.0,))),
    (State.LIVE, Command("close", 0)),
]


@pytest.mark.parametrize(("state", "command"), IGNORED)
def test_what_does_not_matter_is_ignored(state: State, command: Command) -> None:
    pair = Pair().until(state)
    assert pair.raw("client", command) == []
    assert pair.client.state is state


def test_create_stream_answered_with_transaction_id_zero() -> None:
    client = ClientConnection()
    client.send(Hello())
    client.receive_data(b"\x03" + bytes(2 * BLOCK_BYTES) + answer(Command("_result", 1, None, ({},))))
    assert isinstance(client.next_event(), HandshakeDone)
    client.send(Connect("a", "rtmp://h/a"))
    assert isinstance(client.next_event(), Connected)
    client.send(Prepare("kk"))
    client.receive_data(answer(Command("_result", 0, None, (5.0,))))
    assert client.next_event() == StreamCreated(5)


@pytest.mark.parametrize(
    "said",
    [
        f"stream {KEY} is taken",
        "k3y-of-mine is taken",
        "sig 5e8a is old",
        "see k3y-of-mine%3Fsig%3D5e8a%26exp%3D99",
        "auth t0psecret refused at " + URL,
    ],
)
def test_the_words_of_a_server_never_carry_a_secret(said: str) -> None:
    pair = Pair().until(State.STARTING)
    info = {"level": "error", "code": "NetStream.Publish.BadName", "description": said}
    with pytest.raises(Rejected) as caught:
        pair.raw("client", Command("onStatus", 0, None, (info,)))
    for secret in (KEY, "k3y-of-mine", "5e8a", "t0psecret"):
        assert secret not in str(caught.value)
    assert "NetStream.Publish.BadName" in str(caught.value)


def test_a_key_that_is_a_common_word_does_not_spoil_the_code() -> None:
    client = ClientConnection()
    client.send(Hello())
    client.receive_data(b"\x03" + bytes(2 * BLOCK_BYTES) + answer(Command("_result", 1, None, ({},))))
    client.next_event()
    client.send(Connect("a", "rtmp://h/a"))
    client.next_event()
    client.send(Prepare("Publish"))
    client.receive_data(
        answer(Command("onStatus", 0, None, ({"code": "NetStream.Publish.BadName", "level": "error"},)))
    )
    with pytest.raises(Rejected, match=r"NetStream\.Publish\.BadName"):
        client.next_event()


def test_secrets_have_no_repr() -> None:
    for event in (Prepare(KEY), Publish(KEY, 1), Connect(APP, URL), Command("publish", 5, None, (KEY,))):
        for secret in ("k3y", "t0psecret", "5e8a"):
            assert secret not in repr(event)


def test_pings_are_answered_with_their_own_bytes() -> None:
    pair = Pair().until(State.LIVE)
    for side, connection in (("client", pair.client), ("server", pair.server)):
        assert pair.raw(side, UserControl(6, b"\1\2\3\4and more")) == []
        replies = ChunkReader().receive(connection.data_to_send())
        assert [(reply.type, reply.payload) for reply in replies] == [(4, b"\0\7\1\2\3\4")]


def test_a_flood_of_pings_ends_the_connection() -> None:
    server = Pair().until(State.LIVE).server
    ping = write_message(2, 4, 0, 0, b"\0\6\1\2\3\4", 128)
    server.receive_data(ping * 5000)
    with pytest.raises(RemoteProtocolError, match="at most 65536 bytes of answers"):
        server.next_event()
    assert server.state is State.CLOSED


@pytest.mark.parametrize("side", ["client", "server"])
def test_windows_are_acknowledged(side: str) -> None:
    pair = Pair().until(State.LIVE)
    connection: Connection = pair.client if side == "client" else pair.server
    pair.raw(side, WindowAckSize(3000))
    connection.data_to_send()
    before = connection.reader.bytes_received
    acknowledged = []
    for _ in range(10):
        connection.receive_data(write_message(8, 19, 1, 0, bytes(1000), connection.reader.chunk_size))
        while connection.next_event() is not None:
            pass
        acknowledged += [reply.payload for reply in ChunkReader().receive(connection.data_to_send())]
    assert 3 <= len(acknowledged) <= 4
    assert int.from_bytes(acknowledged[-1]) - before <= 10_200
    assert all(int.from_bytes(later) - int.from_bytes(one) >= 3000 for one, later in pairwise(acknowledged))


def test_set_peer_bandwidth_is_answered_once_with_a_window() -> None:
    pair = Pair().until(State.LIVE)
    for _ in range(2):
        pair.raw("client", SetPeerBandwidth(123_456, 2))
    replies = ChunkReader().receive(pair.client.data_to_send())
    assert [(reply.type, int.from_bytes(reply.payload)) for reply in replies] == [(5, 123_456)]


def test_acknowledgements_and_notices_are_events() -> None:
    pair = Pair().until(State.LIVE)
    assert pair.raw("client", Acknowledgement(54321)) == [Acknowledged(54321)]
    info = {"level": "status", "code": "NetStream.Data.Start", "description": "hm"}
    assert pair.raw("client", Command("onStatus", 0, None, (info,))) == [Notice("NetStream.Data.Start", "hm")]


REMOTE: list[tuple[State, Command, str]] = [
    (State.OPEN, Command("publish", 1, None, ("x",)), "expected connect, got 'publish'"),
    (State.OPEN, Command("createStream", 1), "expected connect, got 'createStream'"),
    (State.CONNECTED, Command("connect", 1, {"app": "x"}), "connected: expected Publish, Refuse, got Connect"),
    (State.LIVE, Command("publish", 5, None, ("x",)), "live: expected Unpublish, Refuse, got Publish"),
    (State.OPEN, Command("connect", 1, {"tcUrl": "x"}), "expected a string as app"),
    (State.OPEN, Command("connect", 1), "expected a string as app"),
    (State.CREATED, Command("publish", 5), "expected a stream name"),
    (State.CREATED, Command("publish", 5, None, ("",)), "expected a stream name"),
]


@pytest.mark.parametrize(("state", "command", "words"), REMOTE)
def test_impossible_moves_of_a_publisher_are_refused(state: State, command: Command, words: str) -> None:
    pair = Pair().until(state)
    with pytest.raises(RemoteProtocolError, match=words):
        pair.raw("server", command)
    assert pair.server.state is State.CLOSED


EVENTS: list[Event] = [
    Hello(),
    Connect("a", "u"),
    Accept(),
    Prepare("k"),
    Publish("k", 1),
    Start(),
    Refuse("c", "d"),
    Unpublish(),
]
EVENTS += [Started(), Connected(), Acknowledged(1), Metadata({}), Notice("c", "d")]


@pytest.mark.parametrize("state", [*State])
@pytest.mark.parametrize("side", ["client", "server"])
def test_impossible_moves_of_ours_are_our_own_error(side: str, state: State) -> None:
    allowed: dict[str, dict[State, tuple[type[Event], ...]]] = {
        "client": {
            State.IDLE: (Hello,),
            State.OPEN: (Connect,),
            State.CONNECTED: (Prepare,),
            State.CREATED: (Publish,),
            State.STARTING: (Unpublish,),
            State.LIVE: (Unpublish,),
        },
        "server": {
            State.CONNECTING: (Accept, Refuse),
            State.CONNECTED: (Refuse,),
            State.STARTING: (Start, Refuse),
            State.LIVE: (Refuse,),
        },
    }
    for event in EVENTS:
        pair = Pair()
        connection: Connection = pair.client if side == "client" else pair.server
        connection.state = state
        if state not in connection.transitions:
            continue
        if type(event) in allowed[side].get(state, ()):
            connection.send(event)
        else:
            with pytest.raises(LocalProtocolError):
                connection.send(event)


ANSWERED: list[tuple[Command, list[tuple[str, float]]]] = [
    (Command("releaseStream", 2, None, ("x",)), [("_result", 2)]),
    (Command("FCPublish", 3, None, ("x",)), [("onFCPublish", 0), ("_result", 3)]),
    (Command("createStream", 4), [("_result", 4)]),
    (Command("_checkbw", 6), [("_result", 6)]),
    (Command("getStreamLength", 7, None, ("x",)), [("_result", 7)]),
    (Command("play", 8, None, ("x",)), [("onStatus", 0)]),
    (Command("whatever", 9), [("_error", 9)]),
    (Command("whatever", 0), []),
    (Command("_result", 9), []),
    (Command("deleteStream", 9, None, (1.0,)), []),
]


@pytest.mark.parametrize(("command", "expected"), ANSWERED)
def test_calls_are_answered_by_their_number(command: Command, expected: list[tuple[str, float]]) -> None:
    pair = Pair().until(State.CREATED)
    pair.server.data_to_send()
    assert pair.raw("server", command) == []
    reader = ChunkReader()
    reader.receive(write_message(2, 1, 0, 0, (4096).to_bytes(4), 128))
    replies = [parse(reply.type, reply.payload) for reply in reader.receive(pair.server.data_to_send())]
    assert [(reply.name, reply.transaction_id) for reply in replies if isinstance(reply, Command)] == expected


def test_stream_ids_count_up() -> None:
    pair = Pair().until(State.CREATED)
    pair.raw("server", Command("createStream", 11))
    assert encode("_result", 11, None, 2) in pair.server.data_to_send()


@pytest.mark.parametrize("state", [State.CONNECTING, State.STARTING])
def test_refusing_reaches_the_client(state: State) -> None:
    pair = Pair().until(state)
    with pytest.raises(Rejected, match=r"NetStream\.Publish\.Denied: not you"):
        pair.say("server", Refuse("NetStream.Publish.Denied", "not you"))
    assert pair.server.state is State.CLOSED


ENDINGS: list[tuple[Command, bool]] = [
    (Command("FCUnpublish", 6, None, ("x",)), True),
    (Command("deleteStream", 7, None, (1.0,)), True),
    (Command("deleteStream", 7, None, (2.0,)), False),
    (Command("closeStream", 0), True),
]


@pytest.mark.parametrize(("command", "ends"), ENDINGS)
def test_endings(command: Command, ends: bool) -> None:
    pair = Pair().until(State.LIVE)
    assert pair.raw("server", command, 1) == ([Unpublish()] if ends else [])
    assert pair.server.state is (State.CONNECTED if ends else State.LIVE)


@pytest.mark.parametrize(
    "data",
    [
        Data(("@setDataFrame", "onMetaData", EcmaArray(width=321.0))),
        Data(("onMetaData", {"width": 321.0})),
    ],
)
def test_metadata(data: Data) -> None:
    pair = Pair().until(State.LIVE)
    assert pair.raw("server", data, 1) == [Metadata({"width": 321.0})]
    assert pair.raw("server", Data(("onCuePoint", {"width": 321.0})), 1) == [
        events.Data(0, encode("onCuePoint", {"width": 321.0}))
    ]
    assert pair.raw("server", Data(("onMetaData",)), 1) == []
    amf3 = write_message(5, 15, 1, 0, b"\0\2\0\1x\x11\x0a", pair.server.reader.chunk_size)
    pair.server.receive_data(amf3)
    assert pair.server.next_event() == events.Data(0, b"\2\0\1x\x11\x0a")
    broken = write_message(5, 18, 1, 0, encode("onMetaData") + b"\x03", pair.server.reader.chunk_size)
    pair.server.receive_data(broken)
    with pytest.raises(RemoteProtocolError, match="expected 2 bytes"):
        pair.server.next_event()


def test_media_before_the_sink_is_an_event_and_then_goes_to_the_sink() -> None:
    class Kept(MediaSink):
        def __init__(self) -> None:
            self.messages: list[Message] = []

        def take(self, message: Message) -> None:
            self.messages.append(message)

    pair = Pair().until(State.STARTING)
    pair.server.send(Start())
    audio = write_message(4, 8, 1, 15, b"audio", pair.server.reader.chunk_size)
    pair.server.receive_data(audio)
    assert pair.server.next_event() == Media(Message(8, 1, 15, b"audio"))
    sink = pair.server.reader.media = Kept()
    pair.server.receive_data(audio)
    assert pair.server.next_event() is None
    assert sink.messages == [Message(8, 1, 15, b"audio")]
    pair.server.reader.media = None
    pair.raw("server", Command("closeStream", 0), 1)
    pair.server.receive_data(audio)
    assert pair.server.next_event() is None


def test_a_connection_that_publishes_is_small() -> None:
    def live() -> ClientConnection:
        return Pair().until(State.LIVE).client

    live()
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        kept = [live() for _ in range(50)]
        gc.collect()
        each = (tracemalloc.get_traced_memory()[0] - before) / len(kept)
    finally:
        tracemalloc.stop()
    assert each < 6000


def conversation(side: str) -> bytes:
    """All bytes that one side hears in a whole publish."""
    pair = Pair()
    heard = bytearray()
    listener: Connection = pair.client if side == "client" else pair.server
    original: Callable[[bytes, Connection], None] = pair._pass

    def note(data: bytes, to: Connection) -> None:
        if to is listener:
            heard.extend(data)
        original(data, to)

    pair._pass = note  # type: ignore[method-assign]
    for speaker, event in SEQUENCE:
        pair.say(speaker, event)
    return bytes(heard)


def hear(side: str, data: bytes, size: int) -> None:
    """The invariant of hostile input: events or a ProtocolError of the peer, whatever comes."""
    connection: Connection = ClientConnection() if side == "client" else ServerConnection(ChunkReader(70_000, 100_000))
    if side == "client":
        connection.send(Hello())
    steps: dict[type[Event], Event] = (
        {HandshakeDone: Connect(APP, URL), Connected: Prepare(KEY), StreamCreated: Publish(KEY, 1)}
        if side == "client"
        else {Connect: Accept(), Publish: Start()}
    )
    try:
        for start in range(0, len(data), size):
            connection.receive_data(data[start : start + size])
            while (event := connection.next_event()) is not None:
                if type(event) in steps:
                    connection.send(steps[type(event)])
            connection.data_to_send()
    except LocalProtocolError:
        raise
    except ProtocolError:
        assert connection.state is State.CLOSED
    assert connection.reader.partial_bytes <= 128 * 1024


@pytest.mark.parametrize("side", ["client", "server"])
@settings(deadline=None, max_examples=120)
@given(data=st.data())
def test_damaged_conversations_are_survived(side: str, data: st.DataObject) -> None:
    wire = bytearray(CONVERSATIONS[side])
    first = 1 + 2 * BLOCK_BYTES
    for _ in range(data.draw(st.integers(1, 5))):
        wire[data.draw(st.integers(first, len(wire) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(first, len(wire)))
    moved = data.draw(st.integers(first, len(wire)))
    hear(side, bytes(wire[:cut] + wire[moved:]), data.draw(st.integers(1, 4000)))


@pytest.mark.parametrize("side", ["client", "server"])
@settings(deadline=None, max_examples=120)
@given(tail=st.binary(max_size=600))
def test_random_bytes_after_the_handshake_are_survived(side: str, tail: bytes) -> None:
    hear(side, b"\x03" + bytes(2 * BLOCK_BYTES) + tail, 997)


CONVERSATIONS = {side: conversation(side) for side in ("client", "server")}


@pytest.mark.parametrize("path", sorted(CORPUS.glob("*.bin")), ids=lambda path: path.name)
def test_corpus(path: Path) -> None:
    data = path.read_bytes()
    for side in ("client", "server"):
        hear(side, b"\x03" + bytes(2 * BLOCK_BYTES) + data, 1000)
        if path.name.startswith("amf0"):
            for kind in (Type.COMMAND, Type.DATA):
                wrapped = write_message(3, kind, 1, 0, data, 128)
                hear(side, CONVERSATIONS[side][: -1 or None] + wrapped, 5000)
