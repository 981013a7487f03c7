"""``:pushes``: all pushes of an app, or those that the request asks for.

OvenMediaEngine knows ``id`` alone: that push, or an empty list.  Beyond it a body may narrow the list down with
``ids``, ``state``, ``stream`` and ``protocol`` (each a word or a list of words), and page through it: ``limit`` pushes
at the most, ``after`` an id.  The order is that of the ids.  With ``"details": true`` each push has its ``statistics``
and its ``history`` too.

A long list takes several turns of the event loop.  What was stopped before its turn came is left out; what was started
after the first is not in it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import orjson

from pushcast.api.body import Json, members
from pushcast.api.push import details_json, push_json
from pushcast.errors import InvalidRequest
from pushcast.push import Push
from pushcast.scheduler import Scheduler
from pushcast.settings import text_member

# Pushes that are shown in one turn: some 2 ms.
A_TURN = 128
# A list of more ids takes the event loop as long as a list of all pushes, in one turn.
MOST_IDS = 4096
FILTERS = {
    "state": lambda push: push.state.value,
    "stream": lambda push: push.settings.stream_name,
    "protocol": lambda push: push.settings.protocol,
}


async def list_pushes(scheduler: Scheduler, vhost: str, app: str, body: Json, *, reveal: bool) -> bytes:
    """The list as JSON.  :raises InvalidRequest: 400, a filter that is none."""
    asked = members(body)
    show = _detailed if asked.get("details") is True else push_json
    push_id = text_member(asked, "id")
    if push_id:
        push = scheduler.get(vhost, app, push_id)
        return orjson.dumps([show(push, reveal=reveal)] if push is not None else [])
    left = iter(_chosen(scheduler, vhost, app, asked))
    shown: list[bytes] = []
    while group := list(islice(left, A_TURN)):
        if shown:
            await asyncio.sleep(0)
        there = [show(push, reveal=reveal) for push in group if not push.stop_wanted]
        shown.append(orjson.dumps(there)[1:-1])
    return b"[%b]" % b",".join(filter(None, shown))


def _detailed(push: Push, *, reveal: bool) -> dict[str, Any]:
    return push_json(push, reveal=reveal) | details_json(push)


def _chosen(scheduler: Scheduler, vhost: str, app: str, asked: dict[str, Any]) -> Iterable[Push]:
    ids = _words(asked, "ids")
    if ids is None:
        found: Iterable[Push] = scheduler.pushes(vhost, app)
    else:
        if len(ids) > MOST_IDS:
            raise InvalidRequest(f"ids: found {len(ids)} of them, allowed: {MOST_IDS} at the most")
        found = filter(None, (scheduler.get(vhost, app, each) for each in sorted(set(ids))))
    for name, value_of in FILTERS.items():
        words = _words(asked, name)
        if words is not None:
            found = _having(found, value_of, frozenset(words))
    after = text_member(asked, "after")
    if after:
        found = (push for push in found if push.settings.id > after)
    limit = asked.get("limit")
    if limit is None:
        return found
    if type(limit) is not int or limit < 1:
        raise InvalidRequest("limit: found what is no number of pushes, allowed: a whole number from 1")
    return islice(found, limit)


def _having(pushes: Iterable[Push], value_of: Any, words: frozenset[str]) -> Iterator[Push]:
    return (push for push in pushes if value_of(push) in words)


def _words(asked: dict[str, Any], name: str) -> list[str] | None:
    """The words of a filter; None when it is not there."""
    value = asked.get(name)
    if value is None:
        return None
    words = [value] if isinstance(value, str) else value
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise InvalidRequest(f"{name}: found neither a word nor a list of words, allowed: one of them")
    return words
