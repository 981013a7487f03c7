"""Starts tests/srt_listener.py and asks it for reports; waiting for what libsrt's own threads do."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

LISTENER = Path(__file__).with_name("srt_listener.py")


async def until(condition: Callable[[], object]) -> None:
    """Wait, up to 5 s, for what no event announces."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 -- libsrt's threads set no asyncio event
            await asyncio.sleep(0.01)


class SrtPeer:
    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self.process = process
        self.port = port

    async def report(self) -> dict[str, Any]:
        self.process.stdin.write(b"\n")
        async with asyncio.timeout(10):
            return json.loads(await self.process.stdout.readline())

    async def received(self, size: int) -> dict[str, Any]:
        """The report of the first caller, once all callers together have delivered ``size`` bytes."""
        async with asyncio.timeout(10):
            while True:
                report = await self.report()
                peers = report["peers"] + report["gone"]
                if sum(peer["received_bytes"] for peer in peers) >= size:
                    return peers[0]

    async def close(self) -> None:
        """End the process; libsrt tells the callers."""
        self.process.stdin.close()
        async with asyncio.timeout(10):
            await self.process.wait()


@asynccontextmanager
async def srt_listener(**options: Any):
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(LISTENER),
        json.dumps(options),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 20,
    )
    try:
        async with asyncio.timeout(10):
            port = json.loads(await process.stdout.readline())["port"]
        yield SrtPeer(process, port)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
