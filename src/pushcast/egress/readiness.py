"""Which sockets have something to read: all those of one event loop behind one descriptor of it.

A push keeps its socket for hours and hears a few bytes a second.  A reader of the loop's own costs some 600 bytes for
each socket; an entry here costs some 50, and all share one buffer.  It also bounds what one turn of the loop does: when
hundreds of peers answer at once, each turn hears PEERS_A_TURN of them, and what else the loop has to do comes in
between.
"""

from __future__ import annotations

import asyncio
import os
import select
from typing import Protocol

READ_BYTES = 16 * 1024
# Reading and answering takes some 100 us in a handshake: a crowd makes a turn less than 1 ms longer.
PEERS_A_TURN = 8


class Reader(Protocol):
    def on_readable(self) -> None:
        """There is something to read, the end, or an error.  Called again until it is read or the reader removed."""


class Readiness:
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._epoll = select.epoll()
        self._readers: dict[int, Reader] = {}
        self._buffer = memoryview(bytearray(READ_BYTES))
        loop.add_reader(self._epoll.fileno(), self._on_ready)

    def add(self, fd: int, reader: Reader) -> None:
        """Watch a socket that is not watched; remove it before it is closed."""
        self._epoll.register(fd, select.EPOLLIN)
        self._readers[fd] = reader

    def remove(self, fd: int) -> None:
        """Watch it no more; a second call does nothing."""
        if self._readers.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def read(self, fd: int) -> memoryview:
        """Up to READ_BYTES of what has come, empty at the end; good until the next read of anybody.

        Raises OSError, BlockingIOError when nothing has come.
        """
        return self._buffer[: os.readv(fd, [self._buffer])]

    async def receive(self, fd: int) -> memoryview:
        """The same from a socket that is not watched, but waits until something has come."""
        while True:
            try:
                return self.read(fd)
            except BlockingIOError:
                await self.readable(fd)

    async def readable(self, fd: int) -> None:
        """Wait until a socket that is not watched has something to read."""
        waiter = _Waiter(self.loop.create_future())
        self.add(fd, waiter)
        try:
            await waiter.ready
        finally:
            self.remove(fd)

    def _on_ready(self) -> None:
        for fd, _ in self._epoll.poll(0, PEERS_A_TURN):
            reader = self._readers.get(fd)
            if reader is not None:  # an earlier one of this turn may have removed it
                reader.on_readable()


class _Waiter:
    __slots__ = ("ready",)

    def __init__(self, ready: asyncio.Future[None]) -> None:
        self.ready = ready

    def on_readable(self) -> None:
        if not self.ready.done():
            self.ready.set_result(None)


_of_loop: Readiness | None = None


def readiness() -> Readiness:
    """The one of the running event loop."""
    global _of_loop
    loop = asyncio.get_running_loop()
    if _of_loop is None or _of_loop.loop is not loop:
        _of_loop = Readiness(loop)
    return _of_loop
