"""A pushcast process of the demo: started, listened to, and ended whatever happens."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import sys
from collections.abc import Mapping
from typing import Any

import orjson

from pushcast.config import PREFIX
from pushcast.errors import EngineError

STOP_TIMEOUT_S = 10.0
LINE_LIMIT_BYTES = 1 << 22  # a summary of hundreds of senders is one line
_PR_SET_PDEATHSIG = 1  # prctl(2)


def _die_with_parent() -> None:
    """Even when the demo itself is killed, no server and no sink stays behind."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class Child:
    """``python -m pushcast <arguments>``, in a session of its own so that Ctrl-C reaches the demo alone.

    ``events`` holds what it says on stdout as JSON lines, newest last for each event's name.
    """

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        self.name = name
        self.process = process
        self.events: dict[str, dict[str, Any]] = {}
        self._heard = asyncio.Condition()
        self._ended = False
        self._listener = asyncio.create_task(self._listen())

    @classmethod
    async def start(cls, name: str, *arguments: str, variables: Mapping[str, str], log: int) -> Child:
        """Start it; its stderr goes to the file descriptor ``log``."""
        environment = {key: value for key, value in os.environ.items() if not key.upper().startswith(PREFIX)}
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "pushcast",
            *arguments,
            env={**environment, **variables},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            start_new_session=True,
            preexec_fn=_die_with_parent,
            limit=LINE_LIMIT_BYTES,
        )
        return cls(name, process)

    @property
    def running(self) -> bool:
        return self.process.returncode is None

    async def event(self, name: str) -> dict[str, Any]:
        """The newest event of this name; waits for the first.  :raises EngineError: the process ended without it."""
        async with self._heard:
            await self._heard.wait_for(lambda: name in self.events or self._ended)
        if name not in self.events:
            raise EngineError(f"the {self.name} ended with exit code {await self.process.wait()}")
        return self.events[name]

    async def stop(self) -> int:
        """SIGTERM, after a while SIGKILL; returns the exit code."""
        if self.running:
            self.process.terminate()
        try:
            await asyncio.wait_for(self.process.wait(), STOP_TIMEOUT_S)
        except TimeoutError:
            self.process.kill()
        code = await self.process.wait()
        await self._listener
        return code

    async def _listen(self) -> None:
        stdout = self.process.stdout
        assert stdout is not None
        try:
            async for line in stdout:
                try:
                    event = orjson.loads(line)
                except orjson.JSONDecodeError:
                    continue  # a line for people
                async with self._heard:
                    self.events[event["event"]] = event
                    self._heard.notify_all()
        finally:
            self._ended = True
            async with self._heard:
                self._heard.notify_all()
