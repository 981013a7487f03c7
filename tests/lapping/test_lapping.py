"""The writer comes round while a thread is in the middle of a send: what was overwritten is never taken for media."""

from __future__ import annotations

import errno
import socket
from types import ModuleType

import pytest
from races.fleet import Fleet

from lapping.build import gated
from pushcast.ring import Ring

KEY = 1
FRAME_TICKS = 3600
GOP = 8
SIZE = 188 * 70
RING_BYTES = 1 << 17  # nine spans and a bit
DATAGRAM = 1316


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    return gated(tmp_path_factory.mktemp("gated"))


def body(number: int) -> bytes:
    return number.to_bytes(4, "big") * (SIZE // 4)


def lead(number: int) -> bytes:
    return b"lead" + number.to_bytes(4, "big") + bytes(DATAGRAM - 8)


def write(ring: Ring, count: int) -> None:
    for number in range(ring.head, ring.head + count):
        key = number % GOP == 0
        ring.write(body(number), number * FRAME_TICKS, KEY if key else 0, 0, lead(number) if key else None)


def make_ring() -> Ring:
    """Six spans from a keyframe on."""
    ring = Ring(RING_BYTES, RING_BYTES, 64, 0)
    write(ring, 6)
    return ring


def read(far: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = far.recv(min(size - len(data), 65536))
        assert piece, f"closed after {len(data)} of {size} bytes"
        data += piece
    return data


def test_a_stream_ends_with_the_send_that_was_overwritten(gate: ModuleType) -> None:
    ring = make_ring()
    near, far = socket.socketpair()
    transport = gate.GatedTransport(near.detach(), 0)
    with far, Fleet(1) as fleet:
        far.settimeout(10)
        gate.arm()
        one = fleet.attach(ring, transport)
        gate.wait_until_inside()  # the lead-in
        gate.open_gate()
        assert read(far, DATAGRAM) == lead(0)
        gate.arm()
        write(ring, 1)
        gate.wait_until_inside()
        first_half = read(far, 7 * SIZE // 2)
        write(ring, 20)
        gate.open_gate()
        fleet.wait(lambda: one in fleet.lost)
        assert fleet.lost[one] == errno.EOVERFLOW
        fleet.detach(one, b"never said")
        fleet.wait(lambda: one in fleet.released)
        transport.close()
        second_half = b"".join(iter(lambda: far.recv(65536), b""))
    whole = b"".join(body(number) for number in range(7))
    assert first_half == whole[: len(first_half)]
    assert len(first_half + second_half) == len(whole), "something was sent after it"
    assert first_half + second_half != whole, "the writer did not come round"
    assert one.counters()["damaged"] == 1


def test_datagrams_go_on_at_the_next_keyframe(gate: ModuleType) -> None:
    ring = make_ring()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as far, Fleet(1) as fleet:
        far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        far.bind(("127.0.0.1", 0))
        far.settimeout(10)
        near = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        near.connect(far.getsockname())
        transport = gate.GatedTransport(near.detach(), DATAGRAM)
        one = fleet.attach(ring, transport)
        fleet.wait(lambda: one in fleet.started)
        fleet.wait(lambda: one.counters()["media_bytes"] == 6 * SIZE)
        gate.arm()
        write(ring, 1)
        gate.wait_until_inside()
        write(ring, 20)
        key = ring.last_key or 0
        gate.open_gate()
        fleet.wait(lambda: one.counters()["damaged"])
        assert one.counters()["damaged"] == 1
        assert one.counters()["jumps"] == 1
        write(ring, GOP)
        fleet.wait(lambda: one.counters()["media_bytes"] >= 8 * SIZE)
        ring.end()
        fleet.detach(one)
        fleet.wait(lambda: one in fleet.released)
        assert fleet.released[one] == 0
        transport.close()
        received = []
        far.setblocking(False)
        while True:
            try:
                received.append(far.recv(2048))
            except BlockingIOError:
                break
    again = lead(key + GOP)
    assert [each for each in received if each.startswith(b"lead")] == [lead(0), again]
    media = b"".join(received[received.index(again) + 1 :])
    assert media == b"".join(body(number) for number in range(key + GOP, ring.head))
