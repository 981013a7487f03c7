"""The moment at which a thread lets go of a destination that Python still speaks to."""

from __future__ import annotations

import contextlib
import time

from pushcast.muxer import Muxer
from pushcast.ring import Ring
from pushcast.sender import EVENT_RELEASED, Destination
from races.fleet import Fleet
from races.peers import udp_pair

ROUNDS = 200
DEADLINE_S = 30.0


def test_replies_go_on_until_the_release_is_read() -> None:
    """Nothing may point to the destination when the event has been read, for it is freed right then."""
    ring = Ring()
    transport, far = udp_pair()
    with far, Fleet(1) as fleet:
        sender = fleet.senders[0]
        end = time.monotonic() + DEADLINE_S
        for _ in range(ROUNDS):
            destination = Destination(ring, Muxer(), transport)
            sender.attach(destination)
            sender.detach(destination, b"bye", 0)
            told: list[int] = []
            while not told:
                assert time.monotonic() < end, "a destination is never released"
                with contextlib.suppress(BufferError):  # a thread without a core for a while takes none of them
                    destination.control(b"reply")
                told = [kind for _, kind, _ in sender.events() if kind == EVENT_RELEASED]
            del destination
        assert sender.population_count == 0
    transport.close()
