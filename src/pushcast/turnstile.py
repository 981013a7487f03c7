"""Turnstile: a crowd that comes at once is let through a few at a time, and the event loop turns in between."""

from __future__ import annotations

import asyncio
from collections import deque


class Turnstile:
    """Lets ``each_turn`` through in every turn of the event loop, at once as long as nobody waits, else in order."""

    def __init__(self, each_turn: int) -> None:
        self._each_turn = each_turn
        self._room = each_turn
        self._line: deque[asyncio.Future[None]] = deque()

    async def enter(self) -> None:
        loop = asyncio.get_running_loop()
        if self._room == self._each_turn:
            loop.call_soon(self._turn, loop)
        if self._room:
            self._room -= 1
            return
        place: asyncio.Future[None] = loop.create_future()
        self._line.append(place)
        await place

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        self._room = self._each_turn
        while self._line and self._room:
            place = self._line.popleft()
            if not place.done():  # else who waited has given up
                place.set_result(None)
                self._room -= 1
        if self._room < self._each_turn:
            loop.call_soon(self._turn, loop)
