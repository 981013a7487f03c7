"""A port for SRT callers that costs nothing until the first of them calls.

A port at which libsrt listens has a thread that wakes a hundred times a second whether or not anybody is there, and so
does a wait in its epoll: on two small cores that was 12 ms of CPU a second, more than a stream with a push takes.  So
the port is a plain UDP socket of the event loop at first, and what comes is looked at without being taken: anything but
an SRT handshake is thrown away.  With the first handshake in its queue the socket is libsrt's, for good.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import Any

# draft-sharabayko-srt, 3.2.1: a control packet of type 0, 16 bytes of header and 48 of handshake at the least.
HANDSHAKE_BYTES = 64
CONTROL_HANDSHAKE = 0x80000000
LOOKS_AT_ONCE = 64  # then others of the event loop have their turn


class FirstCaller:
    """Binds an address, and gives the socket away with the first handshake.  :raises OSError: it cannot be bound.

    ``called(udp)``: the socket is the callee's now; once at the most.
    """

    def __init__(self, family: int, address: Any, called: Callable[[socket.socket], None]) -> None:
        self._called = called
        self._loop = asyncio.get_running_loop()
        self._udp = socket.socket(family, socket.SOCK_DGRAM)
        try:
            self._udp.setblocking(False)
            if family == socket.AF_INET6:
                self._udp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            self._udp.bind(address)
        except OSError:
            self._udp.close()
            raise
        self.port: int = self._udp.getsockname()[1]
        self._waiting = True
        self._loop.add_reader(self._udp, self._look)

    def close(self) -> None:
        """Wait no more; a socket that was given away is not touched."""
        if self._waiting:
            self._leave()
            self._udp.close()

    def _leave(self) -> None:
        self._waiting = False
        self._loop.remove_reader(self._udp)

    def _look(self) -> None:
        for _ in range(LOOKS_AT_ONCE):
            try:
                seen = self._udp.recv(HANDSHAKE_BYTES, socket.MSG_PEEK)
                if is_handshake(seen):
                    self._leave()
                    self._called(self._udp)
                    return
                self._udp.recv(1)
            except BlockingIOError:
                return
            except OSError:  # an earlier answer to somebody who is gone, said here; nothing was taken
                continue


def is_handshake(datagram: bytes) -> bool:
    """Whether these first HANDSHAKE_BYTES of a datagram are an SRT handshake's."""
    return len(datagram) == HANDSHAKE_BYTES and struct.unpack_from(">I", datagram)[0] == CONTROL_HANDSHAKE
