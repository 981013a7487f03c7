"""Everything that Python may do to sender threads, in any order, while they send: attach, control bytes, detach,
counters, rings that are lapped and that end, peers that stall and that go, and a stop with all of that under way.  What
TLS peers say is read beside."""

from __future__ import annotations

import contextlib
import random
import socket
import time
from collections.abc import Callable

import pytest
from certificates import Certificates
from live import LiveStream

from pushcast.counters import Tally
from pushcast.destination import TABLE, Destination
from pushcast.media import Container, FeedKey
from pushcast.muxer import Muxer
from pushcast.ring import Ring
from pushcast.selfcheck import SelfCheck
from pushcast.source import Clock
from pushcast.stream import Registry
from pushcast.tls import TlsConnection
from pushcast.tlscontext import TlsContext
from pushcast.transport import Transport
from pushcast.tsoptions import TsOptions
from races.fleet import Fleet
from races.peers import Reader, tcp_pair, udp_pair
from races.tls_peers import tls_connect, tls_server

KEY = 1
SPAN_TICKS = 360
GOP = 20
RUN_S = 3.0
POPULATION = 40
SMALL_BYTES = 65536
RATE = 3_000_000
FEEDS = (
    FeedKey(Container.RTMP, (7, 9)),
    FeedKey(Container.MPEGTS, (7, 9)),
    FeedKey(Container.MPEGTS, (7, 9), TsOptions(mux_bits_per_s=RATE)),
)


