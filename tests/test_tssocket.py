"""TsStreamSocket and TsDatagramSocket: what is read, when there is no more, and who is heard."""

from __future__ import annotations

import os
import socket

import pytest
from ingest_world import transport_stream

from pushcast.errors import MediaError
from pushcast.source import Clock, Source
from pushcast.tsinput import TsInput
from pushcast.tssocket import TsDatagramSocket, TsStreamSocket
from pushcast.tstap import TsTap


class Ends(list):
    """What a socket told at its end."""

    def __call__(self, error: Exception | None) -> None:
        self.append(error)


def tap() -> TsTap:
    return TsTap(TsInput(Source(Clock())), lambda: None)


def test_a_stream_until_its_end() -> None:
    near, far = socket.socketpair()
    ends, data = Ends(), b"".join(transport_stream(10))
    reading = TsStreamSocket(os.dup(near.fileno()), tap(), ends)
    near.close()
    far.sendall(data[:1000])
    assert reading()
    far.sendall(data[1000:])
    assert reading()
    assert reading(), "nothing there is no end"
    assert reading.tap.bytes_received == len(data)
    far.close()
    assert not reading()
    assert ends == [None]
    reading.close()


def test_what_cannot_be_taken_ends_it() -> None:
    near, far = socket.socketpair()
    ends = Ends()
    reading = TsStreamSocket(near.detach(), tap(), ends)
    far.sendall(b"GET / HTTP/1.0\r\n\r\n" * 3000)
    while reading():
        pass
    (error,) = ends
    assert isinstance(error, MediaError)
    assert not reading()
    reading.close()
    far.close()


@pytest.fixture
def bound() -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind(("127.0.0.1", 0))
    return made


def sender_to(bound: socket.socket) -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.connect(bound.getsockname())
    return made


def test_the_first_sender_is_heard_until_it_is_silent(bound: socket.socket) -> None:
    first, second = sender_to(bound), sender_to(bound)
    datagrams = transport_stream(10)
    reading = TsDatagramSocket(os.dup(bound.fileno()), tap(), Ends(), rtp=False, silent_s=0.0)
    patient = TsDatagramSocket(os.dup(bound.fileno()), tap(), Ends(), rtp=False, silent_s=60.0)
    assert patient.sender_address is None
    for number, datagram in enumerate(datagrams[:8]):
        (first if number % 2 == 0 else second).send(datagram)
    patient()
    assert (patient.strangers, patient.tap.bytes_received) == (4, sum(map(len, datagrams[:8:2])))
    assert patient.sender_address == first.getsockname()
    for number, datagram in enumerate(datagrams[:8]):
        (first if number % 2 == 0 else second).send(datagram)
    reading()
    assert (reading.strangers, reading.tap.bytes_received) == (0, sum(map(len, datagrams[:8])))
    for each in (first, second, bound):
        each.close()
    for each in (reading, patient):
        each.close()


def test_a_refusal_from_elsewhere_is_no_end(bound: socket.socket) -> None:
    """An ICMP error of a datagram that was sent from this port stands in the way of the next read, once."""
    gone = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    gone.bind(("127.0.0.1", 0))
    target = gone.getsockname()
    gone.close()
    bound.connect(target)
    bound.send(b"anybody?")
    ends = Ends()
    reading = TsDatagramSocket(bound.detach(), tap(), ends, rtp=False, silent_s=1.0)
    assert reading()
    assert ends == []
    reading.close()
