"""A storm: many :startPush calls at once, some of them for peers that are dead, and what becomes of them.

The figures come from outside: the API's answers, the time until it says ``pushing``, the sinks' rows.
"""

from __future__ import annotations

import asyncio
import base64
import time
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from serving import TOKEN, Served

from adversity.dead import Push
from adversity.sinks import Sink, url

LOOK_S = 0.03
DEADLINE_S = 20.0
KEEP_S = 3.0


@dataclass
class Storm:
    """What was measured; times in seconds from the first call."""

    live: int
    dead: int
    answered_s: float = 0.0
    slowest_answer_s: float = 0.0
    pushing_s: float = 0.0
    by_protocol_s: dict[str, float] = field(default_factory=dict)
    states: dict[str, int] = field(default_factory=dict)


def live_pushes(sinks: dict[str, Sink], each: int) -> list[Push]:
    """So many pushes to each sink, in turns."""
    return [url(protocol, sink.port) for _ in range(each) for protocol, sink in sinks.items()]


async def start_at_once(served: Served, live: list[Push], dead: list[Push], keep_s: float = KEEP_S) -> Storm:
    """Call :startPush for all, dead and live ones in turns, each call on a connection of its own; wait until all live
    ones are pushing, and go on for ``keep_s``.
    """
    storm = Storm(len(live), len(dead))
    headers = {"Authorization": "Basic " + base64.b64encode(TOKEN.encode()).decode()}
    base = f"http://127.0.0.1:{served.api_port}{served.app}"
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(headers=headers, connector=connector) as session:

        async def start(push_id: str, push: Push) -> float:
            protocol, target, key = push
            body = {"id": push_id, "stream": {"name": "live"}, "protocol": protocol, "url": target, "streamKey": key}
            began = time.monotonic()
            async with session.post(f"{base}:startPush", json=body) as answer:
                assert answer.status == 200, await answer.text()
                await answer.read()
            return time.monotonic() - began

        async def pushes() -> list[dict[str, Any]]:
            async with session.post(f"{base}:pushes", json={}) as answer:
                return list((await answer.json())["response"])

        named = _in_turns(live, dead)
        first = time.monotonic()
        answers = asyncio.gather(*(start(push_id, push) for push_id, push in named))
        waiting = {push_id for push_id, _ in named if push_id.startswith("live")}
        while waiting:
            for push in await pushes():
                if push["id"] in waiting and push["state"] == "pushing":
                    waiting.discard(push["id"])
                    storm.by_protocol_s[push["url"].partition(":")[0]] = time.monotonic() - first
            storm.pushing_s = time.monotonic() - first
            if answers.done() and not storm.answered_s:
                storm.answered_s = storm.pushing_s
            assert storm.pushing_s < DEADLINE_S, f"{len(waiting)} of {storm.live} live pushes are not pushing"
            if waiting:
                await asyncio.sleep(LOOK_S)
        storm.slowest_answer_s = max(await answers)
        await asyncio.sleep(keep_s)
        for push in await pushes():
            kind = f"{push['id'].partition('-')[0]} {push['state']}"
            storm.states[kind] = storm.states.get(kind, 0) + 1
    return storm


def _in_turns(live: list[Push], dead: list[Push]) -> list[tuple[str, Push]]:
    named = [(f"live-{number}", push) for number, push in enumerate(live)]
    step = max(1, len(live) // max(1, len(dead)))
    for number, push in enumerate(dead):
        named.insert(number * (step + 1), (f"dead-{number}", push))
    return named
