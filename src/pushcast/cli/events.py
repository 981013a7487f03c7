"""Server-sent events (the HTML standard, 9.2): bytes in, events out, and a stream of them that survives its connection.

After a loss the stream is opened again, for as long as it takes, and asks with ``Last-Event-ID`` for what it missed.
A first connection that fails is the caller's; so is a refusal at any time.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from pushcast.cli.client import Body, Client
from pushcast.cli.failure import Refused, Unreachable

PATH = "/v1/events"
MAX_EVENT_BYTES = 1 << 20  # an event has some 300 bytes; more than that at once is no event of ours
PAUSE_S = 0.5  # before the first attempt to connect again; doubled after each up to
LONGEST_PAUSE_S = 10.0

_LINE_END = re.compile(rb"\r\n|\n|\r")


@dataclass(frozen=True, slots=True)
class Event:
    """One event: its name and its data."""

    name: str
    data: str


class EventReader:
    """Reads the events of one connection; ``last_id`` is that of the last event that was complete."""

    def __init__(self, last_id: str = "") -> None:
        self.last_id = last_id
        self._id = last_id
        self._name = ""
        self._data: list[str] = []
        self._data_bytes = 0
        self._rest = b""

    def feed(self, content: bytes) -> list[Event]:
        """The events that are complete with ``content``.  :raises Refused: more bytes than any event has."""
        content = self._rest + content
        events = []
        at = 0
        while (end := _LINE_END.search(content, at)) is not None:
            if end[0] == b"\r" and end.end() == len(content):
                break  # its line feed may be on the way
            event = self._take_line(content[at : end.start()])
            if event is not None:
                events.append(event)
            at = end.end()
        self._rest = content[at:]
        if len(self._rest) + self._data_bytes > MAX_EVENT_BYTES:
            raise Refused(f"found an event of more than {MAX_EVENT_BYTES} bytes, allowed: less")
        return events

    def _take_line(self, line: bytes) -> Event | None:
        if not line:
            return self._complete()
        name, _, value = line.decode(errors="replace").partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            self._name = value
        elif name == "data":
            self._data.append(value)
            self._data_bytes += len(line)
        elif name == "id" and "\0" not in value:
            self._id = value
        return None

    def _complete(self) -> Event | None:
        self.last_id = self._id
        event = Event(self._name or "message", "\n".join(self._data)) if self._data else None
        self._name, self._data, self._data_bytes = "", [], 0
        return event


def follow(client: Client, on_lost: Callable[[str], None]) -> Iterator[Event]:
    """Events without end; ``on_lost`` hears why a connection ended.

    :raises Unreachable: the first connection failed.  :raises Refused: the server said no.
    """
    body = client.stream(PATH, {})
    last_id = ""
    while True:
        reader = EventReader(last_id)
        why = f"{client.url} ended the events"
        try:
            while content := body.read():
                yield from reader.feed(content)
        except Unreachable as error:
            why = str(error)
        finally:
            body.close()
        last_id = reader.last_id
        on_lost(why)
        body = _open_again(client, last_id)


def _open_again(client: Client, last_id: str) -> Body:
    pause_s = PAUSE_S
    while True:
        time.sleep(pause_s)
        try:
            return client.stream(PATH, {"Last-Event-ID": last_id.encode()} if last_id else {})
        except Unreachable:
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