class Storm:
    """One thread of Python that does the next thing at random; the far ends it made close with it."""

    def __init__(self, fleet: Fleet, reader: Reader, tls_port: int, seed: int) -> None:
        self.fleet = fleet
        self.reader = reader
        self.rng = random.Random(seed)
        self.transports: dict[Destination, Transport] = {}
        self.far: dict[Destination, socket.socket] = {}
        self.tls_port = tls_port
        self.tls_context = TlsContext(verify=False)
        self.tls: dict[Destination, TlsConnection] = {}
        self.heard_bytes = 0
        self.done = 0
        self.live = LiveStream(Registry({"v": ("a",)}, Clock()))
        self.live.up()
        self.live.feed(30)
        self.rings = [Ring(SMALL_BYTES, SMALL_BYTES, 64, 0) for _ in range(2)]
        self.written = 0
        self.checks: set[SelfCheck] = set()
        self.tally = Tally()  # three threads write it
        self.released_bytes = 0
        self.looked_ns = 0

    def write(self) -> None:
        """Media for all: a feed of each container, and small rings that lap whoever is slow."""
        self.live.feed(1, padding_bytes=self.rng.choice((100, 5000)))
        for _ in range(self.rng.randint(1, 30)):
            key = self.written % GOP == 0
            size = self.rng.randint(1, 15) * 188
            for ring in self.rings:
                ring.write(bytes(size), self.written * SPAN_TICKS, KEY if key else 0, 0, bytes(188) if key else None)
            self.written += 1

    def pick_ring(self) -> tuple[Ring, Muxer]:
        if self.rng.random() < 0.5:
            feed = self.live.source.feed(self.rng.choice(FEEDS), self.rng.choice((0, 10_000)))
            if feed.selfcheck is not None:
                self.checks.add(feed.selfcheck)
            return feed.ring, feed.muxer
        return self.rng.choice(self.rings), Muxer()

    def attach(self) -> None:
        transport: Transport
        connection = far = None
        kind = self.rng.choice(("gso", "each", "rtp", "read", "stuck", "tls", "tls"))
        if kind == "tls":
            transport, connection = tls_connect(self.tls_port, self.tls_context)
        elif kind in ("read", "stuck"):
            transport, far = tcp_pair(4096 if kind == "stuck" else None)
        else:
            transport, far = udp_pair(gso=kind != "each", rtp=kind == "rtp")
        if kind == "read" and far is not None:
            self.reader.watch(far)
        ring, muxer = self.pick_ring()
        made = self.fleet.attach(
            ring,
            transport,
            muxer,
            start=self.rng.choice(("gop", "next")),
            max_lag_ms=self.rng.choice((50, 500, 5000)),
            stall_ms=self.rng.choice((100, 10000)),
            delay_ms=self.rng.choice((0, 0, 0, 30, 300)),
            pace=self.rng.choice((None, None, None, 0, RATE)),
            tally=self.tally,
        )
        self.transports[made] = transport
        if far is not None:
            self.far[made] = far
        if connection is not None:
            self.tls[made] = connection

    def anyone(self, act: Callable[[Destination], None]) -> None:
        if self.fleet.sender_of:
            act(self.rng.choice(list(self.fleet.sender_of)))

    def detach(self, destination: Destination) -> None:
        if destination not in self.fleet.leaving:
            self.fleet.detach(destination, self.rng.choice((b"", b"farewell")), self.rng.choice((0, 20, 500)))

    def control(self, destination: Destination) -> None:
        try:
            destination.control(bytes(self.rng.randint(1, 3000)))
        except BufferError:
            self.detach(destination)

    def look(self, destination: Destination) -> None:
        self.transports[destination].stats()
        destination.reset_gap()
        sent_bytes = destination.counters()["sent_bytes"]
        assert destination.counters()["sent_bytes"] >= sent_bytes
        TABLE.snapshot()
        assert self.tally.sent_bytes >= sent_bytes
        for check in self.checks:
            self.looked_ns += 1_000_000_000
            check.look(self.looked_ns)
        assert all(sender.statistics()["busy_permille"] <= 1000 for sender in self.fleet.senders)

    def hear(self, connection: TlsConnection) -> None:
        """As the event loop does, until nothing has come; a lost connection is the sender's to notice."""
        with contextlib.suppress(OSError):
            while data := connection.receive():
                self.heard_bytes += len(data)

    def hang_up(self, destination: Destination) -> None:
        """The peer goes."""
        if destination in self.far and self.far[destination] not in self.reader.received:
            self.far.pop(destination).close()

    def end_a_ring(self) -> None:
        self.rings.pop(0).end()
        self.rings.append(Ring(SMALL_BYTES, SMALL_BYTES, 64, 0))

    def step(self) -> None:
        self.write()
        self.fleet.look(self.rng.choice((0.0, 0.0, 0.001, 0.004)))
        for connection in self.tls.values():
            self.hear(connection)
        for destination in self.fleet.released:
            if (over := self.tls.pop(destination, None)) is not None:
                over.close_notify()
            self.transports.pop(destination).close()
            self.released_bytes += destination.sent_bytes
            if destination in self.far and self.far[destination] not in self.reader.received:
                self.far.pop(destination).close()
        self.fleet.released.clear()
        for destination in [each for each in self.fleet.lost if each in self.fleet.sender_of]:
            self.detach(destination)
        self.fleet.lost.clear()
        if len(self.fleet.sender_of) < POPULATION:
            self.attach()
        roll = self.rng.random()
        if roll < 0.3:
            self.anyone(self.control)
        elif roll < 0.6:
            self.anyone(self.look)
        elif roll < 0.8:
            self.anyone(self.detach)
        elif roll < 0.85:
            self.anyone(self.hang_up)
        elif roll < 0.87:
            self.end_a_ring()
        self.done += 1

    def close(self) -> None:
        for far in self.far.values():
            far.close()
        for transport in self.transports.values():
            transport.close()


@pytest.mark.parametrize("seed", [1, 2])
def test_anything_at_any_time(seed: int, certificates: Certificates) -> None:
    with tls_server(certificates.issued("good")) as port, Reader() as reader, Fleet(3) as fleet:
        storm = Storm(fleet, reader, port, seed)
        end = time.monotonic() + RUN_S
        while time.monotonic() < end:
            storm.step()
        attached = len(fleet.sender_of)
    assert storm.tally.sent_bytes == storm.released_bytes + sum(each.sent_bytes for each in storm.transports)
    storm.close()
    assert attached > 0, "the threads were stopped with nothing attached"
    assert storm.done > 20
    assert storm.heard_bytes > 0, "nothing was read beside a send"
    assert not fleet.sender_of, "a stopped sender still has destinations"
