"""The plain RTMP handshake of both roles (RTMP 1.0, 5.2): version, time and 1528 random bytes, and an echo of the peer.

The digest handshake of old Flash players is not in the specification and needed by nobody who publishes: a peer that
offers it (a version where we have zeros) is answered plainly and goes on plainly.  The echo is not compared: several
servers send a wrong one.
"""

from __future__ import annotations

import os

from pushcast.errors import RemoteProtocolError

VERSION = 3
BLOCK_BYTES = 1536  # C1, S1, C2 and S2
_RANDOM_BYTES = BLOCK_BYTES - 8
_TLS_HANDSHAKE = 22  # first byte of a TLS record


class Handshake:
    """What both roles share: collect version and block, answer them, wait for the echo."""

    peer = ""

    def __init__(self, now_ms: int) -> None:
        self._now = (now_ms & 0xFFFFFFFF).to_bytes(4)
        self._received = bytearray()
        self._answered = False
        self.done = False

    def hello(self) -> bytes:
        """Version and block: C0+C1 or S0+S1."""
        return bytes((VERSION,)) + self._now + bytes(4) + os.urandom(_RANDOM_BYTES)

    def receive(self, data: bytes) -> tuple[bytes, bytes]:
        """(bytes to send, bytes that follow the handshake).  Raises RemoteProtocolError for another version."""
        self._received += data
        if self._received and self._received[0] != VERSION and not self._answered:
            got = self._received[0]
            hint = " (the first byte of TLS)" if got == _TLS_HANDSHAKE else ""
            raise RemoteProtocolError(
                f"RTMP handshake: expected version {VERSION} from the {self.peer}, got {got}{hint}"
            )
        answer = b""
        if not self._answered and len(self._received) > BLOCK_BYTES:
            answer = self._answer(bytes(self._received[1 : 1 + BLOCK_BYTES]))
            self._answered = True
        if len(self._received) <= 2 * BLOCK_BYTES:
            return answer, b""
        rest = bytes(self._received[1 + 2 * BLOCK_BYTES :])
        self._received.clear()
        self.done = True
        return answer, rest

    def _answer(self, block: bytes) -> bytes:
        raise NotImplementedError

    def _echo(self, block: bytes) -> bytes:
        return block[:4] + self._now + block[8:]


class ClientHandshake(Handshake):
    """Sends hello() first, then C2 when S1 is there; S2 ends it."""

    peer = "server"

    def _answer(self, block: bytes) -> bytes:
        return self._echo(block)


class ServerHandshake(Handshake):
    """Waits for C0+C1, answers S0+S1+S2; C2 ends it."""

    peer = "client"

    def _answer(self, block: bytes) -> bytes:
        return self.hello() + self._echo(block)
