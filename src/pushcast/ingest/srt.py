"""SRT ingest: callers publish at one port, each with the stream that it feeds in its stream id.

Who may is decided in the handshake, on libsrt's thread (srtlistener): a caller whose stream id cannot be read, who may
not publish (gate.py) or whose stream is live is refused with the code that tells it so.  Only the webhook is asked
behind it: what comes meanwhile waits in libsrt's buffer.  libsrt has no part in it before the first caller
(first_caller.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from functools import partial
from urllib.parse import quote, urlencode

from pushcast.admission import Asked, Ground, PublishRefused
from pushcast.errors import EngineError, NotFound, SrtError
from pushcast.ingest.first_caller import FirstCaller
from pushcast.ingest.gate import Gate, Permit
from pushcast.ingest.publication import is_stream_name, vhost_named
from pushcast.ingest.reception import Reception
from pushcast.ingest.stream_id import BAD_REQUEST, BadStreamId, parse_stream_id
from pushcast.ingest.webhook import Opening
from pushcast.log import Prefixed, endpoint, logger, printable
from pushcast.srtlistener import SrtIntake, SrtListener, SrtPublisher, SrtRefusal
from pushcast.stream import Registry

_log = logger("ingest.srt")

SILENT_S = 30.0  # libsrt itself ends a connection whose peer has gone
LOOK_S = 0.5
LISTEN_AGAIN_S = 1.0
MAX_PUBLISHERS = 1000
NOT_FOUND, CONFLICT, OVERLOAD = 1404, 1409, 1402
CODES = {Ground.UNAUTHORIZED: 1401, Ground.FORBIDDEN: 1403, Ground.CONFLICT: CONFLICT, Ground.OVERLOAD: OVERLOAD}
# For 50 Mbit/s at four seconds of latency; memory is taken as packets come.
RECEIVE_PACKETS = 25_600


class SrtIngest:
    """The listening side.  ``port`` 0 binds a free one; ``port`` tells which after ``start``."""

    def __init__(
        self,
        registry: Registry,
        gate: Gate,
        host: str = "0.0.0.0",
        port: int = 9999,
        latency_ms: int = 120,
        passphrase: str = "",
    ) -> None:
        self.registry = registry
        self.gate = gate
        self.host = host
        self.port = port
        self._latency_ms = latency_ms
        self._passphrase = passphrase
        self._publishers: set[_Publisher] = set()
        self._questions: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._first_caller: FirstCaller | None = None
        self._intake: SrtIntake | None = None
        self._listener: SrtListener | None = None
        self._thread: threading.Thread | None = None
        self._look: asyncio.TimerHandle | None = None

    async def start(self) -> None:
        """Listen.  :raises OSError: the port cannot be bound."""
        self._loop = asyncio.get_running_loop()
        found = await self._loop.getaddrinfo(self.host, self.port, type=socket.SOCK_DGRAM)
        family, _, _, _, address = found[0]
        self._first_caller = FirstCaller(family, address, self._listen)
        self.port = self._first_caller.port

    def _listen(self, udp: socket.socket) -> None:
        """Somebody calls: have libsrt listen."""
        assert self._loop is not None
        options = (("rcvlatency", self._latency_ms), ("fc", RECEIVE_PACKETS), ("rcvbuf", RECEIVE_PACKETS * 1456))
        try:
            listener = SrtListener(options, self._decide, self._accepted)
            listener.bind_to(udp.fileno())
            listener.listen()
        except SrtError as error:
            _log.error("callers cannot be answered now: %s", error)
            self._look = self._loop.call_later(LISTEN_AGAIN_S, self._listen, udp)
            return
        udp.close()
        self._listener = listener
        self._intake = SrtIntake()
        self._intake.listen(listener)
        self._thread = threading.Thread(target=self._intake.run, name="srt-intake", daemon=True)
        self._thread.start()
        self._look = self._loop.call_later(LOOK_S, self._look_after)

    async def close(self) -> None:
        """Stop listening and end all publishers and their streams."""
        if self._first_caller is not None:
            self._first_caller.close()
        if self._look is not None:
            self._look.cancel()
        if self._intake is None or self._listener is None:
            return
        for publisher in list(self._publishers):
            publisher.end("the server stops")
        for question in self._questions:
            question.cancel()
        if self._questions:
            await asyncio.wait(self._questions)
        self._intake.stop()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join)
        await asyncio.to_thread(self._listener.close)
        for publisher in list(self._publishers):
            await publisher.closed()

    @property
    def intake(self) -> SrtIntake:
        assert self._intake is not None
        return self._intake

    def leave(self, publisher: _Publisher) -> None:
        self._publishers.discard(publisher)

    def _decide(self, stream_id: str, address: tuple[str, int]) -> str:
        """On libsrt's thread."""
        try:
            asked = self._asked(stream_id, address)
            self.gate.check(asked)
            if not self.gate.has_webhook(asked):
                self.gate.check_name(asked.name)
        except BadStreamId as error:
            raise SrtRefusal(error.code, str(error)) from None
        except NotFound as error:
            raise SrtRefusal(NOT_FOUND, str(error)) from None
        except PublishRefused as error:
            raise SrtRefusal(CODES[error.ground], "" if error.told else str(error)) from None
        if len(self._publishers) + len(self._questions) >= MAX_PUBLISHERS:
            raise SrtRefusal(OVERLOAD, f"there are {MAX_PUBLISHERS} publishers, and more are not taken")
        return self.gate.passphrase(asked) or self._passphrase

    def _asked(self, stream_id: str, address: tuple[str, int]) -> Asked:
        found = parse_stream_id(stream_id)
        if not is_stream_name(found.name):
            raise BadStreamId("expected a stream name of printable characters", BAD_REQUEST)
        vhost = found.vhost or vhost_named(self.registry, found.host)
        return Asked(vhost, found.app, found.name, address[0], found.parameters)

    def _accepted(self, srt: SrtPublisher) -> None:
        """On the intake's thread."""
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is there to react
            self._loop.call_soon_threadsafe(self._begin, srt)

    def _begin(self, srt: SrtPublisher) -> None:
        log = Prefixed(_log, f"publisher {endpoint(*srt.address)}")
        try:
            asked = self._asked(srt.stream_id, srt.address)
        except BadStreamId as error:
            self._refuse(srt, log, error)
            return
        if self.gate.has_webhook(asked):
            question = asyncio.get_running_loop().create_task(self._ask(srt, asked, log))
            self._questions.add(question)
            question.add_done_callback(self._questions.discard)
        else:
            self._publish(srt, self.gate.permit(asked), log)

    async def _ask(self, srt: SrtPublisher, asked: Asked, log: Prefixed) -> None:
        opening = Opening("SRT", _url(self.port, asked), *srt.address)
        try:
            permit = await self.gate.ask(asked, opening)
        except PublishRefused as error:
            self._refuse(srt, log, error)
        except asyncio.CancelledError:
            asyncio.get_running_loop().run_in_executor(None, srt.close)
            raise
        else:
            self._publish(srt, permit, log)

    def _publish(self, srt: SrtPublisher, permit: Permit, log: Prefixed) -> None:
        try:
            self.gate.take(permit, f"publisher {endpoint(*srt.address)}")
            publisher = _Publisher(self, srt, permit, log)
        except EngineError as error:  # it was taken between the handshake and now, or the webhook named another one
            self.gate.leave(permit)
            self._refuse(srt, log, error)
            return
        self._publishers.add(publisher)
        publisher.start()

    def _refuse(self, srt: SrtPublisher, log: Prefixed, error: Exception) -> None:
        log.info("refused: %s", printable(str(error)))
        asyncio.get_running_loop().run_in_executor(None, srt.close)

    def _look_after(self) -> None:
        assert self._loop is not None
        self._look = self._loop.call_later(LOOK_S, self._look_after)
        for publisher in list(self._publishers):
            publisher.check_deadlines()


