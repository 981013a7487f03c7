"""A file played in real time into a stream: ``file:///path/clip.mp4?loop=1``.

A worker thread reads half a second ahead; the event loop hands each frame on when its time has come.  Deadlines are
absolute: a late wake-up does not delay the frames after it.  After a stall longer than MAX_CATCH_UP_S the deadlines
move, because a burst of old frames would only fill the peers' buffers.

A file that cannot be played costs one line in the log and is tried again, with growing pauses; it may appear later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor

from pushcast.errors import EngineError, MediaError
from pushcast.file_url import parse_file_url
from pushcast.ingest.demux import CLOCK_HZ, ClipFrame
from pushcast.ingest.playback import Playback
from pushcast.log import Prefixed, logger
from pushcast.source import Source
from pushcast.stream import Registry, Stream

MAX_CATCH_UP_S = 0.5
MIN_SLEEP_S = 0.005  # frames due within one sleep leave together: a quarter of the senders' shortest usual tick
FIRST_RETRY_S = 1.0
MAX_RETRY_S = 30.0


class FileSource:
    """One file played into the stream ``vhost/app/name``; ``run`` it in a task, cancel the task to stop.

    :raises ValueError: ``url`` is no file URL (the configuration has checked it).
    """

    def __init__(self, registry: Registry, vhost: str, app: str, name: str, url: str) -> None:
        self._registry = registry
        self._vhost = vhost
        self._app = app
        self._name = name
        self._url = url
        self._file = parse_file_url(url)
        self._log = Prefixed(logger("ingest.file"), f"source {vhost}/{app}/{name}")
        self._task: asyncio.Task[object] | None = None

    async def run(self) -> None:
        """Play until the file ends (never, with ``loop=1``) or its stream is closed."""
        self._task = asyncio.current_task()
        try:
            await self._play_again_and_again()
        except asyncio.CancelledError:
            if self._task is not None:
                raise
            self._log.info("closed from outside")

    def _close(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()

    async def _play_again_and_again(self) -> None:
        """What goes wrong is logged and tried again."""
        loop = asyncio.get_running_loop()
        retry_s = FIRST_RETRY_S
        told = ""
        while True:
            started_s = loop.time()
            try:
                await self._play_once()
                return
            except EngineError as error:
                if str(error) != told:
                    self._log.warning("%s; trying again", error)
                    told = str(error)
            if loop.time() - started_s > MAX_RETRY_S:
                retry_s = FIRST_RETRY_S
            await asyncio.sleep(retry_s)
            retry_s = min(retry_s * 2, MAX_RETRY_S)

    async def _play_once(self) -> None:
        """From opening the file to its end; raises EngineError."""
        # A thread of its own: a disk that hangs holds up this source alone.
        reader = ThreadPoolExecutor(1, thread_name_prefix="file-source")
        opening = reader.submit(Playback, self._file.path, loop=self._file.loop)
        try:
            playback = await asyncio.wrap_future(opening)
            for reason in playback.left_out:
                self._log.warning("left out: %s", reason)
            await self._publish(playback, reader)
            if playback.damaged:
                self._log.warning("left out %d damaged packets", playback.damaged)
        finally:
            # Runs behind whatever the thread still reads, so nothing here waits for it.
            reader.submit(_close_playback, opening)
            reader.shutdown(wait=False)

    async def _publish(self, playback: Playback, reader: ThreadPoolExecutor) -> None:
        def read() -> Awaitable[list[ClipFrame]]:
            return asyncio.get_running_loop().run_in_executor(reader, playback.read)

        batch = await read()
        if not batch:
            raise MediaError("the file holds no frame")
        source = Source(*self._registry.timeline(self._vhost, self._app, self._name))
        source.set_tracks(playback.tracks)
        stream = Stream(self._vhost, self._app, self._name, playback.tracks, source, "File", self._url, self._close)
        self._registry.add(stream)
        try:
            await play(source, batch, read)
        except MediaError as error:
            if self._file.loop:
                raise
            self._log.warning("ends here: %s", error)
        finally:
            self._registry.remove(stream)


async def play(source: Source, batch: list[ClipFrame], read: Callable[[], Awaitable[list[ClipFrame]]]) -> None:
    """Hand on every frame when it is due, ``batch`` first and then what ``read`` gives until that is empty.

    Returns when the last frame's time is over.
    """
    loop = asyncio.get_running_loop()
    pace = _Pace(loop.time(), batch[0].dts)
    while batch:
        # The next half second is read while this one plays.
        ahead = asyncio.ensure_future(read())
        try:
            for frame in batch:
                wait_s = pace.wait_s(frame.dts, loop.time())
                if wait_s > 0:
                    await asyncio.sleep(max(wait_s, MIN_SLEEP_S))
                source.push(frame.track, frame.dts, frame.pts, frame.flags, frame.data)
            end_dts = max(frame.dts + frame.duration for frame in batch)
            batch = await ahead
        except BaseException:
            if not ahead.cancel() and not ahead.cancelled():
                ahead.exception()  # it failed too, and nobody asks for it any more
            raise
    await asyncio.sleep(max(pace.wait_s(end_dts, loop.time()), 0))


def _close_playback(opening: Future[Playback]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().close()


class _Pace:
    """When a frame is due: the first one at once, each other as much later as its DTS is."""

    def __init__(self, now_s: float, first_dts: int) -> None:
        self._start_s = now_s
        self._first_dts = first_dts

    def wait_s(self, dts: int, now_s: float) -> float:
        """Seconds until ``dts`` is due; not positive when it is."""
        due_s = self._start_s + (dts - self._first_dts) / CLOCK_HZ
        if now_s - due_s > MAX_CATCH_UP_S:
            self._start_s += now_s - due_s
            due_s = now_s
        return due_s - now_s
