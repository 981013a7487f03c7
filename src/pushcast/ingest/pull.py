"""Streams from URLs: what the API or the configuration asks for is pulled until nobody wants it, or it is over.

The URLs of a pull are tried in order, and after the last one the first again.  What came alive and broke off is tried
from the next URL on at once; when all have failed in a row there is a pause, each one longer than the one before.  Each
connection is a stream of its own, as a publisher's is: pushes wait in between, and time goes on upwards.

A live input is handed on as it comes.  What is no live input (files, downloads, HLS) is played in its own time.

How a pull of the API ends by itself, unless it is persistent:

- no push takes the stream for ``unused_s``;
- more than ``retry_count`` attempts for each of its URLs failed in a row;
- what is no live input is over.

One of the configuration is tried until it comes, and again when it breaks off; only a file that is over ends it.  One
that is pulled on demand pauses while no push wants its stream.

The name is held as long as the pull lives, whether a stream is there or not.
"""

from __future__ import annotations

import asyncio
import contextvars
import itertools
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar

from pushcast.errors import Conflict, ConnectionLost, ConnectTimeout, EngineError, MediaError
from pushcast.ingest.demux import ClipFrame
from pushcast.ingest.network import Input, open_input, patience_s
from pushcast.ingest.play import play
from pushcast.ingest.playback import Playback
from pushcast.ingest.reader import Reader
from pushcast.log import Prefixed, logger, printable
from pushcast.pull_url import ANYWHERE, shown_url, source_type
from pushcast.source import Source
from pushcast.stream import Name, Registry, Stream

_log = logger("ingest.pull")
_T = TypeVar("_T")

MAX_PULLS = 64  # each a thread, and less than 100 MiB even when its server makes the most of every bound
CONNECT_DEADLINE_S = 15.0  # from the first packet to the tracks of the stream
START_DEADLINE_S = 30.0  # what a client waits for an answer; HTTP clients and proxies begin to give up at 60 s
RETRIES = 2  # of each URL, unless somebody says otherwise
FIRST_RETRY_S = 1.0
MAX_RETRY_S = 30.0
WANTED_LOOK_S = 0.5  # a push that is reserved waits for a connect anyway
HEALTHY_S = 30.0  # twice what an attempt may take that never comes alive: failures before this one count no more


class PullError(EngineError):
    """A stream could not be pulled; str() is the API's text."""

    code = "pull"
    status = 502

    def __init__(self, reason: str) -> None:
        super().__init__(f"Could not pull the stream : {reason}")


@dataclass(frozen=True, slots=True)
class PullSettings:
    """What was asked for.  ``urls`` may hold secrets and have passed ``pull_url``.

    ``persistent``: it is pulled again whenever it ends, however often it failed.  ``no_input_s``: without a frame for
    so long a live input is taken for dead.
    """

    urls: tuple[str, ...] = field(repr=False)
    persistent: bool = False
    no_input_s: float = 3.0
    unused_s: float = 60.0
    retry_count: float = RETRIES