class _Publisher:
    """One caller.  :raises Conflict: its stream's name is taken."""

    def __init__(self, ingest: SrtIngest, srt: SrtPublisher, permit: Permit, log: Prefixed) -> None:
        self.srt = srt
        self.name = name = permit.name
        self._permit = permit
        self._ingest = ingest
        self._log = log
        url = f"srt://{endpoint(*srt.address)}/{'/'.join(name)}"
        close = partial(self.end, "closed from outside")
        self._reception = Reception(
            ingest.registry,
            name,
            "Srt",
            url,
            log,
            self.end,
            close,
            figures=srt.statistics,
            limits=permit.limits,
            replace=self.end,
        )
        self._closing: asyncio.Future[None] | None = None

    def start(self) -> None:
        self._log.info("publishes %s", printable("/".join(self.name)))
        self.srt.start(self._reception.tap, self._reception.on_end)
        try:
            self._ingest.intake.add(self.srt)
        except SrtError:
            self.end("the sender left")

    def end(self, reason: str) -> None:
        """The one place where a publisher ends: one line, its stream goes, its socket is closed beside the loop."""
        if self._closing is not None:
            return
        self._log.info("ended: %s", printable(reason))
        self._ingest.intake.remove(self.srt)
        self._reception.finish()
        self._ingest.gate.leave(self._permit)
        self._closing = asyncio.get_running_loop().run_in_executor(None, self.srt.close)
        self._closing.add_done_callback(lambda _: self._ingest.leave(self))

    async def closed(self) -> None:
        if self._closing is not None:
            await self._closing

    def check_deadlines(self) -> None:
        if self._closing is None:
            reason = self._reception.reason_to_stop(SILENT_S)
            if reason:
                self.end(reason)


def _url(port: int, asked: Asked) -> str:
    """The form that OvenMediaEngine's webhook has, whatever the form of the stream id: what it says stands in it."""
    query = f"?{urlencode(asked.parameters)}" if asked.parameters else ""
    return f"srt://{endpoint(asked.vhost, port)}/{quote(asked.app)}/{quote(asked.stream)}{query}"
