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


def arrived(receiver: socket.socket, count: int) -> tuple[list[tuple[int, ...]], list[bytes]]:
    datagrams = [receiver.recv(65536) for _ in range(count)]
    return [HEADER.unpack_from(each) for each in datagrams], [each[HEADER.size :] for each in datagrams]


@pytest.mark.parametrize("gso", [True, False], ids=["kernel segments", "sendmmsg"])
@pytest.mark.parametrize(
    ("packet_count", "sizes"),
    [(7, [1316]), (21, [1316] * 3), (9, [1316, 376]), (7 * 49, [1316] * 49)],
    ids=["one", "three", "short tail", "the longest run"],
)
def test_a_run(receiver: socket.socket, gso: bool, packet_count: int, sizes: list[int]) -> None:
    transport = RtpTransport(connected(receiver), gso=gso)
    assert transport.gso is gso
    data = packets(packet_count)
    headers: list[tuple[int, ...]] = []
    for _ in range(3):
        assert transport.send(data) == len(data)
        found, payloads = arrived(receiver, len(sizes))
        assert [len(each) for each in payloads] == sizes
        assert b"".join(payloads) == data
        headers += found
    assert {(first, second) for first, second, *_ in headers} == {(0x80, 33)}
    assert len({ssrc for *_, ssrc in headers}) == 1
    numbers = [number for _, _, number, _, _ in headers]
    assert all((later - earlier) % 65536 == 1 for earlier, later in itertools.pairwise(numbers))
    transport.close()


@pytest.mark.parametrize("gso", [True, False], ids=["kernel segments", "sendmmsg"])
@pytest.mark.parametrize("cuts", [[1], [188, 189, 1315], [100, 200, 300, 400, 500, 600, 700]])
def test_pieces_make_one_run(receiver: socket.socket, gso: bool, cuts: list[int]) -> None:
    transport = RtpTransport(connected(receiver), gso=gso)
    data = packets(7 * 3)
    pieces = [data[start:end] for start, end in itertools.pairwise([0, *cuts, len(data)])]
    assert transport.send(*pieces) == len(data)
    _, payloads = arrived(receiver, 3)
    assert b"".join(payloads) == data
    transport.close()


def test_sequence_numbers_go_round_and_times_go_on(receiver: socket.socket) -> None:
    transport = RtpTransport(connected(receiver))
    seen: list[int] = []
    stamps: list[tuple[float, int]] = []
    for _ in range(70_000 // 49):
        assert transport.send(packets(7 * 49)) == 49 * 1316
        found, _ = arrived(receiver, 49)
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
    found, _ = arrived(receiver, 50)
    numbers = [number for _, _, number, _, _ in found]
    assert (numbers[-1] - numbers[0]) % 65536 == 49
    transport.close()


def test_segmentation_refused_goes_over_to_sendmmsg_for_good(receiver: socket.socket) -> None:
    fd = connected(receiver)
    so_no_check = 11
    with socket.socket(fileno=fd) as sock:
        sock.setsockopt(socket.SOL_SOCKET, so_no_check, 1)
        sock.detach()
    transport = RtpTransport(fd)
    assert transport.gso
    data = packets(21)
    assert transport.send(data) == len(data)
    assert not transport.gso
    _, payloads = arrived(receiver, 3)
    assert b"".join(payloads) == data
    transport.close()


@pytest.mark.parametrize("datagram_bytes", [0, 100, 1504])
def test_datagrams_are_whole_packets(receiver: socket.socket, datagram_bytes: int) -> None:
    fd = connected(receiver)
    with pytest.raises(ValueError, match="expected a multiple of 188 up to 1316"):
        RtpTransport(fd, datagram_bytes=datagram_bytes)
    socket.socket(fileno=fd).close()
