"""What is no live input, played in real time: files, downloads, and HLS, whose segments come at once.

Each frame is handed on when its time has come, while a thread reads ahead (reader.py).  Deadlines are absolute: a late
wake-up does not delay the frames after it.  After a stall longer than MAX_CATCH_UP_S the deadlines move, because a
burst of old frames would only fill the peers' buffers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from pushcast.ingest.demux import CLOCK_HZ, ClipFrame
from pushcast.source import Source

MAX_CATCH_UP_S = 0.5
MIN_SLEEP_S = 0.005  # frames due within one sleep leave together: a quarter of the senders' shortest usual tick


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
