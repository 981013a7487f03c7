"""StreamMap: streams that start get the pushes that an app's rules want for them.

Rules come from the configuration, and from an XML file that is looked at once a second (streammap_file.py).  For each
rule that an output stream's name matches there is one push, ``<rule id>:<stream name>``, from the stream's start to its
end.

After a change of the file the pushes of live streams are brought in line with it: one whose settings are the same runs
on untouched, one that changed is stopped and started anew.  A file that cannot be read, or is only half written, leaves
the rules of before.

What others do with these pushes stays: one that the API stopped is back with the next start of its stream, and an id
that somebody else's push has is left alone.  Nothing here waits for a push, and nothing that fails stops a stream.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from pushcast.errors import ConfigError, EngineError
from pushcast.log import Prefixed, logger, printable
from pushcast.push import Push
from pushcast.scheduler import Scheduler
from pushcast.settings import PushSettings
from pushcast.stream import OutputStream, Registry, Stream
from pushcast.streammap_file import read_stream_map
from pushcast.streammap_rule import Rule, named

_log = logger("streammap")

LOOK_S = 1.0
MAX_TOLD = 50  # faults of one file in the log; who reads that many has enough to do before the rest


class _Run(NamedTuple):
    """A push that was started here, and the settings it was started with."""

    settings: PushSettings
    push: Push


class StreamMap:
    """The automatic pushes of one app.

    Its owner subscribes it to the registry, behind the scheduler and before streams appear, and runs ``watch`` in a
    task.
    """

    def __init__(
        self, registry: Registry, scheduler: Scheduler, vhost: str, app: str, rules: Sequence[Rule], path: Path | None
    ) -> None:
        self._registry = registry
        self._scheduler = scheduler
        self._vhost = vhost
        self._app = app
        self._configured = tuple(rules)
        self._path = path
        self._from_file: tuple[Rule, ...] = ()
        self._seen: tuple[int, ...] = ()
        self._runs: dict[str, dict[str, _Run]] = {}
        self._log = Prefixed(_log, f"stream map {vhost}/{app}")

    def stream_started(self, stream: Stream) -> None:
        if (stream.vhost, stream.app) == (self._vhost, self._app):
            for output in stream.outputs:
                self._align(output)

    def stream_ended(self, stream: Stream) -> None:
        if (stream.vhost, stream.app) == (self._vhost, self._app):
            for output in stream.outputs:
                for run in self._runs.pop(output.name, {}).values():
                    self._stop(run)

    async def watch(self) -> None:
        """Follow the file until cancelled; returns at once when there is none to follow."""
        while self._path is not None:
            await self.check()
            await asyncio.sleep(LOOK_S)

    async def check(self) -> None:
        """Look at the file; if it is another one than before, read it and bring the pushes in line."""
        if self._path is None or (seen := _fingerprint(self._path)) == self._seen:
            return
        self._seen = seen
        ids = {rule.id for rule in self._configured}
        try:
            found = await asyncio.to_thread(read_stream_map, self._path, ids)
        except ConfigError as error:
            self._log.warning("%s; the rules of before stay: %d", error, len(self._from_file))
            return
        for problem in found.problems[:MAX_TOLD]:
            self._log.warning("%s", problem)
        if len(found.problems) > MAX_TOLD:
            self._log.warning("%s: %d more faults", self._path, len(found.problems) - MAX_TOLD)
        self._from_file = tuple(named(found.rules, "map", ids, before=self._from_file))
        self._log.info("%s: %d rules", self._path, len(self._from_file))
        for stream in self._registry.streams(self._vhost, self._app):
            if self._registry.get(*stream.key) is stream:  # others had a turn since the list was made
                for output in stream.outputs:
                    self._align(output)
            await asyncio.sleep(0)

    def _align(self, stream: OutputStream) -> None:
        """Stop what the rules do not want for this live stream, start what they want."""
        wanted = self._wanted(stream)
        runs = self._runs.setdefault(stream.name, {})
        for push_id, run in list(runs.items()):
            if wanted.get(push_id) != run.settings:
                self._stop(runs.pop(push_id))
        for push_id, settings in wanted.items():
            if push_id not in runs:
                try:
                    runs[push_id] = _Run(settings, self._scheduler.start(settings))
                except EngineError as error:
                    self._log.warning("push %s is not started: %s", printable(push_id), error)

    def _wanted(self, stream: OutputStream) -> dict[str, PushSettings]:
        wanted: dict[str, PushSettings] = {}
        for rule in (*self._configured, *self._from_file):
            if rule.matches(stream.name, stream.input.name):
                try:
                    settings = rule.settings(self._vhost, self._app, stream.name, stream.input.name)
                except EngineError as error:
                    shown = printable(stream.name)
                    self._log.warning("%s: stream %s gets no push: %s", rule.place, shown, printable(str(error)))
                else:
                    wanted[settings.id] = settings
        return wanted

    def _stop(self, run: _Run) -> None:
        """An id that has another push by now was stopped and given away by the API."""
        settings = run.settings
        if self._scheduler.get(settings.vhost, settings.app, settings.id) is not run.push:
            return
        try:
            self._scheduler.stop(settings.vhost, settings.app, settings.id)
        except EngineError as error:
            self._log.warning("push %s is not stopped: %s", printable(settings.id), error)


def _fingerprint(path: Path) -> tuple[int, ...]:
    """What differs when the file is another one; the change time because new permissions make it readable."""
    try:
        found = os.stat(path)
    except OSError as error:
        return (error.errno or -1,)
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino
