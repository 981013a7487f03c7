"""The server's end of an RTMP connection, played with our own server role, as a script says."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from typing import Any

from pushcast.chunk import ChunkReader
from pushcast.egress.rtmp import RtmpProtocol, RtmpTarget
from pushcast.rtmp.events import Accept, Connect, Event, Publish, Start
from pushcast.rtmp.messages import Command
from pushcast.rtmp.server import ServerConnection

SECRET = "sEcr3t-key"

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def served(
    script: Script, tls: ssl.SSLContext | None = None, options: Mapping[str, Any] | None = None, scheme: str = ""
) -> AsyncIterator[RtmpTarget]:
    """A server on loopback that does as the script says, and the target that leads there, over rtmps with ``tls``."""
    failures: list[BaseException] = []

    async def run(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await script(reader, writer)
        except (ConnectionError, asyncio.CancelledError):
            pass
        except BaseException as error:
            failures.append(error)
        finally:
            writer.close()

    server = await asyncio.start_server(run, "127.0.0.1", 0, ssl=tls)
    scheme = scheme or ("rtmps" if tls is not None else "rtmp")
    host = "localhost" if scheme == "rtmps" else "127.0.0.1"
    url = f"{scheme}://{host}:{server.sockets[0].getsockname()[1]}/app?a={SECRET}"
    try:
        yield RtmpProtocol().parse(url, SECRET, options or {})
    finally:
        server.close()
    assert not failures


class Served:
    """The server's end of one connection, played with our own server role."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connection = ServerConnection(ChunkReader())
        self.reader = reader
        self.writer = writer

    async def event(self, kind: type[Event]) -> Event:
        while True:
            while (event := self.connection.next_event()) is not None:
                if isinstance(event, kind):
                    return event
            self.writer.write(self.connection.data_to_send())
            data = await self.reader.read(65536)
            if not data:
                raise ConnectionResetError
            self.connection.receive_data(data)

    async def until_publish(self) -> Publish:
        await self.event(Connect)
        return await self._until_publish()

    async def let_in(self) -> None:
        """Behind a Connect that was looked at."""
        assert (await self._until_publish()).key == SECRET
        self.writer.write(self.connection.send(Start()))

    def refuse_with(self, code: str, more: dict[str, Any]) -> bytes:
        """An _error to connect whose object has an ``ex``."""
        info = {"level": "error", "code": code, "description": "", "ex": more}
        return self.connection._write(Command("_error", 1, None, (info,)))

    async def _until_publish(self) -> Publish:
        self.writer.write(self.connection.send(Accept()))
        event = await self.event(Publish)
        assert isinstance(event, Publish)
        return event

    async def until_live(self) -> None:
        assert await self.until_publish() == Publish(SECRET, 1)
        self.writer.write(self.connection.send(Start()))
