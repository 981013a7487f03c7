"""The thread that reads an input, and the frames that wait."""

from __future__ import annotations

import asyncio
import threading

import pytest
from live import until, within
from pull_bench import SECRET

from pushcast.errors import EngineError
from pushcast.ingest import reader
from pushcast.ingest.demux import CLOCK_HZ, ClipFrame
from pushcast.ingest.reader import Reader
from pushcast.media import Track


class Endless:
    """An input that always has more."""

    tracks: tuple[Track, ...] = ()

    def __init__(self, limit: int = 1 << 30) -> None:
        self.left_out: list[str] = []
        self.reads = 0
        self.closed = threading.Event()
        self._limit = limit

    def read(self) -> list[ClipFrame]:
        if self.reads == self._limit:
            return []
        self.reads += 1
        return [ClipFrame(0, 9 * self.reads, 9 * self.reads, 9, 0, bytes(4096))]

    def close(self) -> None:
        self.closed.set()


@pytest.mark.parametrize(("name", "most"), [("MAX_WAITING_BYTES", 10 * 4096), ("MAX_WAITING_S", 9 * 9 / CLOCK_HZ)])
async def test_a_reader_waits_for_room(monkeypatch: pytest.MonkeyPatch, name: str, most: float) -> None:
    monkeypatch.setattr(reader, name, most)
    endless = Endless()
    reading = Reader(lambda: endless)
    assert await within(reading.opened) is endless
    await until(lambda: endless.reads == 11)  # ten wait, and one is in the thread's hands
    for number in range(1, 6):
        (frame,) = await reading.frames()
        assert frame.dts == 9 * number
    await until(lambda: endless.reads == 16)
    reading.close()
    await until(endless.closed.is_set)
    assert endless.reads == 16


async def test_an_endless_reader_leaves_turns_to_others() -> None:
    endless = Endless()
    reading = Reader(lambda: endless)
    others = 0

    async def count() -> None:
        nonlocal others
        while True:
            others += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    for _ in range(300):
        await reading.frames()
    counting.cancel()
    assert others >= 290
    reading.close()
    await until(endless.closed.is_set)


async def test_a_reader_hands_on_all_and_then_the_end() -> None:
    few = Endless(7)
    reading = Reader(lambda: few)
    got: list[ClipFrame] = []
    while batch := await reading.frames():
        got += batch
    assert [frame.dts for frame in got] == [9, 18, 27, 36, 45, 54, 63]
    assert await reading.frames() == []
    reading.close()


async def test_a_reader_that_breaks(lines: pytest.LogCaptureFixture) -> None:
    def broken() -> Endless:
        raise ZeroDivisionError(SECRET)

    reading = Reader(broken)
    with pytest.raises(EngineError, match="internal error: ZeroDivisionError"):
        await within(reading.opened)
    with pytest.raises(EngineError, match="internal error: ZeroDivisionError"):
        await within(reading.frames())
    assert "in broken" in lines.text
    assert SECRET not in lines.text