class PullSource:
    """One stream that is pulled; ``run`` it in a task, cancel the task to stop.

    ``live`` is done once the stream is there, or fails with the PullError that no URL gave one.
    ``wanted``: whether some push waits for the stream or has it; None: it is pulled whoever wants it.
    """

    def __init__(
        self,
        registry: Registry,
        name: Name,
        settings: PullSettings,
        files_below: Path | None,
        wanted: Callable[[], bool] | None = None,
    ) -> None:
        self.live: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._registry = registry
        self._name = name
        self._settings = settings
        self._files_below = files_below
        self._wanted = wanted
        self._log = Prefixed(_log, printable(f"pull {'/'.join(name)}"))
        self._close: Callable[[], object] | None = None
        self._told = ""

    async def run(self) -> None:
        """Pull until it is over; what goes wrong after the stream was there is logged and tried again."""
        task = asyncio.current_task()
        assert task is not None
        self._close = task.cancel
        loop = asyncio.get_running_loop()
        reasons: deque[str] = deque(maxlen=len(self._settings.urls))
        failures = 0  # in a row
        for url in itertools.cycle(self._settings.urls):
            await self._until_wanted()
            begun_s = loop.time()
            try:
                await self._connect(url)
                return
            except _Unused:
                self._log.info("ends: no push has taken it for %g s", self._settings.unused_s)
                if self._wanted is None:
                    return
                continue
            except EngineError as error:
                reasons.append(printable(str(error)))
            failures = 1 if loop.time() - begun_s > HEALTHY_S else failures + 1
            if self._was_the_last(failures, reasons):
                return
            await asyncio.sleep(self._pause_s(failures))

    async def _until_wanted(self) -> None:
        while self._wanted is not None and not self._wanted():  # noqa: ASYNC110 -- a look costs less than an event would
            await asyncio.sleep(WANTED_LOOK_S)

    def _was_the_last(self, failures: int, reasons: Sequence[str]) -> bool:
        """Tell who must know of a failure; True when no other attempt follows."""
        urls = len(self._settings.urls)
        if not self.live.done():
            if failures < urls:
                return False
            self.live.set_exception(PullError("; ".join(reasons)))
            return True
        if reasons[-1] != self._told:
            self._told = reasons[-1]
            self._log.warning("%s", self._told)
        if self._settings.persistent or failures <= urls * self._settings.retry_count:
            return False
        self._log.warning("given up: failures in a row: %d", failures)
        return True

    def _pause_s(self, failures: int) -> float:
        """No pause while there is a URL that has not failed in this round, then twice as long after each round."""
        rounds, others = divmod(failures, len(self._settings.urls))
        return 0.0 if others else min(FIRST_RETRY_S * 2.0 ** min(rounds - 1, 10), MAX_RETRY_S)

    async def _connect(self, url: str) -> None:
        """One connection to its end; returns when no other is wanted.  :raises EngineError: it failed or broke off."""
        shown = shown_url(url)
        reader = Reader(partial(open_input, url, self._files_below, self._settings.no_input_s))
        try:
            late = ConnectTimeout(f"{shown}: no tracks within {CONNECT_DEADLINE_S:g} s")
            opened = await _in_time(reader.opened, CONNECT_DEADLINE_S, late)
            for reason in opened.left_out:
                self._log.warning("left out: %s", printable(reason))
            batch = await reader.frames()
            if not batch:
                raise MediaError(f"{shown}: it holds no frame")
            await self._publish(url, reader, opened, batch)
        finally:
            reader.close()

    async def _publish(self, url: str, reader: Reader, opened: Input, batch: list[ClipFrame]) -> None:
        settings, shown = self._settings, shown_url(url)
        source = Source(*self._registry.timeline(*self._name))
        source.set_tracks(opened.tracks)
        use = _Use(source, settings.unused_s)
        wait_s = patience_s(opened, settings.no_input_s)

        async def read() -> list[ClipFrame]:
            use.check()
            return await _in_time(reader.frames(), wait_s, ConnectionLost(f"{shown}: nothing came for {wait_s:g} s"))

        stream = Stream(*self._name, opened.tracks, source, source_type(url), shown, self._close)
        self._registry.add(stream)
        if not self.live.done():
            self.live.set_result(None)
        try:
            if isinstance(opened, Playback):
                await play(source, batch, read)
                if opened.damaged:
                    self._log.warning("left out %d damaged packets", opened.damaged)
                if not settings.persistent:
                    self._log.info("it is over")
                    return
            else:
                await _hand_on(source, batch, read)
        finally:
            self._registry.remove(stream)
        raise ConnectionLost(f"{shown}: it ended")


async def _hand_on(source: Source, batch: list[ClipFrame], read: Callable[[], Awaitable[list[ClipFrame]]]) -> None:
    """``batch`` and then what ``read`` gives, at once, until that is empty."""
    while batch:
        for frame in batch:
            source.push(frame.track, frame.dts, frame.pts, frame.flags, frame.data)
        batch = await read()


