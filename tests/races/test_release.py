"""The moment at which a thread lets go of a destination that Python still speaks to."""

from __future__ import annotations

import contextlib
import time

from pushcast.ring import Ring
from races.fleet import Fleet
from races.peers import udp_pair

ROUNDS = 200
DEADLINE_S = 30.0


def test_replies_go_on_until_the_release_is_read() -> None:
    """Nothing may point to the destination when the event has been read, for it is freed right then."""
    ring = Ring()
    transport, far = udp_pair()
    with far, Fleet(1) as fleet:
        end = time.monotonic() + DEADLINE_S
        for _ in range(ROUNDS):
            destination = fleet.attach(ring, transport)
            fleet.detach(destination, b"bye", 0)
            while destination not in fleet.released:
                assert time.monotonic() < end, "a destination is never released"
                with contextlib.suppress(BufferError):  # a thread without a core for a while takes none of them
                    destination.control(b"reply")
                fleet.look(0.0)
            del fleet.released[destination], destination
    transport.close()
