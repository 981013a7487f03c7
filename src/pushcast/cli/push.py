"""``pushcast push``: the pushes of an app, by the REST API."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import click
import orjson

from pushcast.cli.completion import complete_push_ids, complete_stream_names
from pushcast.cli.events import follow
from pushcast.cli.failure import Refused
from pushcast.cli.options import Session, client_options
from pushcast.cli.output import note, say, say_fields, say_json, say_json_line, say_table
from pushcast.cli.push_view import COLUMNS, change_line, fields, members, objects, row, sentence, text
from pushcast.cli.request import push_request

CHECK_TIMEOUT_S = 60.0  # a check resolves and connects, and some peers answer late

_push_id = click.argument("push_id", metavar="ID", shell_complete=complete_push_ids)
_push_ids = click.argument("push_ids", metavar="[ID]...", nargs=-1, shell_complete=complete_push_ids)


@click.group()
def push() -> None:
    """Start, stop and watch pushes."""


@push.command()
@push_request
@client_options
def start(session: Session, request: dict[str, Any]) -> None:
    """Push a stream to URL; ID names the push from then on."""
    started = session.act("startPush", request)
    if session.as_json:
        say_json(started)
    else:
        say(f"{request['id']}: {text(members(started).get('state'), 'started')}")


@push.command()
@push_request
@client_options
def check(session: Session, request: dict[str, Any]) -> None:
    """Try what start would do, without sending media.

    The exit code is 1 when a step fails.
    """
    answer = session.act("checkPush", request, CHECK_TIMEOUT_S)
    result = members(answer)
    steps = objects(result.get("steps"))
    if session.as_json:
        say_json(answer)
    else:
        say_fields([(text(step.get("step")), _outcome(step)) for step in steps])
    if result.get("ok") is not True:
        failed = [step for step in steps if step.get("ok") is not True]
        where = f" at {text(failed[0].get('step'))}: {sentence(failed[0].get('detail'))}" if failed else ""
        raise Refused(f"{request['id']} fails{where}")


@push.command()
@_push_id
@client_options
def stop(session: Session, push_id: str) -> None:
    """Stop a push; its ID is free then."""
    _act(session, "stopPush", push_id, "stop")


@push.command()
@_push_id
@client_options
def pause(session: Session, push_id: str) -> None:
    """Disconnect a push and keep it."""
    _act(session, "pausePush", push_id, "pause")


@push.command()
@_push_id
@client_options
def resume(session: Session, push_id: str) -> None:
    """Go on with a paused push."""
    _act(session, "resumePush", push_id, "resume")


@push.command()
@_push_id
@client_options
def restart(session: Session, push_id: str) -> None:
    """Disconnect a push and connect again, at once."""
    _act(session, "restartPush", push_id, "restart")


@push.command("list")
@_push_ids
@click.option("--state", help="Those in this state.")
@click.option("--stream", shell_complete=complete_stream_names, help="Those of this stream.")
@click.option("--protocol", help="Those over this protocol.")
@click.option("--limit", type=click.IntRange(min=1), help="So many at the most.")
@click.option("--after", metavar="ID", shell_complete=complete_push_ids, help="Those behind this id.")
@client_options
def list_(session: Session, push_ids: tuple[str, ...], **selection: Any) -> None:
    """The pushes of the app, or those named."""
    wanted = {"ids": list(push_ids), **selection}
    pushes = session.act("pushes", {name: value for name, value in wanted.items() if value})
    if session.as_json:
        say_json(pushes)
        return
    now = datetime.now()
    say_table(COLUMNS, [row(each, now) for each in objects(pushes)])


@push.command()
@_push_id
@click.option("--details", is_flag=True, help="Its statistics and its latest changes of state too.")
@client_options
def show(session: Session, push_id: str, details: bool) -> None:
    """Everything about one push, but its key."""
    found = objects(session.act("pushes", {"id": push_id} | ({"details": True} if details else {})))
    if not found:
        raise Refused(f"Could not find id '{push_id}': [{session.vhost}/{session.app}]")
    if session.as_json:
        say_json(found)
    else:
        say_fields(fields(found[0], datetime.now()))


@push.command()
@_push_ids
@client_options
def watch(session: Session, push_ids: tuple[str, ...]) -> None:
    """Print each change of the pushes, or of those named.

    Ctrl-C ends it, with exit code 0.  A connection that is lost is made again, and what was missed is printed.
    """
    place = {"vhost": session.vhost, "app": session.app}
    try:
        for event in follow(session.client, lambda why: note(f"{why}; trying again")):
            change = _read_change(event.data) if event.name in ("push", "health") else {}
            if place.items() <= change.items() and (not push_ids or change.get("id") in push_ids):
                _say_change(session, change)
    except KeyboardInterrupt:
        sys.exit(0)


def _act(session: Session, action: str, push_id: str, word: str) -> None:
    answer = session.act(action, {"id": push_id})
    if session.as_json:
        say_json(answer)
    else:
        # What it says of its state is from before: it takes its time to connect or to disconnect.
        say(f"{push_id}: {word} asked for")


def _outcome(step: Mapping[str, Any]) -> str:
    return f"{'ok' if step.get('ok') is True else 'failed'}: {sentence(step.get('detail'))}"


def _read_change(data: str) -> Mapping[str, Any]:
    try:
        return members(orjson.loads(data))
    except orjson.JSONDecodeError:
        return {}


def _say_change(session: Session, change: Mapping[str, Any]) -> None:
    if session.as_json:
        say_json_line(change)
    else:
        say(change_line(change, datetime.now()))
