"""``:startPushes`` and ``:stopPushes``: many changes in one call, each with an outcome of its own.

The answer is 207 with one item for each that was asked for, in the same order: ``statusCode`` and ``message`` as the
call for one would have answered, and ``response`` where there is one.  A fault of one item does not touch the others.
``note`` is told of each, with its status and its id.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from pushcast.api.body import Json, members
from pushcast.api.push import push_json
from pushcast.desired import Desired
from pushcast.errors import EngineError, InvalidRequest
from pushcast.push import Push
from pushcast.settings import PushSettings, read_settings, text_member
from pushcast.turnstile import Turnstile

# Changes that are read and written together: some 5 ms of the event loop, and one transaction.
GROUP = 64


Items = list[dict[str, Any]]
Note = Callable[[int, str], None]


async def start_pushes(
    desired: Desired, turnstile: Turnstile, vhost: str, app: str, body: Json, note: Note, *, reveal: bool
) -> Items:
    """Body: ``{"pushes": [...]}``, each as for ``:startPush``.  :raises InvalidRequest: 400, there is no such list."""
    items: Items = []
    for group in _groups(_listed(body, "pushes")):
        await turnstile.enter()
        read = [_read(vhost, app, each) for each in group]
        started = iter(await desired.start_all(each for each in read if isinstance(each, PushSettings)))
        done = [_item(each if isinstance(each, EngineError) else next(started), reveal=reveal) for each in read]
        for asked, item in zip(group, done, strict=True):
            note(item["statusCode"], text_member(asked, "id") if isinstance(asked, dict) else "")
        items += done
    return items


async def stop_pushes(desired: Desired, turnstile: Turnstile, vhost: str, app: str, body: Json, note: Note) -> Items:
    """Body: ``{"ids": [...]}``.  :raises InvalidRequest: 400, there is no such list."""
    ids = _listed(body, "ids")
    if not all(isinstance(each, str) and each for each in ids):
        raise InvalidRequest("ids: found what is no id, allowed: a list of ids of pushes")
    items: Items = []
    for group in _groups(ids):
        await turnstile.enter()
        done = [_item(outcome) for outcome in await desired.stop_all(vhost, app, group)]
        for push_id, item in zip(group, done, strict=True):
            note(item["statusCode"], push_id)
        items += done
    return items


def _listed(body: Json, name: str) -> list[Any]:
    value = members(body).get(name)
    if not isinstance(value, list):
        raise InvalidRequest(f"There is no required parameter [ {name}]")
    return value


def _groups(values: list[Any]) -> Iterator[list[Any]]:
    left = iter(values)
    while group := list(islice(left, GROUP)):
        yield group


def _read(vhost: str, app: str, value: Any) -> PushSettings | EngineError:
    try:
        return read_settings(vhost, app, members(value))
    except InvalidRequest as error:
        return error


def _item(outcome: Push | EngineError | None, *, reveal: bool = False) -> dict[str, Any]:
    if isinstance(outcome, EngineError):
        return {"statusCode": outcome.status, "message": str(outcome)}
    done: dict[str, Any] = {"statusCode": 200, "message": "OK"}
    return done if outcome is None else done | {"response": push_json(outcome, reveal=reveal)}
