"""Multiplex: a stream made of tracks of live streams, such as three renditions from three encoders and one audio.

It begins when all its inputs are live, and goes on while one of them is: of an input that leaves, the tracks pause, and
when it comes back they go on, with a new configuration if it has one.  Its tracks are what the inputs had when it
began, numbered from 0 in the order of the configuration; what an input that came back has otherwise (another codec,
other tracks) is left out and said.

Frames go from source to source in C, on the thread that brings them (relay.pyx, which aligns their times).  Nothing is
read twice: an input may be pushed by itself all the while.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace

from pushcast.config_sections import Multiplex, MultiplexInput
from pushcast.errors import MediaError
from pushcast.log import Prefixed, logger, printable
from pushcast.media import Track
from pushcast.relay import Relay
from pushcast.selection import named_tracks
from pushcast.source import Source
from pushcast.stream import Name, OutputStream, Registry, Stream

_log = logger("ingest.multiplex")


@dataclass(slots=True)
class _Input:
    """One input: what is wanted of it, the tracks that it has here, and while it is live its stream."""

    key: Name
    wanted: MultiplexInput
    tracks: list[Track] = field(default_factory=list)
    stream: OutputStream | None = None
    relay: Relay | None = None


class MultiplexStream:
    """One multiplex of the configuration; subscribe it to the registry before streams appear.

    :raises Conflict: its name is taken.  :raises NotFound: no such app.
    """

    def __init__(self, registry: Registry, made: Multiplex) -> None:
        self._registry = registry
        self._name: Name = (made.vhost, made.app, made.name)
        self._inputs = [_Input((made.vhost, each.app or made.app, each.stream), each) for each in made.inputs]
        self._group: list[Relay] | None = [] if made.align == "timestamps" else None
        self._stream: Stream | None = None
        self._log = Prefixed(_log, printable(f"multiplex {'/'.join(self._name)}"))
        self._held = ExitStack()
        self._held.enter_context(registry.reserve(*self._name))

    def stream_started(self, stream: Stream) -> None:
        for each in self._of(stream):
            each.stream = next(output for output in stream.outputs if output.key == each.key)
            if self._stream is not None:
                self._rejoin(each)
        if self._stream is None and all(each.stream is not None for each in self._inputs):
            self._begin()

    def stream_ended(self, stream: Stream) -> None:
        for each in self._of(stream):
            if each.stream is not None and each.stream.input is stream:
                self._detach(each)
                each.stream = None
        if self._stream is not None and not any(each.relay for each in self._inputs):
            self._end()

    def close(self) -> None:
        """Let stream and name go."""
        for each in self._inputs:
            self._detach(each)
        self._end()
        self._held.close()

    def _of(self, stream: Stream) -> Iterator[_Input]:
        keys = {output.key for output in stream.outputs}
        return (each for each in self._inputs if each.key in keys)

    def _begin(self) -> None:
        ids = iter(range(1 << 16))
        pairs = [[(track, replace(own, id=next(ids))) for track, own in self._chosen(each)] for each in self._inputs]
        tracks = tuple(own for of_one in pairs for _, own in of_one)
        source = Source(*self._registry.timeline(*self._name))
        try:
            if not tracks:
                raise MediaError("no input has a track for it")
            source.set_tracks(tracks)
        except MediaError as error:
            self._log.warning("does not begin: %s", error)
            return
        self._stream = Stream(*self._name, tracks, source, "Multiplex", inner=True)
        self._registry.add(self._stream)
        for each, of_one in zip(self._inputs, pairs, strict=True):
            each.tracks = [own for _, own in of_one]
            self._attach(each, of_one)

    def _rejoin(self, each: _Input) -> None:
        """An input is back: its tracks go on as those that they were."""
        found, pairs = self._chosen(each), []
        for own in each.tracks:
            track = next((track for track, now in found if (now.codec, now.name) == (own.codec, own.name)), None)
            if track is None:
                self._log.warning("%s is back without its track %d (%s)", each.wanted.stream, own.id, own.codec.name)
            else:
                found = [pair for pair in found if pair[0] is not track]
                pairs.append((track, own))
        for track, _ in found:
            self._log.warning("%s: its track %d (%s) is left out", each.wanted.stream, track.id, track.codec.name)
        self._attach(each, pairs)

    def _chosen(self, each: _Input) -> list[tuple[Track, Track]]:
        """The wanted tracks of a live input, each beside what it is called here."""
        assert each.stream is not None
        now = each.stream.current_tracks()
        if not each.wanted.tracks:
            return [(track, track) for track in now]
        found = []
        for wanted in each.wanted.tracks:
            tracks = named_tracks(now, wanted.track)
            if not tracks:
                there = ", ".join(track.variant_name for track in now)
                self._log.warning('%s has no track "%s"; there are %s', each.wanted.stream, wanted.track, there)
            for track in tracks:
                name, language = wanted.name or track.name, wanted.language or track.language
                found.append((track, replace(track, name=name, language=language)))
        return found

    def _attach(self, each: _Input, pairs: Iterable[tuple[Track, Track]]) -> None:
        """``pairs``: each of its tracks beside ours."""
        assert self._stream is not None
        assert each.stream is not None
        origin, target = each.stream.input.source, self._stream.source
        # Never before what an earlier multiplex of this name left behind.
        base = max(0, (self._registry.timeline(*self._name)[1] - origin.clock.now() + 89) // 90 * 90)
        relayed = [(replace(track, id=each.stream.source_id(track.id)), own.id) for track, own in pairs]
        each.relay = Relay(origin, target, relayed, self._group, base)
        if self._group is not None:
            self._group.append(each.relay)
        origin.add_tap(each.relay)

    def _detach(self, each: _Input) -> None:
        relay, each.relay = each.relay, None
        if relay is not None:
            relay.origin.remove_tap(relay)
            if self._group is not None:
                self._group.remove(relay)

    def _end(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            self._registry.remove(stream)
