"""Desired state: what clients asked for, kept in the store before they are answered, and brought back after a restart.

Order of every change: look whether it may be done, write it down, do it, answer.  So what was answered is on the disk,
and what could not be written was not done.  While a change of an id is being written that id is busy: another change of
it meets a Conflict, or NotFound where a stop is on its way; no client waits for another one.

Pushes of the configuration's rules (``is_config``) are none of it: their rules bring them back.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Iterable, Iterator
from contextlib import contextmanager, suppress

from pushcast.errors import Conflict, EngineError, NotFound, RequestError, StoreError
from pushcast.log import logger, printable
from pushcast.push import Push
from pushcast.push_state import Before, Halt, PushState
from pushcast.scheduler import Scheduler
from pushcast.settings import PushSettings, read_settings
from pushcast.store import Key, Store, StoredPush
from pushcast.stream import Registry

_log = logger("desired")

# How often totals are written: what a crash may take from the counters, never from what was asked for.
NOTE_S = 10.0
_PAUSED = "paused"


class Desired:
    """Changes of pushes that outlive the process.  ``restore`` once, before the first change."""

    def __init__(self, registry: Registry, scheduler: Scheduler, store: Store) -> None:
        self._registry = registry
        self.scheduler = scheduler
        self._store = store
        self._busy: set[Key] = set()
        self._sent: set[Push] = set()  # what has totals to be written
        scheduler.subscribe(self._on_move)

    def restore(self) -> None:
        """Start what was there when the process ended.  What cannot be is said, and stays in the store."""
        count = 0
        for stored in self._store.load():
            vhost, app, _ = stored.key
            name = printable("/".join(stored.key))
            if not self._registry.has_app(vhost, app):
                _log.warning("push %s: the configuration has no such application; it is kept and does not run", name)
                continue
            halt = Halt.PAUSED if stored.settings.get(_PAUSED) is True else None
            try:
                settings = read_settings(vhost, app, stored.settings)
                self.scheduler.start(settings, Before(stored.created_time, stored.totals, halt))
            except RequestError as error:
                _log.warning("push %s: %s; it is kept and does not run", name, error)
            else:
                count += 1
        _log.info("%d pushes are there from before", count)

    async def start(self, settings: PushSettings) -> Push:
        """:raises Conflict: the app has that id.  :raises StoreError: it cannot be kept, and is not started."""
        (outcome,) = await self.start_all([settings])
        if isinstance(outcome, EngineError):
            raise outcome
        return outcome

    async def start_all(self, wanted: Iterable[PushSettings]) -> list[Push | EngineError]:
        """Each on its own, with one write for all: the push, or why there is none."""
        outcomes: list[Push | EngineError] = []
        accepted: list[tuple[int, PushSettings, StoredPush]] = []
        for settings in wanted:
            key = _key(settings)
            if key not in self._busy and self.scheduler.get(*key) is None:
                self._busy.add(key)
                accepted.append((len(outcomes), settings, StoredPush(key, time.time(), settings.members())))
            outcomes.append(Conflict("Duplicate ID"))
        try:
            error = await _failure(self._store.put(*(stored for _, _, stored in accepted)))
            for index, settings, stored in accepted:
                outcomes[index] = error or await self._enter(settings, stored)
        finally:
            self._busy.difference_update(stored.key for _, _, stored in accepted)
        return outcomes

    async def _enter(self, settings: PushSettings, stored: StoredPush) -> Push | EngineError:
        """A rule of the configuration may have taken the id while it was being written: then it is kept no more."""
        try:
            return self.scheduler.start(settings, Before(stored.created_time))
        except Conflict as error:
            return await _failure(self._store.remove(stored.key)) or error

    async def stop(self, vhost: str, app: str, push_id: str) -> None:
        """:raises NotFound: no such push.  :raises StoreError: it cannot be forgotten, and goes on."""
        (error,) = await self.stop_all(vhost, app, [push_id])
        if error is not None:
            raise error

    async def stop_all(self, vhost: str, app: str, push_ids: Iterable[str]) -> list[EngineError | None]:
        """Each on its own, with one write for all: None, or why it was not stopped."""
        outcomes: list[EngineError | None] = []
        found: list[tuple[int, Key]] = []
        for push_id in push_ids:
            key = (vhost, app, push_id)
            if key not in self._busy and self.scheduler.get(*key) is not None:
                self._busy.add(key)
                found.append((len(outcomes), key))
            outcomes.append(NotFound(f"Could not find id '{push_id}': [{vhost}/{app}]"))
        try:
            error = await _failure(self._store.remove(*(key for _, key in found)))
            for index, key in found:
                outcomes[index] = error
                if error is None:
                    with suppress(NotFound):  # a rule's push may have ended with its stream meanwhile
                        self.scheduler.stop(*key)
        finally:
            self._busy.difference_update(key for _, key in found)
        return outcomes

    async def pause(self, push: Push) -> None:
        """Disconnect it and keep it so, over a restart too."""
        with self._changing(push):
            await self._keep(push, push.settings, paused=True)
            self.scheduler.halt(push, Halt.PAUSED)

    async def resume(self, push: Push) -> None:
        with self._changing(push):
            await self._keep(push, push.settings, paused=False)
            self.scheduler.resume(push)

    async def replace(self, push: Push, settings: PushSettings) -> None:
        """Go on with these settings of the same id and stream."""
        with self._changing(push):
            await self._keep(push, settings, paused=push.halt is Halt.PAUSED)
            self.scheduler.replace(push, settings)

    async def run(self) -> None:
        """Write totals every NOTE_S, until cancelled; once more then."""
        try:
            while True:
                await asyncio.sleep(NOTE_S)
                self._note()
        finally:
            self._note()

    def _note(self) -> None:
        """Write the totals of those that are in a session, or were since the last time: thousands may only wait."""
        self._store.note((_key(push.settings), push.totals()) for push in self._sent)
        self._sent = {push for push in self._sent if push.session is not None}

    def _on_move(self, push: Push, before: PushState, why: str) -> None:
        if push.state is PushState.PUSHING and not push.settings.is_config:
            self._sent.add(push)

    async def _keep(self, push: Push, settings: PushSettings, *, paused: bool) -> None:
        members = settings.members() | ({_PAUSED: True} if paused else {})
        await self._store.put(StoredPush(_key(settings), push.created_time, members, push.totals()))

    @contextmanager
    def _changing(self, push: Push) -> Iterator[None]:
        """:raises Conflict: it is being changed already, or the configuration's."""
        key = _key(push.settings)
        if push.settings.is_config:
            raise Conflict(f"The push is made by a rule of the configuration: [{'/'.join(key)}]")
        if key in self._busy or push.stop_wanted:
            raise Conflict(f"The push is being changed: [{'/'.join(key)}]")
        self._busy.add(key)
        try:
            yield
        finally:
            self._busy.discard(key)


def _key(settings: PushSettings) -> Key:
    return settings.vhost, settings.app, settings.id


async def _failure(write: Awaitable[None]) -> StoreError | None:
    try:
        await write
    except StoreError as error:
        return error
    return None
