"""TLS between its hands: the event loop reads what a sender thread writes beside, and reading writes too when the peer
wants new keys."""

from __future__ import annotations

import contextlib
from contextlib import ExitStack
from pathlib import Path

from certificates import Certificates

from pushcast.ring import Ring
from pushcast.tls import TlsConnection
from pushcast.tlscontext import TlsContext
from races.fleet import Fleet
from races.tls_peers import KeyChanger, tls_connect

KEY = 1
SPAN_TICKS = 36
SPANS = 400
SIZE = 188 * 50
PEERS = 4


def body(number: int) -> bytes:
    return number.to_bytes(4, "big") * (SIZE // 4)


def hear(connection: TlsConnection) -> None:
    """All that has come: new keys, which leave nothing to return."""
    with contextlib.suppress(BlockingIOError):
        while connection.receive():
            pass


def test_every_byte_arrives_while_keys_change(certificates: Certificates, tmp_path: Path) -> None:
    shown, context = certificates.issued("good"), TlsContext(authorities=certificates.authority.cert.read_bytes())
    ring = Ring()
    with ExitStack() as opened:
        peers = []
        for number in range(PEERS):
            folder = tmp_path / str(number)
            folder.mkdir()
            peers.append(opened.enter_context(KeyChanger(shown, folder)))
        fleet = opened.enter_context(Fleet(2))
        connected = [tls_connect(peer.port, context) for peer in peers]
        ring.write(body(0), 0, KEY)
        destinations = [fleet.attach(ring, transport) for transport, _ in connected]
        fleet.wait(lambda: len(fleet.started) == PEERS)
        for number in range(1, SPANS):
            ring.write(body(number), number * SPAN_TICKS)
            if number % 20 == 0:
                for peer in peers:
                    peer.ask()
                fleet.look(0.004)
            for transport, connection in connected:
                hear(connection)
                assert transport.stats()["short_sends"] >= 0
                assert connection.session() is not None
                assert connection.version == "TLSv1.3"
        fleet.wait(lambda: all(each.counters()["media_bytes"] == SPANS * SIZE for each in destinations))
        for each in destinations:
            fleet.detach(each, b"bye")
        fleet.wait(lambda: len(fleet.released) == PEERS)
        assert set(fleet.released.values()) == {0}
        for _, connection in connected:
            fleet.wait(connection.flush)
            connection.close_notify()
        expected = b"".join(body(number) for number in range(SPANS)) + b"bye"
        for peer in peers:
            fleet.wait(lambda peer=peer: peer.has(expected))
            assert peer.answers > 3
        for transport, _ in connected:
            transport.close()
