"""``GET /v1/events``: what happens to pushes, as it happens (server-sent events, WHATWG HTML 9.2).

``event: push`` with ``data`` of ``{"time", "vhost", "app", "id", "stream", "from", "to", "reason"}`` for each change of
state, ``event: health`` with the same for each change of health.  ``Last-Event-ID`` (or ``?after=``) goes on behind
that number; what is not kept any more is said by one ``event: gap``, after which the state of all pushes is to be asked
for anew.  ``?vhost=`` and ``?app=`` narrow it down.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable

from sanic import Request

from pushcast.errors import InvalidRequest
from pushcast.events import Event, Events

# A proxy between the two closes what is silent for a minute, as a rule.
ALIVE_S = 15.0
AT_ONCE = 256
MAX_NUMBER = (1 << 63) - 1
MAX_DIGITS = 19


async def follow(request: Request, events: Events) -> None:
    """Answer until the client leaves.  :raises InvalidRequest: 400, no number to go on from."""
    vhost, app = request.args.get("vhost"), request.args.get("app")
    asked = request.headers.get("last-event-id") or request.args.get("after")
    number = _number(asked) if asked else events.last
    response = await request.respond(
        content_type="text/event-stream; charset=utf-8", headers={"Server": "pushcast", "Cache-Control": "no-store"}
    )
    await response.send(b": pushcast\n\n")
    while True:
        found, missed = events.after(number, AT_ONCE)
        text = b"event: gap\ndata: {}\n\n" if missed else b""
        text += b"".join(event.server_sent for event in _wanted(found, vhost, app))
        if text:
            await response.send(text)
        if found:
            number = found[-1].number
            continue
        number = min(number, events.last) if missed else number
        try:
            async with asyncio.timeout(ALIVE_S):
                await events.wait(number)
        except TimeoutError:
            with contextlib.suppress(ConnectionError):
                await response.send(b": alive\n\n")


def _wanted(events: Iterable[Event], vhost: str | None, app: str | None) -> Iterable[Event]:
    return (each for each in events if vhost in (None, each.vhost) and app in (None, each.app))


def _number(text: str) -> int:
    if not text.isdecimal() or len(text) > MAX_DIGITS or int(text) > MAX_NUMBER:
        raise InvalidRequest("Last-Event-ID: found what is no number of an event, allowed: one that an event had")
    return int(text)
