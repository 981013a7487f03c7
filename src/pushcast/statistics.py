"""Statistics: what came in and went out, of the server, each virtual host, each application and each live stream.

Bytes in are bytes of frames that sources took: media without the container it came in, and once, whatever is made of
them.  Bytes out are all that the
sockets of pushes took.  A stream counts from its beginning; what it and its pushes brought stays in its application,
its virtual host and the server when they end, because the registry and the scheduler tell when they do.  A connection
is a push that is ``pushing``, in whatever protocol.

Rates are bits per second.  They are measured once a second from the totals: the latest, the highest so far, and an
average in which a second counts for less the longer it is ago (AVERAGE_S).

A sample reads one counter of every live stream, and one of what its pushes send: the sender threads sum that up, for
all pushes of a stream in one tally (counters.pyx).  It gives the event loop its turn after each SLICE_S, however many
there are.  Only live streams and running pushes have entries, and what the configuration names: names that publishers
make up leave nothing behind.

Everything runs on the event loop.  Nothing here outlives the process.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass

from pushcast.counters import Tally
from pushcast.push import Push
from pushcast.push_state import PushState
from pushcast.scheduler import Scheduler
from pushcast.stream import Name, Registry, Stream

SAMPLE_S = 1.0
AVERAGE_S = 10.0
# What it may add to one turn of the event loop; a turn full of connects has 1.5 ms (scheduler.py).
SLICE_S = 0.001


@dataclass(frozen=True, slots=True)
class Flow:
    """One direction.  ``last_time`` is when the sample was taken that saw the last byte, in seconds since the epoch."""

    total_bytes: int
    last_bits_per_s: int
    average_bits_per_s: int
    most_bits_per_s: int
    last_time: float


@dataclass(frozen=True, slots=True)
class Metrics:
    """What passed one place; times in seconds since the epoch, ``updated_time`` that of the last sample."""

    created_time: float
    updated_time: float
    received: Flow
    sent: Flow
    connections: int
    most_connections: int
    most_connections_time: float


class Rate:
    """Bits per second from a total that is looked at once in a while."""

    __slots__ = ("_count", "_measured_bytes", "average", "last", "most")

    def __init__(self) -> None:
        self.last = 0.0
        self.average = 0.0
        self.most = 0.0
        self._count = 0
        self._measured_bytes = 0

    def measure(self, total_bytes: int, seconds: float) -> None:
        """``seconds``: since the measurement before, or since the total was 0."""
        self.last = (total_bytes - self._measured_bytes) * 8 / seconds
        self._measured_bytes = total_bytes
        self._count += 1
        # The plain mean until there are AVERAGE_S of it: an average that begins at 0 would be wrong for that long.
        self.average += (self.last - self.average) * max(1 / self._count, 1 - math.exp(-seconds / AVERAGE_S))
        self.most = max(self.most, self.last)


class _Direction:
    __slots__ = ("last_time", "rate", "total_bytes")

    def __init__(self, now: float) -> None:
        self.total_bytes = 0
        self.last_time = now
        self.rate = Rate()

    def add(self, count: int, now: float) -> None:
        self.total_bytes += count
        self.last_time = now

    def flow(self) -> Flow:
        rate = self.rate
        return Flow(self.total_bytes, round(rate.last), round(rate.average), round(rate.most), self.last_time)


class _Place:
    """A stream, an application, a virtual host or the server."""

    __slots__ = (
        "_measured_s",
        "connections",
        "created_time",
        "most_connections",
        "most_connections_time",
        "received",
        "sent",
        "updated_time",
    )

    def __init__(self) -> None:
        now = time.time()
        self.created_time = self.updated_time = self.most_connections_time = now
        self.received = _Direction(now)
        self.sent = _Direction(now)
        self.connections = 0
        self.most_connections = 0
        self._measured_s = time.monotonic()

    def connect(self, now: float) -> None:
        self.connections += 1
        if self.connections > self.most_connections:
            self.most_connections, self.most_connections_time = self.connections, now

    def measure(self) -> None:
        now_s = time.monotonic()
        seconds = now_s - self._measured_s
        if seconds < SAMPLE_S / 2:
            return  # it is new, and a few milliseconds of a burst make no rate
        self._measured_s = now_s
        self.received.rate.measure(self.received.total_bytes, seconds)
        self.sent.rate.measure(self.sent.total_bytes, seconds)
        self.updated_time = time.time()

    def metrics(self) -> Metrics:
        return Metrics(
            created_time=self.created_time,
            updated_time=self.updated_time,
            received=self.received.flow(),
            sent=self.sent.flow(),
            connections=self.connections,
            most_connections=self.most_connections,
            most_connections_time=self.most_connections_time,
        )


_Places = tuple[_Place, ...]


class _Counted:
    """How much of a counter has been added to which places."""

    __slots__ = ("_count", "places")

    def __init__(self, places: _Places) -> None:
        self.places = places
        self._count = 0

    def news(self, count: int) -> int:
        """What has come to the counter since it was asked before."""
        news, self._count = count - self._count, count
        return news


class _Sending(_Counted):
    """... of the tally of the pushes that send from these places."""

    __slots__ = ("pushes", "tally")

    def __init__(self, places: _Places) -> None:
        super().__init__(places)
        self.pushes = 0
        self.tally = Tally()

    def connect(self, now: float) -> None:
        for place in self.places:
            place.connect(now)

    def disconnect(self) -> None:
        for place in self.places:
            place.connections -= 1

    def is_over(self) -> bool:
        """Nothing will be added to the tally any more."""
        return not self.pushes and not self.tally.destinations


class Statistics:
    """The totals; ``run`` it in a task.  Of pushes it knows those that connect after it was made."""

    def __init__(self, registry: Registry, scheduler: Scheduler) -> None:
        self._server = _Place()
        self._vhosts: dict[str, _Place] = {}
        self._apps: dict[tuple[str, str], _Place] = {}
        self._streams: dict[Name, _Place] = {}
        self._inputs: dict[Name, Name] = {}  # of the live output streams
        self._sources: dict[Stream, _Counted] = {}
        self._pushes: dict[Push, _Sending] = {}
        self._sendings: dict[_Places, _Sending] = {}
        for vhost in registry.vhosts:
            for app in registry.apps(vhost):
                self._around(vhost, app)
                for stream in registry.streams(vhost, app):
                    self.stream_started(stream)
        registry.subscribe(self)
        scheduler.subscribe(self._push_moved)

    def server(self) -> Metrics:
        return self._server.metrics()

    def vhost(self, vhost: str) -> Metrics:
        """Of a virtual host that the registry has."""
        return self._vhosts.setdefault(vhost, _Place()).metrics()

    def app(self, vhost: str, app: str) -> Metrics:
        """Of an application that the registry has."""
        return self._around(vhost, app)[0].metrics()

    def stream(self, stream: Stream) -> Metrics:
        """Of a stream that is live."""
        return self._streams[stream.key].metrics()

    async def run(self) -> None:
        """Take a sample every second, until cancelled."""
        loop = asyncio.get_running_loop()
        due_s = loop.time()
        while True:
            due_s = max(due_s + SAMPLE_S, loop.time())
            await asyncio.sleep(due_s - loop.time())
            await self.sample()

    async def sample(self) -> None:
        """Bring totals and rates up to date, a slice at a time."""
        begun_s = time.perf_counter()
        for _ in self._steps():
            if time.perf_counter() - begun_s > SLICE_S:
                await asyncio.sleep(0)
                begun_s = time.perf_counter()

    def stream_started(self, stream: Stream) -> None:
        self._streams[stream.key] = place = _Place()
        self._inputs.update((output.key, stream.key) for output in stream.outputs)
        around = () if stream.inner else self._around(stream.vhost, stream.app)
        self._sources[stream] = _Counted((place, *around))
        outputs = {output.key for output in stream.outputs}
        held = [push for push in self._pushes if push.settings.stream in outputs]
        for push in held:
            self._move(push)

    def stream_ended(self, stream: Stream) -> None:
        self._receive(stream, self._sources.pop(stream), time.time())
        del self._streams[stream.key]
        for output in stream.outputs:
            del self._inputs[output.key]

    def _push_moved(self, push: Push, before: PushState, why: str) -> None:
        if push.state is PushState.CONNECTING:
            self._enter(push)
        sending = self._pushes.get(push)
        if sending is None:
            return
        now = time.time()
        self._send(sending, now)
        if before is PushState.PUSHING:
            sending.disconnect()
        if push.state is PushState.PUSHING:
            sending.connect(now)
        elif push.state in {PushState.READY, PushState.STOPPED}:
            self._leave(push)

    def _enter(self, push: Push) -> None:
        """Have the places that its stream is in now count what it sends from now on."""
        self._leave(push)
        places = self._places_of(push)
        sending = self._sendings.get(places)
        if sending is None:
            sending = self._sendings[places] = _Sending(places)
        sending.pushes += 1
        self._pushes[push] = sending
        push.tally = sending.tally

    def _move(self, push: Push) -> None:
        """It has kept its connection for the stream that is back."""
        now = time.time()
        before = self._pushes[push]
        self._send(before, now)
        self._enter(push)
        if push.state is PushState.PUSHING:
            before.disconnect()
            self._pushes[push].connect(now)

    def _leave(self, push: Push) -> None:
        sending = self._pushes.pop(push, None)
        if sending is not None:
            sending.pushes -= 1
            push.tally = None

    def _steps(self) -> Iterator[None]:
        """One sample, in steps of some ten microseconds; anything may begin and end between two of them."""
        now = time.time()
        for stream in list(self._sources):
            if (source := self._sources.get(stream)) is not None:
                self._receive(stream, source, now)
            yield
        for sending in list(self._sendings.values()):
            over = sending.is_over()
            self._send(sending, now)
            if over:
                del self._sendings[sending.places]
            yield
        for place in [self._server, *self._vhosts.values(), *self._apps.values(), *self._streams.values()]:
            place.measure()
            yield

    def _receive(self, stream: Stream, counted: _Counted, now: float) -> None:
        if news := counted.news(stream.source.byte_count):
            for place in counted.places:
                place.received.add(news, now)

    def _send(self, sending: _Sending, now: float) -> None:
        if news := sending.news(sending.tally.sent_bytes):
            for place in sending.places:
                place.sent.add(news, now)

    def _places_of(self, push: Push) -> tuple[_Place, ...]:
        vhost, app, _ = key = push.settings.stream
        place = self._streams.get(self._inputs.get(key, key))
        around = self._around(vhost, app)
        return around if place is None else (place, *around)

    def _around(self, vhost: str, app: str) -> tuple[_Place, _Place, _Place]:
        """Application, virtual host and server."""
        if (vhost, app) not in self._apps:
            self._apps[vhost, app] = _Place()
            self._vhosts.setdefault(vhost, _Place())
        return self._apps[vhost, app], self._vhosts[vhost], self._server
