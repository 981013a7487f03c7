"""A transport stream that is received in C on another thread, seen from the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping
from functools import partial

from pushcast.admission import NO_LIMITS, Limits, Watch
from pushcast.errors import EngineError
from pushcast.ingest.publication import Publication
from pushcast.log import Prefixed, printable
from pushcast.source import Source
from pushcast.stream import Name, Registry
from pushcast.tsinput import TsInput
from pushcast.tstap import TsTap

TRACKS_DEADLINE_S = 30.0  # from the first bytes to tracks that can be decoded


class Reception:
    """What one sender feeds.

    ``end(reason)`` is called on the loop when it cannot go on; ``close`` ends it from outside; ``figures``: what the
    transport under it counts; ``limits`` and ``replace``: see Publication.

    :raises NotFound: no such app.  :raises Conflict: the stream's name is taken.
    """

    def __init__(
        self,
        registry: Registry,
        name: Name,
        source_type: str,
        source_url: str,
        log: Prefixed,
        end: Callable[[str], None],
        close: Callable[[], None],
        program: int = 0,
        figures: Callable[[], Mapping[str, float] | None] = lambda: None,
        limits: Limits = NO_LIMITS,
        replace: Callable[[str], None] | None = None,
    ) -> None:
        make = partial(_new_input, program)
        self.publication: Publication[TsInput] = Publication(
            registry, name, source_type, source_url, make, close, self._figures, limits, replace
        )
        self._transport_figures = figures
        self._loop = asyncio.get_running_loop()
        self._log = log
        self._end = end
        self._watch = Watch(limits, self._loop.time())
        self._begun_s = 0.0  # when the first bytes were seen
        self.tap = TsTap(self.publication.input, partial(self._later, self._attend))

    def on_end(self, error: Exception | None) -> None:
        """What a receiver is given as ``end``: called on its thread."""
        if error is None:
            reason = "the sender left"
        elif isinstance(error, OSError) and not isinstance(error, EngineError):
            reason = f"the connection broke: {error.strerror}"
        elif isinstance(error, EngineError):
            reason = str(error)
        else:
            self._log.error("internal error", exc_info=error)
            reason = f"internal error: {type(error).__name__}"
        self._later(self._end, reason)

    def finish(self) -> None:
        """Nothing feeds it any more: what is whole goes out, then stream and name go."""
        with contextlib.suppress(EngineError):
            self.publication.input.flush()
        self.publication.end()

    def reason_to_stop(self, silent_s: float) -> str:
        """Why it must end, "" while it need not; ``silent_s``: how long nothing may come."""
        now_s = self._loop.time()
        if (time.monotonic_ns() - self.tap.heard_ns) / 1e9 > silent_s:
            return f"nothing came for {silent_s:g} s"
        if self.tap.bytes_received and not self._begun_s:
            self._begun_s = now_s
        if self._begun_s and self.publication.stream is None and now_s - self._begun_s > TRACKS_DEADLINE_S:
            return f"expected a track that can be decoded within {TRACKS_DEADLINE_S:g} s, got none"
        self.publication.tell_late_tracks()
        return self._watch.reason_to_stop(now_s, self.tap.bytes_received)

    def _figures(self) -> Mapping[str, float]:
        found = self.publication.input
        return {
            "transportPackets": found.packets,
            "continuityErrors": found.continuity_errors,
            "transportErrors": found.transport_errors,
            "scrambledPackets": found.scrambled,
            "syncLosses": found.sync_losses,
            "damagedFrames": found.damaged,
            **(self._transport_figures() or {}),
        }

    def _later(self, react: Callable[..., None], *told: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is there to react
            self._loop.call_soon_threadsafe(react, *told)

    def _attend(self) -> None:
        if self.publication.ended:
            return
        try:
            if self.publication.input.changed:
                self._log.info("the transport stream has other tracks now: the stream begins anew")
                self.tap.renew(self.publication.begin_anew())
            elif self.publication.announce_when_ready():
                for reason in self.publication.input.left_out:
                    self._log.warning("left out: %s", printable(reason))
        except EngineError as error:
            self._end(str(error))


def _new_input(program: int, source: Source) -> TsInput:
    return TsInput(source, program)
