"""RTMP ingest: takes publishers at ``rtmp://host/<app>/<stream>`` (rtmp_publisher.py) and counts them.

Nothing that a publisher sends reaches further than its own connection.  Until a connection publishes it is worth
little: small messages only, a short deadline, and a limit on how many there are.
"""

from __future__ import annotations

import asyncio
import threading

from pushcast.ingest.gate import Gate
from pushcast.ingest.rtmp_publisher import RtmpPublisher
from pushcast.intake import Intake
from pushcast.log import logger
from pushcast.stream import Registry

_log = logger("ingest.rtmp")

SWEEP_S = 1.0

# Connections that do not publish (yet): far more than encoders start within the deadline, few enough to cost nothing.
MAX_STRANGERS = 256
# Handshake and commands.  All connections read into one buffer: what a read brought is used up before the next begins.
READ_BYTES = 16 * 1024


class RtmpIngest:
    """The listening side.  ``port`` 0 binds a free one; ``port`` tells which after ``start``."""

    def __init__(self, registry: Registry, gate: Gate, host: str = "0.0.0.0", port: int = 1935) -> None:
        self.registry = registry
        self.gate = gate
        self.questions: set[asyncio.Task[None]] = set()
        self.host = host
        self.port = port
        self.buffer = memoryview(bytearray(READ_BYTES))
        self.refused_strangers = 0
        self.intake = Intake()
        self._thread = threading.Thread(target=self.intake.run, name="intake", daemon=True)
        self._connections: set[RtmpPublisher] = set()
        self._empty = asyncio.Event()
        self._server: asyncio.Server | None = None
        self._sweeper: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        """Listen.  Raises OSError when the port cannot be bound."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: RtmpPublisher(self), self.host, self.port, backlog=256)
        self.port = self._server.sockets[0].getsockname()[1]
        self._sweeper = loop.call_later(SWEEP_S, self._sweep)
        self._thread.start()

    async def close(self) -> None:
        """Stop listening and end all connections and their streams."""
        if self._server is None:
            return
        self._server.close()
        if self._sweeper is not None:
            self._sweeper.cancel()
        for connection in list(self._connections):
            connection.end("the server stops")
            connection.abort()
        while self._connections:
            self._empty.clear()
            await self._empty.wait()
        if self.questions:
            await asyncio.wait(self.questions)
        await self._server.wait_closed()
        self._server = None
        self.intake.stop()
        await asyncio.to_thread(self._thread.join)

    def enter(self, connection: RtmpPublisher) -> bool:
        """Count a new connection; False when there are too many that do not publish."""
        if sum(not other.publishing for other in self._connections) >= MAX_STRANGERS:
            self.refused_strangers += 1
            return False
        self._connections.add(connection)
        return True

    def leave(self, connection: RtmpPublisher) -> None:
        self._connections.discard(connection)
        if not self._connections:
            self._empty.set()

    def _sweep(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        for connection in list(self._connections):
            connection.check_deadlines(now)
        if self.refused_strangers:
            _log.warning(
                "%d connections refused: expected at most %d that do not publish", self.refused_strangers, MAX_STRANGERS
            )
            self.refused_strangers = 0
        self._sweeper = loop.call_later(SWEEP_S, self._sweep)
