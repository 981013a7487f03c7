"""Waiting for SRT connects."""

import asyncio
from typing import final

from pushcast.srt import SrtCaller

@final
class SrtConnector:
    """Waits for the connects of one event loop, without a thread."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None: ...
    def connect(
        self, caller: SrtCaller, family: int, address: tuple[str, int] | tuple[str, int, int, int]
    ) -> asyncio.Future[int | None]:
        """A future: None when the peer has accepted, else libsrt's reject reason.  Cancelling it stops the waiting."""
