"""What a sender thread is shown of a ring is complete, and what it counts can be read at any time.

First of its folder by name: when the bytes of a ring are used again the sanitizer checks that memory no more, and a
later ring may be given the same.
"""

from __future__ import annotations

import pytest

from pushcast.destination import TABLE
from pushcast.ring import Ring
from races.fleet import Fleet
from races.peers import Reader, tcp_pair, udp_pair

KEY = 1
SPAN_TICKS = 36
SPANS = 1500
SIZE = 188 * 5


def body(number: int) -> bytes:
    return number.to_bytes(4, "big") * (SIZE // 4)


@pytest.mark.parametrize("threads", [1, 3])
def test_spans_written_while_threads_read_arrive_whole(threads: int) -> None:
    ring = Ring()
    streams = [tcp_pair() for _ in range(6)]
    datagrams = [udp_pair(gso=number % 2 == 0) for number in range(6)]
    transports = [transport for transport, _ in streams + datagrams]
    with Reader() as reader, Fleet(threads) as fleet:
        for _, far in streams:
            reader.watch(far)
        ring.write(body(0), 0, KEY, 0, b"lead")
        destinations = [fleet.attach(ring, transport) for transport in transports]
        fleet.wait(lambda: len(fleet.started) == len(destinations))
        # From here on no lock is shared with the threads: only the ring's own words order what they see.
        for number in range(1, SPANS):
            ring.write(body(number), number * SPAN_TICKS)
            if number % 50 == 0:
                behind = (number - 50) * SIZE
                fleet.wait(lambda at=behind: all(each.counters()["media_bytes"] >= at for each in destinations))
                assert TABLE.snapshot()["sent_bytes"].sum() > 0
                for each, transport in zip(destinations, transports, strict=True):
                    transport.stats()
                    each.reset_gap()
        ring.end()
        for each in destinations:
            fleet.detach(each, b"bye")
        fleet.wait(lambda: len(fleet.released) == len(destinations))
        assert set(fleet.released.values()) == {0}
        assert all(sender.statistics()["late_us_max"] > 0 for sender in fleet.senders)
        for transport in transports:
            transport.close()
        fleet.wait(lambda: len(reader.ended) == len(streams))
        expected = b"lead" + b"".join(body(number) for number in range(SPANS)) + b"bye"
        for _, far in streams:
            assert reader.received[far] == expected
    for _, far in datagrams:
        far.close()
