"""TLS connections and transports against Python's own TLS: every byte, slow readers, ends and garbage."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import random
import select
import socket
import ssl
import threading
from collections.abc import Iterator

import pytest
from certificates import Certificates

from pushcast.tls import CAUSES, HandshakeFailure, TlsConnection
from pushcast.tlscontext import TlsContext
from pushcast.tlstransport import TlsTransport

DEADLINE_S = 10.0


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def context(certificates: Certificates) -> TlsContext:
    return TlsContext(authorities=certificates.authority.cert.read_bytes())


@contextlib.contextmanager
def pair(
    certificates: Certificates, context: TlsContext, version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
) -> Iterator[tuple[TlsConnection, socket.socket, ssl.SSLSocket]]:
    """(our connection after its handshake, its socket, the server's end)."""
    good = certificates.issued("good")
    theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    theirs.maximum_version = version
    theirs.load_cert_chain(good.cert, good.key)
    near, far = socket.socketpair()
    near.setblocking(False)
    accepted: list[ssl.SSLSocket] = []
    far.settimeout(DEADLINE_S)
    server = threading.Thread(target=lambda: accepted.append(theirs.wrap_socket(far, server_side=True)))
    server.start()
    connection = TlsConnection(context, near.fileno(), "localhost")
    while not connection.handshake():
        assert select.select([near], [], [], DEADLINE_S)[0]
    server.join()
    with near, accepted[0]:
        yield connection, near, accepted[0]


def received(far: ssl.SSLSocket, size: int) -> bytes:
    parts = []
    while size:
        part = far.recv(min(size, 65536))
        assert part
        parts.append(part)
        size -= len(part)
    return b"".join(parts)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_both_ways(certificates: Certificates, context: TlsContext, version: ssl.TLSVersion) -> None:
    with pair(certificates, context, version) as (connection, near, far):
        assert connection.send(b"question") == 8
        assert received(far, 8) == b"question"
        with pytest.raises(BlockingIOError):
            connection.receive()
        far.sendall(b"answer" * 5000)
        answered = b""
        while len(answered) < 30_000:
            assert select.select([near], [], [], DEADLINE_S)[0]
            with contextlib.suppress(BlockingIOError):
                answered += connection.receive()
        assert answered == b"answer" * 5000
        assert connection.version == version.name.replace("v1_", "v1.")
        assert connection.fingerprint.hex() == certificates.issued("good").fingerprint.replace(":", "").lower()


def test_a_slow_reader_gets_every_byte(certificates: Certificates, context: TlsContext) -> None:
    chosen = random.Random(7)
    media = chosen.randbytes(3_000_000)
    with pair(certificates, context) as (connection, near, far):
        transport = TlsTransport(connection, os.dup(near.fileno()))
        heard: list[bytes] = []
        reader = threading.Thread(target=lambda: heard.append(received(far, len(media))))
        at = full = 0
        while at < len(media):
            end = min(at + chosen.randrange(1, 200_000), len(media))
            middle = chosen.randrange(at, end)
            taken = transport.send(media[at:middle], media[middle:end])
            at += taken
            if taken == 0:
                full += 1
                if not reader.is_alive():
                    reader.start()
                select.select([], [near], [], DEADLINE_S)
        while not connection.flush():
            select.select([], [near], [], DEADLINE_S)
        reader.join(DEADLINE_S)
        assert heard == [media]
        assert full  # the socket was full at least once, and nothing was lost or sent twice
        assert transport.stats()["short_sends"] >= full
        transport.close()


def test_the_end_is_said(certificates: Certificates, context: TlsContext) -> None:
    with pair(certificates, context) as (connection, _, far):
        connection.send(b"last words")
        connection.close_notify()
        assert received(far, 10) == b"last words"
        assert far.recv(10) == b""
        far.unwrap()
        assert connection.receive() == b""


def test_a_peer_that_is_gone(certificates: Certificates, context: TlsContext) -> None:
    with pair(certificates, context) as (connection, _, far):
        far.close()
        with pytest.raises(OSError, match=r"Broken pipe|Connection reset"):
            without_end(connection)


def test_garbage_instead_of_a_record(certificates: Certificates, context: TlsContext) -> None:
    with pair(certificates, context) as (connection, near, far):
        os.write(far.fileno(), b"\x17\x03\x03\x00\x20" + bytes(32))
        assert select.select([near], [], [], DEADLINE_S)[0]
        with pytest.raises(OSError, match="TLS: "):
            everything(connection)


def without_end(connection: TlsConnection) -> None:
    for _ in range(10):
        connection.send(bytes(100_000))


def everything(connection: TlsConnection) -> None:
    for _ in range(3):
        with contextlib.suppress(BlockingIOError):
            connection.receive()


def answered(connection: TlsConnection, far: socket.socket, answer: bytes, step: int) -> None:
    for at in range(0, len(answer), step):
        far.sendall(answer[at : at + step])
        connection.handshake()
    far.shutdown(socket.SHUT_WR)
    connection.handshake()


@pytest.mark.parametrize(
    ("answer", "cause"),
    [
        (b"\x03" + bytes(1536), "plain text"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "plain text"),
        (b"", "closed"),
        (b"\x15\x03\x03\x00\x02\x02\x28", "alert"),
        (b"\x16\x03\x03\x00\x04\x0e\x00\x00\x00", "other"),
    ],
)
def test_answers_that_are_no_handshake(context: TlsContext, answer: bytes, cause: str) -> None:
    for step in (max(len(answer), 1), 1):
        near, far = socket.socketpair()
        near.setblocking(False)
        with near, far:
            connection = TlsConnection(context, near.fileno(), "localhost")
            assert not connection.handshake()
            with pytest.raises(HandshakeFailure) as caught:
                answered(connection, far, answer, step)
            assert caught.value.cause == cause
            assert cause in CAUSES


@pytest.mark.parametrize("name", ["", "a" * 300])
def test_names_that_are_none(context: TlsContext, name: str) -> None:
    with pytest.raises(ValueError, match=r"name|label"):
        TlsConnection(context, 0, name)


class Mallinfo2(ctypes.Structure):
    """glibc's struct mallinfo2; the seventh word is what is in use."""

    _fields_ = tuple((f"word{number}", ctypes.c_size_t) for number in range(10))


def in_use_bytes() -> int:
    """Of the allocator; 0 under one that does not say."""
    ask = ctypes.CDLL(None).mallinfo2
    ask.restype = Mallinfo2
    return int(ask().word7)


def test_nothing_is_left_behind(certificates: Certificates, context: TlsContext) -> None:
    def round() -> None:
        with pair(certificates, context) as (connection, near, _):
            transport = TlsTransport(connection, os.dup(near.fileno()))
            while transport.send(bytes(50_000)):
                pass
            with contextlib.suppress(BlockingIOError):
                connection.receive()  # the ticket, which comes behind the handshake
            assert connection.session() is not None
            transport.close()

    for _ in range(20):
        round()
    gc.collect()
    before, descriptors = in_use_bytes(), len(os.listdir("/proc/self/fd"))
    for _ in range(150):
        round()
    gc.collect()
    assert len(os.listdir("/proc/self/fd")) <= descriptors
    assert in_use_bytes() - before < 1_000_000  # one connection has some 60 kB
