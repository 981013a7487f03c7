"""MediaSocket: reads that bring media alone disturb nobody; everything else is told."""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterator

import pytest

from pushcast.chunk import ChunkReader, write_message
from pushcast.errors import RemoteProtocolError
from pushcast.mediasocket import MediaSocket
from pushcast.message import MediaSink, Message

AUDIO, DATA, COMMAND = 8, 18, 20


class Owner:
    """What a MediaSocket tells, and its far end."""

    def __init__(self) -> None:
        self.far, self.near = socket.socketpair()
        self.media: list[Message] = []
        self.attended: list[list[Message]] = []
        self.ends: list[Exception | None] = []
        self.reader = ChunkReader()
        self.reader.media = Kept(self.media)
        self.socket = MediaSocket(self.near.detach(), self.reader, self.attended.append, self.ends.append)
        self.socket.attend_at = 1 << 40

    def send(self, *messages: tuple[int, bytes]) -> None:
        for kind, payload in messages:
            self.far.sendall(write_message(4, kind, 1, 0, payload, 128))
        self.socket()


class Kept(MediaSink):
    def __init__(self, kept: list[Message]) -> None:
        self.kept = kept

    def take(self, message: Message) -> None:
        self.kept.append(message)


@pytest.fixture
def owner() -> Iterator[Owner]:
    made = Owner()
    yield made
    made.far.close()
    made.socket.close()
    made.socket.close()


def test_media_goes_to_the_sink_and_is_not_told(owner: Owner) -> None:
    owner.send((AUDIO, b"one"), (AUDIO, b"two" * 100))
    assert [message.payload for message in owner.media] == [b"one", b"two" * 100]
    assert (owner.attended, owner.ends) == ([], [])


def test_what_is_not_media_is_told(owner: Owner) -> None:
    owner.send((AUDIO, b"one"), (COMMAND, b"stop"), (DATA, b"meta"))
    assert [[message.type for message in messages] for messages in owner.attended] == [[COMMAND, DATA]]


def test_a_number_of_bytes_is_told(owner: Owner) -> None:
    owner.socket.attend_at = 500
    owner.send((AUDIO, bytes(300)))
    assert owner.attended == []
    owner.send((AUDIO, bytes(300)))
    assert owner.attended == [[]]
    owner.socket.attend_at = 1 << 40
    owner.send((AUDIO, bytes(300)))
    assert owner.attended == [[]]


def test_nothing_to_read_is_nothing(owner: Owner) -> None:
    owner.socket()
    assert (owner.media, owner.attended, owner.ends) == ([], [], [])


def test_the_end_is_told_once(owner: Owner) -> None:
    owner.far.sendall(write_message(4, AUDIO, 1, 0, b"last", 128))
    owner.far.close()
    owner.socket()
    owner.socket()
    assert ([message.payload for message in owner.media], owner.ends) == ([b"last"], [None])


def test_an_owner_may_close_it_when_told(owner: Owner) -> None:
    def close(messages: list[Message]) -> None:
        owner.attended.append(messages)
        owner.socket.close()

    near, far = socket.socketpair()
    owner.socket = MediaSocket(near.detach(), owner.reader, close, owner.ends.append)
    far.sendall(write_message(4, COMMAND, 1, 0, b"stop", 128))
    owner.socket()
    assert ([len(messages) for messages in owner.attended], owner.ends) == ([1], [])
    assert far.recv(1) == b""
    far.close()


def test_a_reset_is_told() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    near = socket.create_connection(listener.getsockname())
    far, _ = listener.accept()
    ends: list[Exception | None] = []
    reading = MediaSocket(near.detach(), ChunkReader(), lambda messages: None, ends.append)
    far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    far.close()
    reading()
    assert [getattr(error, "errno", None) for error in ends] == [errno.ECONNRESET]
    reading.close()
    listener.close()


def test_broken_bytes_end_it(owner: Owner) -> None:
    owner.far.sendall(b"\x84" + bytes(20))
    owner.socket()
    assert [type(error) for error in owner.ends] == [RemoteProtocolError]
    owner.far.sendall(bytes(10))
    owner.socket()
    assert len(owner.ends) == 1
