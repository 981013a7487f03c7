"""Many clients that start, stop and list the same pushes at once, and what must be true of what they were told."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from api_client import basic
from serving import TOKEN, Served

IDS = [f"push-{number}" for number in range(5)]


@dataclass
class Told:
    """Answers by (action, status), and how often each id was started and stopped."""

    answers: Counter[tuple[str, int]] = field(default_factory=Counter)
    started: Counter[str] = field(default_factory=Counter)
    stopped: Counter[str] = field(default_factory=Counter)
    twice: list[list[str]] = field(default_factory=list)

    def there(self) -> list[str]:
        """The ids that must be listed in the end.  :raises AssertionError: an answer was no truth."""
        for push_id in IDS:
            assert self.started[push_id] - self.stopped[push_id] in (0, 1), push_id
        return [push_id for push_id in IDS if self.started[push_id] > self.stopped[push_id]]


def hammer(served: Served, clients: int, seconds: float, urls: list[str]) -> Told:
    """``clients`` at once, each one request after another."""
    told = Told()

    async def client(session: aiohttp.ClientSession, chance: random.Random) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            action, body = _request(chance, urls)
            url = f"http://127.0.0.1:{served.api_port}{Served.app}:{action}"
            async with session.post(url, json=body) as response:
                answer = await response.json(content_type=None)
            told.answers[action, response.status] += 1
            if action == "pushes":
                listed = [push["id"] for push in answer["response"]]
                if len(set(listed)) != len(listed):
                    told.twice.append(listed)
            elif response.status == 200:
                (told.started if action == "startPush" else told.stopped)[body["id"]] += 1

    async def all_clients() -> None:
        async with aiohttp.ClientSession(headers={"Authorization": basic(TOKEN)}) as session:
            await asyncio.gather(*(client(session, random.Random(number)) for number in range(clients)))

    asyncio.run(all_clients())
    return told


def _request(chance: random.Random, urls: list[str]) -> tuple[str, dict[str, Any]]:
    action = chance.choice(("startPush", "stopPush", "pushes"))
    if action == "pushes":
        return action, {}
    push_id = chance.choice(IDS)
    if action == "stopPush":
        return action, {"id": push_id}
    return action, {
        "id": push_id,
        "stream": {"name": chance.choice(("live", "never"))},
        "protocol": "mpegts",
        "url": chance.choice(urls),
    }
