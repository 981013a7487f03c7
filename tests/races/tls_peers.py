"""The far ends of TLS connections, in processes of their own, and the near ends after their handshake."""

from __future__ import annotations

import re
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from certificates import Certificate

from pushcast.tls import TlsConnection
from pushcast.tlscontext import TlsContext
from pushcast.tlstransport import TlsTransport

DEADLINE_S = 30.0
# What openssl prints in the middle of media.
_REMARKS = re.compile(rb"SSL_do_handshake -> 1\n|Read BLOCK\n")
SERVER = Path(__file__).with_name("tls_server.py")


@contextmanager
def tls_server(shown: Certificate) -> Iterator[int]:
    """The port of tls_server.py."""
    command = [sys.executable, str(SERVER), str(shown.cert), str(shown.key)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline())


class KeyChanger:
    """OpenSSL's own server, which takes one connection and asks for new keys when told; what it prints, media among
    it, stands in a file."""

    def __init__(self, shown: Certificate, folder: Path) -> None:
        self._printed, self._messages = folder / "printed", folder / "messages"
        command = ["openssl", "s_server", "-4", "-accept", "127.0.0.1:0", "-naccept", "1", "-tls1_3"]
        command += ["-cert", str(shown.cert), "-key", str(shown.key), "-msg", "-msgfile", str(self._messages)]
        with self._printed.open("wb") as printed:
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=printed, stderr=printed)
        self.port = int(self._wait_for(rb"ACCEPT [0-9.]+:(\d+)")[1])

    def __enter__(self) -> KeyChanger:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def ask(self) -> None:
        """For new keys, ours too (RFC 8446 4.6.3)."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"K\n")
        self._process.stdin.flush()

    @property
    def answers(self) -> int:
        """New keys of ours that came."""
        return len(re.findall(rb"<<<[^\n]*KeyUpdate", self._messages.read_bytes()))

    def has(self, media: bytes) -> bool:
        return media in _REMARKS.sub(b"", self._printed.read_bytes())

    def _wait_for(self, words: bytes) -> re.Match[bytes]:
        end = time.monotonic() + DEADLINE_S
        while (found := re.search(words, self._printed.read_bytes())) is None:
            assert time.monotonic() < end, self._printed.read_bytes()
            time.sleep(0.01)
        return found


def tls_connect(port: int, context: TlsContext) -> tuple[TlsTransport, TlsConnection]:
    """A transport to a server there, and what reads beside it."""
    near = socket.create_connection(("127.0.0.1", port), DEADLINE_S)
    near.setblocking(False)
    connection = TlsConnection(context, near.fileno(), "localhost")
    while not connection.handshake():
        assert select.select([near], [], [], DEADLINE_S)[0], "no answer in the TLS handshake"
    return TlsTransport(connection, near.detach()), connection
