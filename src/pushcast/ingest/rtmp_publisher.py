"""One RTMP publisher, from its TCP connection to its end.

The handshake and the commands are read through the event loop's transport.  What it asks for passes the gate, whose
webhook it may have to wait for.  Once its stream is there the intake's thread reads in its place (intake.pyx): the
chunk reader hands audio and video to the FlvInput in C, and the event loop hears of what is neither.

The first fault ends the connection with one line in the log.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Protocol, TypeVar, cast
from urllib.parse import parse_qsl, urlsplit

from pushcast.admission import NO_LIMITS, Asked, Ground, PublishRefused, Watch
from pushcast.chunk import ChunkReader
from pushcast.errors import Conflict, EngineError, NotFound
from pushcast.flvinput import FlvInput
from pushcast.ingest.gate import Gate, Permit
from pushcast.ingest.publication import MAX_NAME_CHARS, Publication, is_stream_name, vhost_named
from pushcast.ingest.webhook import Opening
from pushcast.intake import Intake
from pushcast.log import Prefixed, endpoint, logger, printable
from pushcast.mediasocket import MediaSocket
from pushcast.message import Message
from pushcast.rtmp.events import Accept, Connect, Data, Event, Media, Metadata, Publish, Refuse, Start, Unpublish
from pushcast.rtmp.server import ServerConnection
from pushcast.stream import Registry

_log = logger("ingest.rtmp")

PUBLISH_DEADLINE_S = 10.0  # from the TCP connection to publish
TRACKS_DEADLINE_S = 30.0  # from publish to tracks that can be decoded
IDLE_DEADLINE_S = 30.0  # without a byte
FAREWELL_DEADLINE_S = 5.0  # for a peer that was told goodbye to read it

# Memory of one of them: commands and metadata fit in easily; all strangers together stay below 64 MiB.
STRANGER_BYTES = 256 * 1024
# A publisher: the longest message there is, and as much again for what interleaves with it.
MESSAGE_BYTES = 0xFFFFFF
PARTIAL_BYTES = 32 * 1024 * 1024
# Answers that the peer has not read yet.
MAX_UNREAD_BYTES = 64 * 1024


Told = TypeVar("Told")


class Ingest(Protocol):
    """Who listens: what its connections share."""

    registry: Registry
    gate: Gate
    buffer: memoryview
    intake: Intake
    questions: set[asyncio.Task[None]]

    def enter(self, connection: RtmpPublisher) -> bool: ...

    def leave(self, connection: RtmpPublisher) -> None: ...


class RtmpPublisher(asyncio.BufferedProtocol):
    """One TCP connection."""

    def __init__(self, ingest: Ingest) -> None:
        loop = asyncio.get_running_loop()
        self._ingest = ingest
        self._registry = ingest.registry
        self._gate = ingest.gate
        self._loop = loop
        self._reader = ChunkReader(STRANGER_BYTES, STRANGER_BYTES)
        self._connection = ServerConnection(self._reader, int(time.monotonic() * 1000))
        self._transport: asyncio.Transport | None = None
        self._log = Prefixed(_log, "publisher")
        self._place = ("", "")  # vhost and app
        self._tc_url = ""
        self._parameters: dict[str, str] = {}  # of the app, and of the URL
        self._address = ("", 0)
        self._host = ""
        self._question: asyncio.Task[None] | None = None
        self._permit: Permit | None = None
        self._watch = Watch(NO_LIMITS, 0.0)
        self._publication: Publication[FlvInput] | None = None
        self._heard_at = self._waiting_since = loop.time()
        self._heard_bytes = 0  # by then; there are too many reads to look at the clock for each
        self._socket: MediaSocket | None = None
        self._ended_at = 0.0
        self._entered = False
        self._stopped = False

    @property
    def publishing(self) -> bool:
        return self._publication is not None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's does not inherit from it
        peer = transport.get_extra_info("peername")
        self._address = (str(peer[0]), int(peer[1])) if peer else ("", 0)
        self._host = endpoint(*self._address) if peer else "unknown"
        self._log = Prefixed(_log, f"publisher {self._host}")
        self._entered = self._ingest.enter(self)
        if not self._entered:
            self.abort()

    def get_buffer(self, sizehint: int) -> memoryview:
        return self._ingest.buffer

    def buffer_updated(self, nbytes: int) -> None:
        if self._ended_at:
            return
        with self._bounded():
            self._connection.receive_data(self._ingest.buffer[:nbytes])
            self._react()

    @contextmanager
    def _bounded(self) -> Iterator[None]:
        """Bytes from outside must never cost more than their own connection, not even through a bug of ours."""
        try:
            yield
        except EngineError as error:
            self.end(str(error))
        except Exception as error:
            self._log.exception("internal error")
            self.end(f"internal error: {type(error).__name__}")

    def _read_in_c(self) -> None:
        """From here on the intake reads the socket, under a number of its own."""
        assert self._transport is not None
        self._transport.pause_reading()
        fd = os.dup(self._transport.get_extra_info("socket").fileno())
        self._socket = MediaSocket(fd, self._reader, self._later(self._on_messages), self._later(self._on_end))
        self._ingest.intake.add(self._socket)

    def _stop_reading(self) -> None:
        self._reader.media = None
        socket, self._socket = self._socket, None
        if socket is not None:
            self._ingest.intake.remove(socket)
            socket.close()

    def _later(self, react: Callable[[Told], None]) -> Callable[[Told], None]:
        """What the intake's thread tells is reacted to on the event loop."""
        loop = self._loop

        def tell(told: Told) -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody is there to react
                loop.call_soon_threadsafe(react, told)

        return tell

    def _on_messages(self, messages: list[Message]) -> None:
        if self._ended_at:
            return
        with self._bounded():
            self._connection.take_messages(messages)
            self._react()

    def _on_end(self, error: Exception | None) -> None:
        if error is None or isinstance(error, OSError):
            self._end_lost(error)
            self.abort()
            return
        with self._bounded():
            raise error

    def connection_lost(self, exc: Exception | None) -> None:
        self._end_lost(exc)
        if self._entered:
            self._ingest.leave(self)

    def _end_lost(self, error: Exception | None) -> None:
        # A publisher that said goodbye may close on our unread answers, which the kernel turns into a reset.
        broken = error is not None and not self._stopped
        self.end(f"the connection broke: {error}" if broken else "the publisher left")

    def end(self, reason: str) -> None:
        """The one place where a connection ends: one line (none without a reason), its stream goes, what was written is
        still sent.
        """
        if self._ended_at:
            return
        self._ended_at = self._loop.time()
        self._stop_reading()
        if self._question is not None:
            self._question.cancel()
        if self._entered and reason:
            self._log.info("ended: %s", printable(reason))
        self._unpublish()
        if self._transport is not None:
            self._transport.close()

    def _close(self) -> None:
        self.end("closed from outside")

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def check_deadlines(self, now: float) -> None:
        if self._reader.bytes_received != self._heard_bytes:
            self._heard_at, self._heard_bytes = now, self._reader.bytes_received
        if self._ended_at:
            if now - self._ended_at > FAREWELL_DEADLINE_S:
                self.abort()
        elif now - self._heard_at > IDLE_DEADLINE_S:
            self.end(f"expected bytes within {IDLE_DEADLINE_S:g} s, got none")
        elif self._question is not None:
            pass  # the webhook has a deadline of its own
        elif self._publication is None:
            if now - self._waiting_since > PUBLISH_DEADLINE_S:
                self.end(f"expected publish within {PUBLISH_DEADLINE_S:g} s, got none")
        elif self._publication.stream is None and now - self._waiting_since > TRACKS_DEADLINE_S:
            self.end(f"expected a track that can be decoded within {TRACKS_DEADLINE_S:g} s, got none")
        elif reason := self._watch.reason_to_stop(now, self._reader.bytes_received):
            self.end(reason)
        else:
            self._publication.tell_late_tracks()

    def _react(self) -> None:
        while not self._ended_at and self._question is None and (event := self._connection.next_event()) is not None:
            self._on_event(event)
        if self._ended_at:
            return
        self._write(self._connection.data_to_send())
        announced = self._publication is not None and self._publication.announce_when_ready()
        if announced and self._socket is None:
            self._read_in_c()
        if self._socket is not None:
            # Until a stream is announced each read may bring what it waited for.
            self._socket.attend_at = self._connection.acknowledge_at if announced else 0

    def _write(self, data: bytes) -> None:
        if self._transport is None or not data:
            return
        self._transport.write(data)
        if self._transport.get_write_buffer_size() > MAX_UNREAD_BYTES:
            self.abort()
            self.end(f"expected the peer to read its answers, got {MAX_UNREAD_BYTES} bytes unread")

    def _on_event(self, event: Event) -> None:
        match event:
            case Connect(app, tc_url):
                self._place = vhost_named(self._registry, _host_of(tc_url)), _app(app)
                self._tc_url = tc_url if "?" in tc_url else tc_url + "".join(app.partition("?")[1:])
                self._parameters = {**_parameters(tc_url), **_parameters(app)}
                self._write(self._connection.send(Accept()))
            case Publish(key):
                self._on_publish(key)
            case Metadata(values) if self._publication is not None:
                self._publication.input.metadata(dict(values))
            case Data(timestamp_ms, body) if self._publication is not None:
                self._publication.input.data(timestamp_ms, body)
            case Media(message) if self._publication is not None:
                self._publication.input.receive(message)
            case Unpublish():
                self._unpublish()
                self._stopped = True
                self._waiting_since = self._loop.time()
            case _:
                pass

    def _on_publish(self, key: str) -> None:
        name = key.partition("?")[0].strip("/")
        if not is_stream_name(name):
            self._refuse("NetStream.Publish.BadName", f"expected a stream name of 1 to {MAX_NAME_CHARS} characters")
            return
        parameters = {**self._parameters, **_parameters(key)}
        asked = Asked(*self._place, name, self._address[0], parameters)
        try:
            self._gate.check(asked)
        except (NotFound, PublishRefused) as error:
            self._refuse_for(error)
            return
        if self._gate.has_webhook(asked):
            self._ask(asked, Opening("RTMP", _joined(self._tc_url, key), *self._address))
        else:
            self._begin(self._gate.permit(asked))

    def _ask(self, asked: Asked, opening: Opening) -> None:
        """Nothing is read until there is an answer, which has a deadline of its own."""
        if self._transport is not None:
            self._transport.pause_reading()
        self._question = question = self._loop.create_task(self._answered(asked, opening))
        self._ingest.questions.add(question)
        question.add_done_callback(self._ingest.questions.discard)

    async def _answered(self, asked: Asked, opening: Opening) -> None:
        with self._bounded():
            try:
                permit = await self._gate.ask(asked, opening)
            except PublishRefused as error:
                self._question = None
                self._refuse_for(error)
                return
            self._question = None
            if self._ended_at:
                self._gate.leave(permit)
                return
            self._begin(permit)
            if self._transport is not None and not self._ended_at:
                self._transport.resume_reading()
            self._react()

    def _begin(self, permit: Permit) -> None:
        url = f"rtmp://{self._host}/{'/'.join(permit.name[1:])}"
        try:
            self._gate.take(permit, f"publisher {self._host}")
            self._publication = Publication(
                self._registry, permit.name, "Rtmp", url, FlvInput, self._close, None, permit.limits, self.end
            )
        except (NotFound, Conflict, PublishRefused) as error:
            self._gate.leave(permit)
            self._refuse_for(error)
            return
        self._permit = permit
        self._stopped = False
        self._waiting_since = self._loop.time()
        self._watch = Watch(permit.limits, self._waiting_since, self._reader.bytes_received)
        self._reader.max_message_bytes = MESSAGE_BYTES
        self._reader.max_partial_bytes = PARTIAL_BYTES
        self._reader.media = self._publication.input
        self._log.info("publishes %s", printable("/".join(permit.name)))
        self._write(self._connection.send(Start()))

    def _refuse_for(self, error: EngineError) -> None:
        taken = isinstance(error, Conflict) or (isinstance(error, PublishRefused) and error.ground is Ground.CONFLICT)
        code = "NetStream.Publish.BadName" if taken else "NetStream.Publish.Denied"
        self._refuse(code, str(error), told=isinstance(error, PublishRefused) and error.told)

    def _refuse(self, code: str, reason: str, told: bool = False) -> None:
        self._write(self._connection.send(Refuse(code, reason)))
        self.end("" if told else f"refused: {reason}")

    def _unpublish(self) -> None:
        self._reader.media = None
        publication, self._publication = self._publication, None
        if publication is not None:
            publication.end()
        permit, self._permit = self._permit, None
        if permit is not None:
            self._gate.leave(permit)


def _host_of(tc_url: str) -> str:
    try:
        return urlsplit(tc_url).hostname or ""
    except ValueError:
        return ""


def _app(app: str) -> str:
    """The application's name: without query, and without the default instance that some encoders append."""
    return app.partition("?")[0].strip("/").removesuffix("/_definst_")


def _parameters(url: str) -> dict[str, str]:
    """Those behind the question mark of a URL, an app or a stream key."""
    return dict(parse_qsl(url.partition("?")[2], keep_blank_values=True))


def _joined(tc_url: str, key: str) -> str:
    """The URL of a stream; parameters that stand behind the app go behind it."""
    (url, _, ahead), (name, _, behind) = tc_url.partition("?"), key.partition("?")
    query = "&".join(each for each in (ahead, behind) if each)
    return f"{url.rstrip('/')}/{name.strip('/')}{'?' if query else ''}{query}"
