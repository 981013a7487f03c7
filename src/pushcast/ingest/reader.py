"""A thread that reads an input, and the frames that wait for the event loop.

Reading blocks inside libavformat, where nothing can wake it but its own deadlines.  So each input has a thread of its
own, which opens, reads and closes it, and nobody waits for the thread: who has enough closes the reader and goes, and
the thread ends when its read does.  It is a daemon thread: a server that stops does not wait for silent peers.

Frames wait in one queue under one lock, up to MAX_WAITING_S and MAX_WAITING_BYTES of them; then the thread waits, and
with it the input.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import traceback
from collections import deque
from collections.abc import Callable

from pushcast.errors import EngineError
from pushcast.ingest.demux import CLOCK_HZ, ClipFrame
from pushcast.ingest.network import Input
from pushcast.log import logger

_log = logger("ingest.reader")

# How far a Playback may be ahead: a download that stands still for less is not seen.  A live input never waits so long.
MAX_WAITING_S = 10
MAX_WAITING_BYTES = 8 << 20  # a second at 64 Mbit/s


class Reader:
    """Reads what ``open_input`` opens.  ``opened``: the open input, or the EngineError that there is none.

    Made on the event loop; ``close`` it, whatever happened.
    """

    def __init__(self, open_input: Callable[[], Input]) -> None:
        self._loop = asyncio.get_running_loop()
        self.opened: asyncio.Future[Input] = self._loop.create_future()
        self._open_input = open_input
        self._arrived = asyncio.Event()
        self._change = threading.Condition()
        self._waiting: deque[list[ClipFrame]] = deque()
        self._bytes = 0
        self._closed = False
        self._ended = False
        self._failure: EngineError | None = None
        threading.Thread(target=self._run, name="pull", daemon=True).start()

    async def frames(self) -> list[ClipFrame]:
        """What the input gave next; empty at the end.  :raises EngineError: it broke off."""
        if self._arrived.is_set():
            await asyncio.sleep(0)  # an input that is faster than we are does not get every turn of the event loop
        while True:
            await self._arrived.wait()
            with self._change:
                frames = self._waiting.popleft() if self._waiting else []
                self._bytes -= _size(frames)
                if not self._waiting and not self._ended:
                    self._arrived.clear()
                self._change.notify()
            if frames:
                return frames
            if self._failure is not None:
                raise self._failure
            if self._ended:
                return []

    def close(self) -> None:
        """Have the thread end: at once while it waits for room, else when it has read what it is reading."""
        with self._change:
            self._closed = True
            self._waiting.clear()
            self._change.notify()

    def _run(self) -> None:
        failure: EngineError | None = None
        try:
            self._read()
        except EngineError as error:
            failure = error.with_traceback(None)  # which would hold the input
        except Exception as error:
            failure = EngineError(f"internal error: {type(error).__name__}")
            # Its words may hold the URL.
            where = "".join(traceback.format_tb(error.__traceback__))
            _log.error("internal error: %s\n%s", type(error).__name__, where)
        self._tell(self._end, failure)

    def _read(self) -> None:
        opened = self._open_input()
        try:
            self._tell(self._open, opened)
            while not self._closed and (frames := opened.read()) and self._keep(frames):
                pass
        finally:
            opened.close()

    def _keep(self, frames: list[ClipFrame]) -> bool:
        """False when nobody wants them any more."""
        with self._change:
            self._change.wait_for(lambda: self._closed or self._has_room())
            if self._closed:
                return False
            first = not self._waiting
            self._waiting.append(frames)
            self._bytes += _size(frames)
        if first:
            self._tell(self._arrived.set)
        return True

    def _has_room(self) -> bool:
        if not self._waiting:
            return True
        ticks = self._waiting[-1][-1].dts - self._waiting[0][0].dts
        return ticks < MAX_WAITING_S * CLOCK_HZ and self._bytes < MAX_WAITING_BYTES

    def _tell(self, callback: Callable[..., object], *arguments: object) -> None:
        with contextlib.suppress(RuntimeError):  # the event loop is closed, and nobody waits
            self._loop.call_soon_threadsafe(callback, *arguments)

    def _open(self, opened: Input) -> None:
        if not self.opened.done():
            self.opened.set_result(opened)

    def _end(self, failure: EngineError | None) -> None:
        if not self.opened.done():
            self.opened.set_exception(failure or EngineError("closed while it was opened"))
        self._failure = failure
        self._ended = True
        self._arrived.set()


def _size(frames: list[ClipFrame]) -> int:
    return sum(len(frame.data) for frame in frames)
