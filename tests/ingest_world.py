"""A registry that notes which streams come and go, and transport streams to feed it with."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import count

from read_ts import AUDIO, KEY, VIDEO, Frame, lengths, mux, shared

from pushcast.source import Clock
from pushcast.stream import Registry, Stream


class World:
    """``came`` and ``went``: the streams, in order."""

    def __init__(self, *, vhosts: dict[str, list[str]] | None = None) -> None:
        self.registry = Registry(vhosts or {"default": ["app", "other"], "second": ["app"]}, Clock())
        self.came: list[Stream] = []
        self.went: list[Stream] = []
        self.registry.subscribe(self)

    def stream_started(self, stream: Stream) -> None:
        self.came.append(stream)

    def stream_ended(self, stream: Stream) -> None:
        self.went.append(stream)


async def until(condition: Callable[[], object]) -> None:
    """Wait, up to 10 s, for what other threads bring about."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 -- other threads set no asyncio event
            await asyncio.sleep(0.01)


def transport_stream(frames: int = 60, *, audio: bool = True) -> list[bytes]:
    """A clip of 25 frames a second in datagrams of up to seven packets, a keyframe each fifth."""
    tracks = [VIDEO, AUDIO] if audio else [VIDEO]
    media: list[Frame] = []
    for number in range(frames):
        dts = 900_000 + number * 3600
        unit = (b"\x65\x88" if number % 5 == 0 else b"\x41\x9a") + bytes([number % 100 + 1]) * 900
        media.append(Frame(VIDEO.id, dts, dts, KEY if number % 5 == 0 else 0, lengths(unit)))
        if audio:
            media.append(Frame(AUDIO.id, dts, dts, KEY, bytes([number % 100 + 1]) * 150))
    data = shared(mux(tracks, media))
    return [data[at : at + 1316] for at in range(0, len(data), 1316)]


async def played(send: Callable[[bytes], object], stop: Callable[[], bool]) -> None:
    """Datagrams, some each millisecond, until ``stop``."""
    datagrams = transport_stream(2000)
    for number in count():
        if stop() or number == len(datagrams):
            return
        send(datagrams[number])
        if number % 4 == 3:
            await asyncio.sleep(0.001)