class _Unused(Exception):
    """Nobody takes the stream."""


class _Use:
    """Whether some push takes the frames of a source, or has lately."""

    def __init__(self, source: Source, unused_s: float) -> None:
        self._source = source
        self._unused_s = unused_s
        self._loop = asyncio.get_running_loop()
        self._used_s = self._loop.time()

    def check(self) -> None:
        now_s = self._loop.time()
        if self._source.feed_count:
            self._used_s = now_s
        elif now_s - self._used_s > self._unused_s:
            raise _Unused


async def _in_time(awaited: Awaitable[_T], seconds: float, late: EngineError) -> _T:
    try:
        async with asyncio.timeout(seconds):
            return await awaited
    except TimeoutError:
        raise late from None


class Pulls:
    """All pulls and their tasks.  ``files_below``: the folder whose files the API may pull, None for none."""

    def __init__(self, registry: Registry, files_below: Path | None = None) -> None:
        self.files_below = files_below
        self._registry = registry
        self._tasks: dict[Name, asyncio.Task[None]] = {}
        # A task keeps the context that it was made in, and that of a request holds the request with its connection.
        self._context = contextvars.copy_context()

    async def start(self, vhost: str, app: str, name: str, settings: PullSettings) -> None:
        """Pull a stream; returns when it is live.

        Who stops waiting leaves the pull as it is.
        :raises NotFound: no such app.  :raises Conflict: the name is taken.  :raises PullError: there is no stream.
        """
        key = (vhost, app, name)
        if len(self._tasks) >= MAX_PULLS:
            raise PullError(f"{MAX_PULLS} streams are being pulled, and more are not allowed")
        held = ExitStack()
        try:
            held.enter_context(self._registry.reserve(*key))
        except Conflict:
            raise Conflict("Stream already exists") from None
        source = PullSource(self._registry, key, settings, self.files_below)
        task = self._run(key, held, source)
        late = PullError(f"there is no stream after {START_DEADLINE_S:g} s")
        try:
            await _in_time(asyncio.shield(source.live), START_DEADLINE_S, late)
        except PullError:
            await _end(task)
            raise

    def keep(self, name: Name, settings: PullSettings, wanted: Callable[[], bool] | None = None) -> None:
        """Pull a stream of the configuration, whose files may lie anywhere; returns at once.

        ``wanted``: as of PullSource.  :raises NotFound: no such app.  :raises Conflict: the name is taken.
        """
        held = ExitStack()
        held.enter_context(self._registry.reserve(*name))
        source = PullSource(self._registry, name, settings, ANYWHERE, wanted)
        source.live.set_result(None)  # nobody waits for it, and it is not given up
        self._run(name, held, source)

    async def stop(self, vhost: str, app: str, name: str) -> bool:
        """End a pull; its stream and its name are free on return.  False: no such pull."""
        task = self._tasks.get((vhost, app, name))
        if task is None:
            return False
        await _end(task)
        return True

    async def close(self) -> None:
        """End all of them."""
        await asyncio.gather(*(_end(task) for task in list(self._tasks.values())))

    def _run(self, key: Name, held: ExitStack, source: PullSource) -> asyncio.Task[None]:
        task = asyncio.create_task(source.run(), context=self._context)
        self._tasks[key] = task
        task.add_done_callback(partial(self._ended, key, held, source))
        return task

    def _ended(self, key: Name, held: ExitStack, source: PullSource, task: asyncio.Task[None]) -> None:
        del self._tasks[key]
        held.close()
        error = None if task.cancelled() else task.exception()
        if error is not None:
            _log.error("pull %s: unexpected error", printable("/".join(key)), exc_info=error)
        if not source.live.done():
            source.live.set_exception(PullError("it was ended"))
        source.live.exception()  # whoever waited for it may have gone


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait({task})
