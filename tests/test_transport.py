"""Transports: runs of datagrams by GSO and by sendmmsg, byte streams, full sockets, dead peers."""

from __future__ import annotations

import errno
import itertools
import socket
from collections.abc import Iterator

import pytest

from pushcast.rtptransport import RtpTransport
from pushcast.transport import TcpTransport, UdpTransport


@pytest.fixture
def receiver() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(5)
        yield sock


def connected(receiver: socket.socket) -> int:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    sock.connect(receiver.getsockname())
    return sock.detach()


# What is common to both: (transport, bytes of a header before each datagram).
KINDS = [pytest.param(UdpTransport, 0, id="udp"), pytest.param(RtpTransport, 12, id="rtp")]
Kind = type[UdpTransport]


def arrived(receiver: socket.socket, count: int, header_bytes: int) -> list[bytes]:
    """So many datagrams without their headers."""
    return [receiver.recv(65536)[header_bytes:] for _ in range(count)]


def packets(count: int) -> bytes:
    return b"".join(bytes([0x47, number % 256]) + bytes(186) for number in range(count))


@pytest.mark.parametrize(("kind", "header_bytes"), KINDS)
@pytest.mark.parametrize("gso", [True, False], ids=["kernel segments", "sendmmsg"])
@pytest.mark.parametrize(
    ("packet_count", "sizes"),
    [(7, [1316]), (21, [1316] * 3), (9, [1316, 376]), (7 * 49, [1316] * 49)],
    ids=["one", "three", "short tail", "the longest run"],
)
def test_a_run_arrives_as_whole_datagrams(
    receiver: socket.socket, kind: Kind, header_bytes: int, gso: bool, packet_count: int, sizes: list[int]
) -> None:
    transport = kind(connected(receiver), gso=gso)
    assert transport.gso is gso
    data = packets(packet_count)
    for _ in range(3):
        assert transport.send(data) == len(data)
        payloads = arrived(receiver, len(sizes), header_bytes)
        assert [len(each) for each in payloads] == sizes
        assert b"".join(payloads) == data
    transport.close()


@pytest.mark.parametrize(("kind", "header_bytes"), KINDS)
@pytest.mark.parametrize("gso", [True, False], ids=["kernel segments", "sendmmsg"])
@pytest.mark.parametrize(
    "cuts", [[1316], [1], [188, 189, 1315], [2632 + 700], [0, 1316 * 3], [100, 200, 300, 400, 500, 600, 700]]
)
def test_pieces_make_one_run(
    receiver: socket.socket, kind: Kind, header_bytes: int, gso: bool, cuts: list[int]
) -> None:
    transport = kind(connected(receiver), gso=gso)
    data = packets(7 * 3)
    pieces = [data[start:end] for start, end in itertools.pairwise([0, *cuts, len(data)])]
    assert transport.send(*pieces) == len(data)
    payloads = arrived(receiver, 3, header_bytes)
    assert [len(each) for each in payloads] == [1316] * 3
    assert b"".join(payloads) == data
    transport.close()


@pytest.mark.parametrize("gso", [True, False], ids=["kernel segments", "sendmmsg"])
@pytest.mark.parametrize("cut", [1316 * 10 + 5, 1316 * 49, 1316 * 50 + 1])
def test_pieces_beyond_a_run_wait(receiver: socket.socket, gso: bool, cut: int) -> None:
    transport = UdpTransport(connected(receiver), gso=gso)
    data = packets(7 * 60)
    assert transport.send(data[:cut], data[cut:]) == 49 * 1316
    assert b"".join(receiver.recv(65536) for _ in range(49)) == data[: 49 * 1316]
    transport.close()


def test_a_byte_stream_takes_pieces_in_order() -> None:
    near, far = socket.socketpair()
    near.setblocking(False)
    transport = TcpTransport(near.detach())
    assert transport.send(b"one", b"", b"two", bytearray(b"three")) == 11
    assert far.recv(100) == b"onetwothree"
    with pytest.raises(ValueError, match="expected 1 to 8"):
        transport.send(*[b"x"] * 9)
    far.close()
    transport.close()


def test_more_than_a_send_can_hold_is_taken_in_part(receiver: socket.socket) -> None:
    transport = UdpTransport(connected(receiver))
    assert transport.send(packets(7 * 60)) == 49 * 1316
    transport.close()


@pytest.mark.parametrize(("kind", "header_bytes"), KINDS)
def test_segmentation_refused_goes_over_to_sendmmsg_for_good(
    receiver: socket.socket, kind: Kind, header_bytes: int
) -> None:
    """SO_NO_CHECK makes the kernel refuse UDP_SEGMENT with EINVAL, as a kernel or device without it would."""
    fd = connected(receiver)
    so_no_check = 11
    with socket.socket(fileno=fd) as sock:
        sock.setsockopt(socket.SOL_SOCKET, so_no_check, 1)
        sock.detach()
    transport = kind(fd)
    assert transport.gso
    data = packets(21)
    assert transport.send(data) == len(data)
    assert not transport.gso
    payloads = arrived(receiver, 3, header_bytes)
    assert [len(each) for each in payloads] == [1316] * 3
    assert b"".join(payloads) == data
    transport.close()


@pytest.mark.parametrize("gso", [True, False])
def test_nobody_listens_is_counted_and_not_fatal(gso: bool) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        transport = UdpTransport(connected(sock), gso=gso)
    for _ in range(5):
        assert transport.send(packets(7)) == 1316
    assert transport.stats()["refused"] >= 1
    transport.close()


def test_a_full_stream_takes_a_part_then_nothing() -> None:
    near, far = socket.socketpair()
    near.setblocking(False)
    transport = TcpTransport(near.detach())
    data = bytes(1 << 22)
    assert 0 < transport.send(data) < len(data)
    assert transport.send(data) == 0
    assert transport.stats()["short_sends"] == 2
    far.close()
    with pytest.raises(OSError, match="Broken pipe") as lost:
        transport.send(data)
    assert lost.value.errno == errno.EPIPE
    transport.close()


def test_close_is_final_and_may_come_twice(receiver: socket.socket) -> None:
    transport = UdpTransport(connected(receiver))
    transport.close()
    transport.close()
    assert transport.closed
    with pytest.raises(ValueError, match="send on a closed transport"):
        transport.send(b"x")


@pytest.mark.parametrize("size", [0, 187, 1317, 1504])
def test_datagram_size_is_whole_packets(receiver: socket.socket, size: int) -> None:
    fd = connected(receiver)
    with pytest.raises(ValueError, match=f"datagram_bytes: found {size}"):
        UdpTransport(fd, datagram_bytes=size)
    socket.socket(fileno=fd).close()
