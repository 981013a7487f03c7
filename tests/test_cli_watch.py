"""``push watch``: changes as they come, over the loss of its connection."""

from __future__ import annotations

import json
import signal
from typing import Any

from cli_server import TOKEN, ApiServer, Running


def _event(number: int, **members: Any) -> bytes:
    change = {"time": "2019-07-09T20:00:00.000+00:00", "vhost": "default", "app": "app", "stream": "gala"}
    return f"event: push\nid: {number}\ndata: {json.dumps(change | members)}\n\n".encode()


MOVES = (
    b": the comment of a heartbeat\n\n",
    _event(41, **{"id": "studio", "from": "ready", "to": "connecting", "reason": ""}),
    b"event: other\ndata: {}\n\nevent: push\ndata: no JSON\n\n",
    _event(42, **{"id": "studio", "app": "elsewhere", "from": "ready", "to": "connecting"}),
    _event(43, **{"id": "platform", "from": "pushing", "to": "error", "reason": "the peer\n\x07 closed"}),
)
LATER = (
    _event(44, **{"id": "studio", "from": "connecting", "to": "pushing"}),
    _event(45, **{"id": "platform", "from": "error", "to": "connecting"}),
)
WATCHED = [
    "2019-07-10  studio  ready -> connecting",
    r"2019-07-10  platform  pushing -> error  the peer \x07 closed",
    "2019-07-10  studio  connecting -> pushing",
    "2019-07-10  platform  error -> connecting",
]


def test_watch_survives_its_connection_and_ends_with_ctrl_c(api: ApiServer, variables: dict[str, str]) -> None:
    api.on_events(b"".join(MOVES) + LATER[0][:-1], hold=False)  # ends within an event, which then is no event yet
    api.on_events(b"".join(LATER), hold=True)
    watching = Running(variables, "push", "watch")
    assert watching.wait_for_lines(4) == WATCHED
    code, err = watching.end(signal.SIGINT)
    assert (code, watching.out.splitlines()) == (0, WATCHED)
    assert err == f"pushcast: {api.url} ended the events; trying again\n"
    assert [(seen.path, seen.token, seen.last_event_id) for seen in api.seen] == [
        ("/v1/events", TOKEN, None),
        ("/v1/events", TOKEN, "43"),
    ]


def test_watch_of_one_push_as_json(api: ApiServer, variables: dict[str, str]) -> None:
    api.on_events(b"".join(MOVES + LATER), hold=True)
    watching = Running(variables, "push", "watch", "platform", "--json")
    changes = [json.loads(line) for line in watching.wait_for_lines(2)]
    assert watching.end(signal.SIGINT) == (0, "")
    assert [(change["id"], change["to"]) for change in changes] == [("platform", "error"), ("platform", "connecting")]
    assert changes[0]["reason"] == "the peer\n\x07 closed"


def test_watch_ends_when_it_is_refused(api: ApiServer, variables: dict[str, str]) -> None:
    api.on_events(MOVES[1], hold=False)
    api.on("/v1/events", None, 401, "[HTTP] Invalid credential (401)")
    watching = Running(variables, "push", "watch")
    code, err = watching.end()
    assert (code, watching.out.splitlines()) == (1, WATCHED[:1])
    assert "pushcast: Invalid credential (" in err
