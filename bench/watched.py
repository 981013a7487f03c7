"""pushcast serve with a clock in its event loop: how long it was held at the most, in a file when the server ends.

python -m bench.watched FILE serve --config ...
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

from pushcast import garbage, server
from pushcast.cli import main as command_line
from pushcast.config import Config

TICK_S = 0.001
LONG_MS = 10.0
MOST = 1000


async def _watch(held: list[tuple[float, float]]) -> None:
    """Add (when, milliseconds) for each time that the loop came late to a tick by LONG_MS or more."""
    loop = asyncio.get_running_loop()
    due = loop.time()
    while True:
        due = max(due + TICK_S, loop.time())
        await asyncio.sleep(due - loop.time())
        late_ms = (loop.time() - due) * 1000
        if late_ms >= LONG_MS and len(held) < MOST:
            held.append((time.monotonic(), late_ms))


def main() -> None:
    output = Path(sys.argv[1])
    held: list[tuple[float, float]] = []
    serve, settle = server.serve, garbage.settle

    def settled() -> None:
        """The last thing before the server is ready: what took long until then kept nobody waiting."""
        settle()
        watching.append(asyncio.create_task(_watch(held)))

    watching: list[asyncio.Task[None]] = []

    async def watched(config: Config) -> None:
        try:
            await serve(config)
        finally:
            for each in watching:
                each.cancel()

    server.serve, garbage.settle = watched, settled
    sys.argv = ["pushcast", *sys.argv[2:]]
    try:
        command_line()
    finally:
        output.write_text(json.dumps(held))


if __name__ == "__main__":
    main()
