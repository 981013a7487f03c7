"""Streams and the registry that knows which of them are live.

A stream is one source under a name, and has output streams: without an output profile one, which is the stream itself.
Pushes name output streams; publishers, pulls and the API's streams are inputs.  The registry is the only place where
names live and die, so whoever must react (the scheduler) subscribes here.  Everything in this module runs on the event
loop and nothing waits.

A name keeps its place in time: when a stream ends, the registry remembers how far its time line got, and the next
stream of that name starts above it, so that destinations see time continue upwards when a publisher leaves and
returns.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

from pushcast.config_sections import OutputProfile
from pushcast.errors import Conflict, NotFound
from pushcast.log import logger, printable, redact
from pushcast.media import FeedKey, Track
from pushcast.output_profile import Output, outputs, unchanged

if TYPE_CHECKING:
    from pushcast.feed import Feed
    from pushcast.source import Clock, Source

_log = logger("stream")

# Names whose last time is remembered after they ended.  One entry costs about 200 bytes; more names than this
# within one life of the process come from a publisher that makes them up, and for those a fresh start is right.
REMEMBERED_NAMES = 4096

Name = tuple[str, str, str]
"""(vhost, app, stream)."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds a name, since when (``time.monotonic``).

    ``replace(reason)`` ends it, and the name is free when it returns; None: nobody may take the name from it.
    """

    since_s: float
    replace: Callable[[str], None] | None = None


class StreamListener(Protocol):
    """What the registry tells; called on the event loop, right when it happens, and must neither wait nor raise."""

    def stream_started(self, stream: Stream) -> None: ...

    def stream_ended(self, stream: Stream) -> None: ...


class OutputStream:
    """What pushes take: tracks of a live input, under the names and ids that its output profile gives them."""

    __slots__ = ("_sources", "input", "name", "tracks")

    def __init__(self, stream: Stream, output: Output) -> None:
        self.input = stream
        self.name = output.name
        self.tracks = output.tracks
        self._sources = dict(zip((track.id for track in output.tracks), output.sources, strict=True))

    @property
    def key(self) -> Name:
        return self.input.vhost, self.input.app, self.name

    @property
    def label(self) -> str:
        """The name for log lines."""
        return printable("/".join(self.key))

    @property
    def ended(self) -> asyncio.Event:
        """Set once, when the registry lets the input go."""
        return self.input.ended

    @property
    def bytes_per_s(self) -> int:
        """Of the whole input, per second of media; 0 until known."""
        return self.input.source.bytes_per_s

    def source_id(self, track_id: int) -> int:
        """The id that the input has for a track."""
        return self._sources[track_id]

    def current_tracks(self) -> tuple[Track, ...]:
        """The tracks with the configurations of now, which the publisher may have changed since the stream began."""
        now = {track.id: track for track in self.input.source.tracks}
        return tuple(
            replace(track, config=now[self._sources[track.id]].config, metadata=now[self._sources[track.id]].metadata)
            for track in self.tracks
        )

    def measured(self) -> dict[int, dict[str, float]]:
        """What the tracks are like, by their ids here: see Source.measured."""
        found = self.input.source.measured()
        return {own: found[source] for own, source in self._sources.items() if source in found}

    def feed(self, key: FeedKey, keep_ms: int = 0) -> Feed:
        """The feed of these tracks in this container, made on first use; MediaError when the container cannot carry
        a track.  ``keep_ms``: so much media must be found in its ring from now on.
        """
        return self.input.source.feed(self._of_source(key), keep_ms)

    def release(self, feed: Feed) -> None:
        """Give back what :meth:`feed` gave; the last push out ends the muxing."""
        self.input.source.release(feed)

    def _of_source(self, key: FeedKey) -> FeedKey:
        """The same for all outputs that differ in names and ids alone: they share the feed."""
        said = {track.id: track.language for track in self.input.tracks}
        languages = {self._sources[track.id]: track.language for track in self.tracks if track.id in key.track_ids}
        ids = tuple(self._sources[each] for each in key.track_ids)
        other = any(said[each] != language for each, language in languages.items())
        return replace(
            key,
            track_ids=ids,
            cue_ids=tuple(self._sources[each] for each in key.cue_ids),
            languages=tuple(languages[each] for each in ids) if other else (),
        )

    def __repr__(self) -> str:
        return f"<OutputStream {self.label} {len(self.tracks)} tracks>"


class Stream:
    """One live input: its tracks and the source that feeds it.

    ``source_type`` is the REST API's word (``Rtmp``, ``File``); ``source_url`` must hold no secret;
    ``created_time`` is in seconds since the epoch.  ``ended`` is set once, when the registry lets the stream go.
    ``close`` has the ingest end it, now or in the next turns of the event loop, and may be called again; None when
    nothing from outside can.  ``figures``: what its ingest counts, by the names of the API; None: it counts nothing.
    ``inner``: it is made of what came in already, so no profile applies to it, and its bytes came in before.
    ``outputs`` are there while it is live.
    """

    __slots__ = (
        "app",
        "close",
        "created_time",
        "ended",
        "figures",
        "inner",
        "name",
        "outputs",
        "source",
        "source_type",
        "source_url",
        "tracks",
        "vhost",
    )

    def __init__(
        self,
        vhost: str,
        app: str,
        name: str,
        tracks: Sequence[Track],
        source: Source,
        source_type: str,
        source_url: str = "",
        close: Callable[[], object] | None = None,
        figures: Callable[[], Mapping[str, float]] | None = None,
        inner: bool = False,
    ) -> None:
        self.vhost = vhost
        self.app = app
        self.name = name
        self.tracks = tuple(tracks)
        self.source = source
        self.source_type = source_type
        self.source_url = source_url
        self.close = close
        self.figures = figures
        self.inner = inner
        self.outputs: tuple[OutputStream, ...] = ()
        self.created_time = time.time()
        self.ended = asyncio.Event()

    @property
    def key(self) -> Name:
        return self.vhost, self.app, self.name

    @property
    def label(self) -> str:
        """The name for log lines; a publisher chooses it, so nothing in it may break a line."""
        return printable("/".join(self.key))

    def __repr__(self) -> str:
        return f"<Stream {self.label} {self.source_type} {len(self.tracks)} tracks>"


class Registry:
    """The vhosts and apps of the configuration and the streams that are live in them.

    ``profiles``: the output profiles of apps, by (vhost, app).
    """

    def __init__(
        self,
        vhosts: Mapping[str, Iterable[str]],
        clock: Clock,
        profiles: Mapping[tuple[str, str], Sequence[OutputProfile]] = MappingProxyType({}),
    ) -> None:
        self._apps = {vhost: tuple(apps) for vhost, apps in vhosts.items()}
        self._clock = clock
        self._profiles = profiles
        self._live: dict[Name, Stream] = {}
        self._outputs: dict[Name, OutputStream] = {}
        self._reserved: dict[Name, Holder] = {}
        self._reached: OrderedDict[Name, tuple[int, int]] = OrderedDict()
        self._listeners: list[StreamListener] = []

    @property
    def vhosts(self) -> tuple[str, ...]:
        return tuple(self._apps)

    def apps(self, vhost: str) -> tuple[str, ...]:
        return self._apps.get(vhost, ())

    def has_vhost(self, vhost: str) -> bool:
        return vhost in self._apps

    def has_app(self, vhost: str, app: str) -> bool:
        return app in self._apps.get(vhost, ())

    def timeline(self, vhost: str, app: str, name: str) -> tuple[Clock, int, int]:
        """What a Source of this name begins with: the engine clock, and of an earlier stream of the name the dts it
        reached and how far it was behind that clock (both at 90 kHz), 0 when there was none.
        """
        return self._clock, *self._reached.get((vhost, app, name), (0, 0))

    @contextmanager
    def reserve(self, vhost: str, app: str, name: str, replace: Callable[[str], None] | None = None) -> Iterator[None]:
        """Hold a name while its publisher is being accepted, and longer; ``replace``: see Holder.

        :raises NotFound: no such app.  :raises Conflict: the name is live or held by another publisher.
        """
        key = (vhost, app, name)
        self.check_app(vhost, app)
        if self.is_taken(*key):
            raise Conflict(f"stream {vhost}/{app}/{name} is already being published")
        self._reserved[key] = Holder(time.monotonic(), replace)
        try:
            yield
        finally:
            del self._reserved[key]

    def add(self, stream: Stream) -> Stream:
        """Make a stream live and tell the listeners.  :raises NotFound: no such app.  :raises Conflict: the name is
        live.
        """
        self.check_app(stream.vhost, stream.app)
        if stream.key in self._live:
            raise Conflict(f"stream {stream.vhost}/{stream.app}/{stream.name} is already live")
        self._live[stream.key] = stream
        stream.outputs = self._enter_outputs(stream)
        tracks = ", ".join(f"{track.id} {track.codec.name}" for track in stream.tracks)
        origin = f"{stream.source_type} {redact(stream.source_url)}" if stream.source_url else stream.source_type
        _log.info("stream %s: started from %s with tracks %s", stream.label, printable(origin), tracks)
        for listener in self._listeners:
            listener.stream_started(stream)
        return stream

    def remove(self, stream: Stream) -> None:
        """Let a stream go: its source ends, its time is remembered, the listeners are told.  A second call does
        nothing.
        """
        if self._live.get(stream.key) is not stream:
            return
        del self._live[stream.key]
        for output in stream.outputs:
            del self._outputs[output.key]
        stream.source.end()
        self._remember(stream.key, stream.source)
        stream.ended.set()
        _log.info("stream %s: ended after %.1f s", stream.label, time.time() - stream.created_time)
        for listener in self._listeners:
            listener.stream_ended(stream)

    def get(self, vhost: str, app: str, name: str) -> Stream | None:
        return self._live.get((vhost, app, name))

    def output(self, vhost: str, app: str, name: str) -> OutputStream | None:
        return self._outputs.get((vhost, app, name))

    def output_names(self, vhost: str, app: str, name: str) -> list[Name]:
        """The output streams that an input of this name has, or would have."""
        return [(vhost, app, each.name) for each in outputs(self.profiles(vhost, app), name, ())]

    def profiles(self, vhost: str, app: str) -> Sequence[OutputProfile]:
        return self._profiles.get((vhost, app), ())

    def streams(self, vhost: str, app: str) -> list[Stream]:
        """The live streams of one app, by name."""
        found = [stream for key, stream in self._live.items() if key[:2] == (vhost, app)]
        return sorted(found, key=lambda stream: stream.name)

    def is_taken(self, vhost: str, app: str, name: str) -> bool:
        """The stream is live, or a publisher holds its name."""
        key = (vhost, app, name)
        return key in self._live or key in self._reserved

    def holder(self, vhost: str, app: str, name: str) -> Holder | None:
        """Who reserved the name; None also when a stream is live without it."""
        return self._reserved.get((vhost, app, name))

    def taken(self, vhost: str, app: str) -> int:
        """How many names of an app are live or held."""
        # Copies, each made in one step: other threads may ask.
        names = {*tuple(self._live), *tuple(self._reserved)}
        return sum(name[:2] == (vhost, app) for name in names)

    def subscribe(self, listener: StreamListener) -> None:
        self._listeners.append(listener)

    def check_app(self, vhost: str, app: str) -> None:
        """:raises NotFound: no such app."""
        if not self.has_vhost(vhost):
            raise NotFound(f"Could not find the virtual host: [{vhost}]")
        if not self.has_app(vhost, app):
            raise NotFound(f"Could not find the application: [{vhost}/{app}]")

    def _enter_outputs(self, stream: Stream) -> tuple[OutputStream, ...]:
        """Its output streams; one whose name is live already, or that has no track, is left out and said."""
        if stream.inner:
            found = [unchanged(stream.name, stream.tracks)]
        else:
            found = outputs(self.profiles(stream.vhost, stream.app), stream.name, stream.tracks)
        entered = []
        for output in found:
            made = OutputStream(stream, output)
            if made.key in self._outputs:
                _log.warning("stream %s: no output stream %s: it is live already", stream.label, made.label)
            elif not made.tracks and stream.tracks:
                _log.warning("stream %s: no output stream %s: no track is for it", stream.label, made.label)
            else:
                self._outputs[made.key] = made
                entered.append(made)
        return tuple(entered)

    def _remember(self, key: Name, source: Source) -> None:
        self._reached[key] = max((source.last_dts, source.behind), self._reached.pop(key, (0, 0)))
        if len(self._reached) > REMEMBERED_NAMES:
            self._reached.popitem(last=False)
