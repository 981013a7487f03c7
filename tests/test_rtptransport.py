"""RTP: every datagram behind a header of its own, numbered by what the socket took."""

from __future__ import annotations

import itertools
import socket
import struct
import time

import pytest
from test_transport import connected, packets, receiver

from pushcast.rtptransport import RtpTransport

__all__ = ["receiver"]

HEADER = struct.Struct(">BBHII")


def arrived(receiver: socket.socket, count: int) -> list[tuple[int, ...]]:
    return [HEADER.unpack_from(receiver.recv(65536)) for _ in range(count)]


@pytest.mark.parametrize("gso", [True, False], ids=["kernel segments", "sendmmsg"])
@pytest.mark.parametrize("packet_count", [7, 21, 9, 7 * 49])
def test_every_datagram_has_a_header(receiver: socket.socket, gso: bool, packet_count: int) -> None:
    transport = RtpTransport(connected(receiver), gso=gso)
    headers: list[tuple[int, ...]] = []
    for _ in range(3):
        assert transport.send(packets(packet_count)) == 188 * packet_count
        headers += arrived(receiver, -(-packet_count // 7))
    assert {(first, second) for first, second, *_ in headers} == {(0x80, 33)}
    assert len({ssrc for *_, ssrc in headers}) == 1
    numbers = [number for _, _, number, _, _ in headers]
    assert all((later - earlier) % 65536 == 1 for earlier, later in itertools.pairwise(numbers))
    transport.close()


def test_sequence_numbers_go_round_and_times_go_on(receiver: socket.socket) -> None:
    transport = RtpTransport(connected(receiver))
    seen: list[int] = []
    stamps: list[tuple[float, int]] = []
    for _ in range(70_000 // 49):
        assert transport.send(packets(7 * 49)) == 49 * 1316
        found = arrived(receiver, 49)
        seen += [number for _, _, number, _, _ in found]
        stamps.append((time.monotonic(), found[-1][3]))
    assert len(seen) > 65536
    assert all((later - earlier) % 65536 == 1 for earlier, later in itertools.pairwise(seen))
    elapsed = stamps[-1][0] - stamps[0][0]
    assert (stamps[-1][1] - stamps[0][1]) % (1 << 32) / 90_000 == pytest.approx(elapsed, abs=0.05)
    transport.close()


def test_what_was_not_taken_has_no_number(receiver: socket.socket) -> None:
    transport = RtpTransport(connected(receiver))
    assert transport.send(packets(7 * 60)) == 49 * 1316
    assert transport.send(packets(7)) == 1316
    found = arrived(receiver, 50)
    numbers = [number for _, _, number, _, _ in found]
    assert (numbers[-1] - numbers[0]) % 65536 == 49
    transport.close()


@pytest.mark.parametrize("datagram_bytes", [0, 100, 1504])
def test_datagrams_are_whole_packets(receiver: socket.socket, datagram_bytes: int) -> None:
    fd = connected(receiver)
    with pytest.raises(ValueError, match="expected a multiple of 188 up to 1316"):
        RtpTransport(fd, datagram_bytes=datagram_bytes)
    socket.socket(fileno=fd).close()
