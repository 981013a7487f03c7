"""A publisher's hold on a stream name: the name, the source that it feeds, and the stream once its tracks are known."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Generic, Protocol, TypeVar

from pushcast.admission import NO_LIMITS, Limits
from pushcast.errors import MediaError
from pushcast.log import logger
from pushcast.media import Track
from pushcast.source import Source
from pushcast.stream import Name, Registry, Stream

_log = logger("ingest")

MAX_NAME_CHARS = 255


class Input(Protocol):
    """What turns a publisher's bytes into frames of a source: FlvInput, TsInput."""

    @property
    def source(self) -> Source: ...

    @property
    def tracks(self) -> tuple[Track, ...]: ...

    @property
    def ready(self) -> bool:
        """The tracks are known, as far as one may wait for them."""

    @property
    def late_tracks(self) -> int:
        """Those that came after the stream was announced."""

    def freeze(self) -> None: ...


T = TypeVar("T", bound=Input)


class Publication(Generic[T]):
    """Holds the name until ``end``.  ``make`` makes the input of a source; ``input`` is the one of now.

    ``limits``: what it may hold.  ``replace(reason)`` ends it for another publisher; None: nobody else may have its
    name.
    :raises NotFound: no such app.  :raises Conflict: the name is taken.
    """

    def __init__(
        self,
        registry: Registry,
        name: Name,
        source_type: str,
        source_url: str,
        make: Callable[[Source], T],
        close: Callable[[], None] | None = None,
        figures: Callable[[], Mapping[str, float]] | None = None,
        limits: Limits = NO_LIMITS,
        replace: Callable[[str], None] | None = None,
    ) -> None:
        self.stream: Stream | None = None
        self.ended = False
        self._registry = registry
        self._name = name
        self._source_type = source_type
        self._source_url = source_url
        self._make = make
        self._close = close
        self._figures = figures
        self._limits = limits
        self._held = ExitStack()
        self._held.enter_context(registry.reserve(*name, replace))
        self.input = self._new_input()
        self._late_tracks_told = False

    def announce_when_ready(self) -> bool:
        """True once the stream is there.  :raises MediaError: it has more tracks than it may have."""
        if self.stream is not None:
            return True
        if not self.input.ready:
            return False
        self.input.freeze()
        tracks, source = self.input.tracks, self.input.source
        if 0 < self._limits.max_tracks < len(tracks):
            raise MediaError(f"expected at most {self._limits.max_tracks} tracks, got {len(tracks)}")
        self.stream = self._registry.add(
            Stream(*self._name, tracks, source, self._source_type, self._source_url, self._close, self._figures)
        )
        return True

    def begin_anew(self) -> T:
        """What comes is another stream: the one there was ends, and its name waits for the tracks of the next."""
        self._end_stream()
        self.input = self._new_input()
        self._late_tracks_told = False
        return self.input

    def tell_late_tracks(self) -> None:
        """Say once that there are tracks which are left out."""
        if self.stream is not None and self.input.late_tracks and not self._late_tracks_told:
            self._late_tracks_told = True
            _log.warning("stream %s: a track came after the stream was announced: left out", self.stream.label)

    def end(self) -> None:
        """Let stream and name go.  Nothing may feed the input any more."""
        self.ended = True
        self._end_stream()
        self._held.close()

    def _end_stream(self) -> None:
        if self.stream is not None:
            self._registry.remove(self.stream)
            self.stream = None
        self.input.source.end()

    def _new_input(self) -> T:
        return self._make(Source(*self._registry.timeline(*self._name)))


def vhost_named(registry: Registry, host: str) -> str:
    """The vhost with this host name, which knows no case, else the first of the configuration."""
    vhosts = registry.vhosts
    return next((vhost for vhost in vhosts if vhost.lower() == host.lower()), next(iter(vhosts), ""))


def is_stream_name(name: str) -> bool:
    """What a publisher may call a stream."""
    return 0 < len(name) <= MAX_NAME_CHARS and name.isprintable()
