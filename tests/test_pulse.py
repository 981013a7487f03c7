"""Pulse: what the figures of one look mean against those of the look before, and what a real destination's say."""

from __future__ import annotations

import socket
import time
from typing import Any

import pytest
from srt_calls import connected, send_all, ts_bytes
from srt_peer import srt_listener, until

from pushcast.destination import Destination
from pushcast.muxer import Muxer
from pushcast.pulse import (
    FOUND_BEHIND,
    FOUND_CONFIRMS_NOTHING,
    FOUND_DROPPED,
    FOUND_JUMPED,
    FOUND_OVERLOADED,
    FOUND_REFUSED,
    FOUND_RESENT,
    FOUND_SILENT,
    FOUND_TAKES_NOTHING,
    FOUND_WELL,
    TROUBLE_S,
    Pulse,
)
from pushcast.ring import Ring
from pushcast.transport import TcpTransport, UdpTransport

SECOND = 1_000_000_000
STALLED_MS = 2000


class Looks:
    """A session that sends 100 kB a second, looked at each second."""

    def __init__(self) -> None:
        self.now_ns = 1000 * SECOND
        self.pulse = Pulse(None, self.now_ns, STALLED_MS)
        self.figures: dict[str, Any] = {"sent_bytes": 0}

    def look(
        self,
        seen: tuple[int, int, int, int, bool] | None = None,
        overloaded: bool = False,
        silent: bool = False,
        **figures: int,
    ) -> tuple[int, float]:
        self.now_ns += SECOND
        self.figures |= figures | {"sent_bytes": self.figures["sent_bytes"] + 100_000}
        if not silent:
            self.figures["last_send_ns"] = self.now_ns
        found = self.pulse.weigh_figures(self.now_ns, seen=seen, overloaded=overloaded, **self.figures)
        return found, self.pulse.figure


WELL = (FOUND_WELL, 0.0)


def test_all_is_well() -> None:
    looks = Looks()
    assert looks.pulse.confirmed_time == 0.0
    assert all(looks.look((n, n, 0, 0, True)) == WELL for n in range(1, 10))
    assert looks.pulse.bits_per_s == 800_000
    assert abs(time.time() - looks.pulse.confirmed_time) < 5


@pytest.mark.parametrize(
    ("figures", "expected"),
    [
        ({"blocked_ms": 1999}, WELL),
        ({"blocked_ms": 4200}, (FOUND_TAKES_NOTHING, 4.2)),
        ({"lag_ms": 1000}, WELL),
        ({"lag_ms": 2340}, (FOUND_BEHIND, 2.34)),
        ({"overloaded": True}, (FOUND_OVERLOADED, 0.0)),
        ({"jumps": 1}, (FOUND_JUMPED, 0.0)),
        ({"refused": 3}, (FOUND_REFUSED, 0.0)),
        ({"seen": (1, 100, 0, 7, False)}, (FOUND_DROPPED, 7.0)),
        ({"seen": (1, 100, 5, 0, False)}, WELL),
        ({"seen": (1, 100, 12, 0, False)}, (FOUND_RESENT, 12.0)),
        ({"seen": (1, 100, 300, 0, False)}, (FOUND_RESENT, 100.0)),
        ({"blocked_ms": 3000, "lag_ms": 3000, "jumps": 2}, (FOUND_TAKES_NOTHING, 3.0)),
    ],
)
def test_what_one_look_means(figures: dict[str, Any], expected: tuple[int, float]) -> None:
    assert Looks().look(**figures) == expected


def test_a_peer_that_confirms_nothing_more() -> None:
    looks = Looks()
    owed = (5000, 9000, 0, 0, True)
    stalled = FOUND_CONFIRMS_NOTHING
    assert [looks.look(owed)[0] for _ in range(4)] == [FOUND_WELL, FOUND_WELL, stalled, stalled]
    assert looks.look(owed) == (stalled, 4.0)
    assert looks.look((5001, 9000, 0, 0, True)) == WELL
    assert all(looks.look((5001, 9000, 0, 0, False)) == WELL for _ in range(5)), "it owes nothing"


def test_a_peer_that_never_confirmed_anything() -> None:
    looks = Looks()
    found = [looks.look((0, 9000, 0, 0, True)) for _ in range(4)]
    assert found[1] == WELL
    assert found[3] == (FOUND_CONFIRMS_NOTHING, 3.0)


def test_trouble_shows_for_a_while() -> None:
    looks = Looks()
    assert looks.look((1, 100, 0, 7, False)) == (FOUND_DROPPED, 7.0)
    seconds = 0
    while (found := looks.look((1, 100, 0, 7, False))) != WELL:
        assert found == (FOUND_DROPPED, 7.0)
        seconds += 1
    assert seconds == TROUBLE_S


def test_a_stream_that_brings_nothing() -> None:
    looks = Looks()
    looks.look()
    found = [looks.look(silent=True) for _ in range(6)]
    assert found[3] == WELL
    assert found[5] == (FOUND_SILENT, 6.0)


def test_two_looks_at_the_same_time() -> None:
    looks = Looks()
    looks.look()
    looks.now_ns -= SECOND
    assert looks.look() == WELL
    assert looks.pulse.bits_per_s == 800_000


def test_without_a_destination_there_is_nothing_to_look_at() -> None:
    with pytest.raises(ValueError, match="without a destination"):
        Pulse(None, 0, STALLED_MS).look()


def test_a_destination_over_tcp() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        near = socket.create_connection(server.getsockname())
        far, _ = server.accept()
        transport = TcpTransport(near.detach())
        pulse = Pulse(Destination(Ring(), Muxer(), transport), time.monotonic_ns(), STALLED_MS)
        assert pulse.look() == FOUND_WELL
        first = pulse.confirmed_time
        transport.send(bytes(5000))
        deadline = time.monotonic() + 5
        while pulse.confirmed_time == first:
            assert pulse.look() == FOUND_WELL
            assert time.monotonic() < deadline, "the kernel confirms what it has"
        assert pulse.look(overloaded=True) == FOUND_OVERLOADED
        transport.close()
        assert pulse.look() == FOUND_WELL, "nothing is known of a closed connection"
        far.close()


async def test_a_destination_over_srt() -> None:
    async with srt_listener() as peer, connected(peer.port) as transport:
        pulse = Pulse(Destination(Ring(), Muxer(), transport), time.monotonic_ns(), STALLED_MS)
        await send_all(transport, ts_bytes(7 * 10, seed=1))
        await until(lambda: pulse.look() == FOUND_WELL and transport.stats()["send_buffer_packets"] == 0)
        pulse.look()
        confirmed = pulse.confirmed_time
        assert abs(time.time() - confirmed) < 5
        pulse.look()
        assert pulse.confirmed_time == confirmed, "nothing new was confirmed"


def test_a_destination_over_udp_confirms_nothing() -> None:
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.connect(("127.0.0.1", 9))
    pulse = Pulse(Destination(Ring(), Muxer(), UdpTransport(udp.detach())), time.monotonic_ns(), STALLED_MS)
    assert pulse.look() == FOUND_WELL
    assert pulse.confirmed_time == 0.0
