"""Places for connects: how many may be under way at once, and that those who never come through keep nobody waiting.

Each connect holds a socket and, while it shakes hands, some 10 KiB, so all of them together are bounded.  A destination
that does not answer keeps its place until its deadline, ten seconds.  So one endpoint has a quarter of the places at
the most, however many pushes go there, and all those together that failed at their last attempt have half: what is
tried for the first time, or worked before, finds places that no dead destination comes to.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

AT_ONCE = 256


class Places:
    """``at_once`` in all.  Belongs to one event loop."""

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._all = asyncio.Semaphore(at_once)
        self._failed = asyncio.Semaphore(max(at_once // 2, 1))
        self._an_endpoint = max(at_once // 4, 1)
        self._endpoints: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    @property
    def full(self) -> bool:
        """Whoever comes now has to wait."""
        return self._all.locked()

    @asynccontextmanager
    async def place(self, endpoint: str, *, failed: bool) -> AsyncIterator[None]:
        """Hold one while connecting to ``endpoint``; ``failed``: the last attempt did."""
        here = self._endpoints.get(endpoint)
        if here is None:
            here = self._endpoints[endpoint] = asyncio.Semaphore(self._an_endpoint)
        # In this order: whoever holds the scarce places waits for no others.
        async with here:
            if not failed:
                async with self._all:
                    yield
                return
            async with self._failed, self._all:
                yield
