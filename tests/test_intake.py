"""Intake: its thread reads sockets until they end or are taken from it, and stops when asked."""

from __future__ import annotations

import fcntl
import os
import queue
import socket
import struct
import termios
import threading
from collections.abc import Iterator

import pytest
from serving import until

from pushcast.chunk import ChunkReader, write_message
from pushcast.intake import Intake
from pushcast.mediasocket import MediaSocket
from pushcast.message import MediaSink, Message

AUDIO, COMMAND = 8, 20
DEADLINE_S = 10.0


class Told(MediaSink):
    """What came of one publisher, in order, as the intake's thread told it."""

    def __init__(self) -> None:
        self.came: queue.Queue[object] = queue.Queue()

    def take(self, message: Message) -> None:
        self.came.put(bytes(message.payload))

    def attend(self, messages: list[Message]) -> None:
        self.came.put([message.type for message in messages])

    def end(self, error: Exception | None) -> None:
        self.came.put(error)

    def next(self) -> object:
        return self.came.get(timeout=DEADLINE_S)


class Publisher:
    """A publisher's far end, and the socket that the intake reads."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            self.far = socket.create_connection(server.getsockname())
            near, _ = server.accept()
        near.setblocking(False)
        self._near = near.fileno()
        self.told = Told()
        reader = ChunkReader()
        reader.media = self.told
        self.socket = MediaSocket(near.detach(), reader, self.told.attend, self.told.end)
        self.socket.attend_at = 1 << 40

    def send(self, kind: int, payload: bytes) -> None:
        self.far.sendall(write_message(4, kind, 1, 0, payload, 128))

    def unread_bytes(self) -> int:
        """What the kernel holds of it for the intake."""
        (count,) = struct.unpack("i", fcntl.ioctl(self._near, termios.FIONREAD, bytes(4)))
        return int(count)

    def close(self) -> None:
        self.far.close()
        self.socket.close()


@pytest.fixture
def intake() -> Iterator[Intake]:
    made = Intake()
    thread = threading.Thread(target=made.run, daemon=True)
    thread.start()
    yield made
    made.stop()
    thread.join(DEADLINE_S)
    assert not thread.is_alive()


def test_media_and_the_rest_of_several_publishers_arrive_in_order(intake: Intake) -> None:
    publishers = [Publisher() for _ in range(3)]
    publishers[0].send(AUDIO, b"before it is read")
    for publisher in publishers:
        intake.add(publisher.socket)
    assert publishers[0].told.next() == b"before it is read"
    for number, publisher in enumerate(publishers):
        publisher.send(AUDIO, bytes([number]) * 5000)
        publisher.send(COMMAND, b"stop")
        publisher.send(AUDIO, b"more")
    for number, publisher in enumerate(publishers):
        came = [publisher.told.next() for _ in range(3)]
        assert came[0] == bytes([number]) * 5000
        assert sorted(map(repr, came[1:])) == sorted(map(repr, ([COMMAND], b"more")))
        intake.remove(publisher.socket)
        publisher.close()


def begun(intake: Intake) -> Publisher:
    """A publisher of whom the intake has read one message."""
    publisher = Publisher()
    intake.add(publisher.socket)
    publisher.send(AUDIO, b"first message")
    assert publisher.told.next() == b"first message"
    return publisher


def test_a_message_in_pieces_is_one_message(intake: Intake) -> None:
    publisher = begun(intake)
    message = write_message(4, AUDIO, 1, 0, b"x", 128)
    publisher.far.sendall(message[:12])
    publisher.far.sendall(message[12:])
    assert publisher.told.next() == b"x"
    publisher.far.sendall(message[:-1])  # and then the end
    publisher.far.close()
    assert publisher.told.next() is None
    publisher.close()


def test_a_header_that_comes_alone_is_read(intake: Intake) -> None:
    """Reading is what has the kernel acknowledge it, and until then Nagle's algorithm holds the rest back."""
    publisher = begun(intake)
    message = write_message(4, AUDIO, 1, 0, b"second message", 128)
    publisher.far.sendall(message[:12])
    until("the header is read", lambda: publisher.unread_bytes() == 0)
    publisher.far.sendall(message[12:])
    assert publisher.told.next() == b"second message"
    publisher.close()


def test_the_end_is_told_once_and_others_go_on(intake: Intake) -> None:
    gone, stays = Publisher(), Publisher()
    intake.add(gone.socket)
    intake.add(stays.socket)
    gone.far.close()
    assert gone.told.next() is None
    stays.send(AUDIO, b"still here")
    assert stays.told.next() == b"still here"
    assert gone.told.came.empty()
    for each in (gone, stays):
        intake.remove(each.socket)
        each.close()


def test_one_that_was_taken_from_it_is_not_read(intake: Intake) -> None:
    taken, other = Publisher(), Publisher()
    intake.add(taken.socket)
    intake.add(other.socket)
    intake.remove(taken.socket)
    intake.remove(taken.socket)
    taken.send(AUDIO, b"nobody reads this")
    other.send(AUDIO, b"but this")
    assert other.told.next() == b"but this"
    assert taken.told.came.empty()
    intake.remove(other.socket)
    for each in (taken, other):
        each.close()


def test_a_socket_that_cannot_be_watched_is_an_error_at_once(intake: Intake) -> None:
    read, write = os.pipe()
    reading = MediaSocket(read, ChunkReader(), lambda messages: None, lambda error: None)
    reading.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        intake.add(reading)
    os.close(write)
