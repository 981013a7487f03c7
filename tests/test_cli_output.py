"""What the command line makes of values: tables that fit, short times and sizes, events out of bytes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime

import pytest
from rich.cells import cell_len

from pushcast.cli.client import undecorated
from pushcast.cli.credentials import find_token
from pushcast.cli.events import MAX_EVENT_BYTES, Event, EventReader
from pushcast.cli.failure import Refused
from pushcast.cli.output import Column, cut, field_lines, table
from pushcast.cli.push_view import shown_url
from pushcast.cli.server_url import ServerUrl, parse_server_url
from pushcast.cli.units import bit_rate, duration, short_time, size

NOW = datetime(2026, 3, 4, 12, 0)


@pytest.fixture
def _zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two hours east of Greenwich, three in summer."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "EET-2EEST,M3.5.0/3,M10.5.0/4")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("2026-03-04T07:08:09.5+00:00", "09:08:09"),
        ("2026-03-03T23:08:09Z", "01:08:09"),  # today in the zone of whoever reads
        ("2026-03-03T07:08:09+00:00", "03-03 09:08"),
        ("2026-07-03T07:08:09+00:00", "07-03 10:08"),
        ("2025-12-31T23:59:00+02:00", "2025-12-31"),
        ("1970-01-01T09:00:00.000+09:00", "-"),
        ("0001-01-01T00:00:00+23:00", "-"),
        ("yesterday", "-"),
        (1772600000, "-"),
        (None, "-"),
    ],
)
@pytest.mark.usefixtures("_zone")
def test_times_are_short(value: object, shown: str) -> None:
    assert short_time(value, NOW) == shown


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (999_949, "999.9 kB"),
        (999_950, "1.0 MB"),
        (12_345_678, "12.3 MB"),
        (10**12, "1.0 TB"),
        (10**24, "1000000.0 EB"),
        (-1, "-"),
        ("7", "-"),
    ],
)
def test_sizes(value: object, shown: str) -> None:
    assert size(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(0, "0:00:00"), (59_999, "0:00:59"), (3_723_000, "1:02:03"), (360_000_000, "100:00:00")]
)
def test_durations(value: int, shown: str) -> None:
    assert duration(value) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(0, "-"), (64_000, "64 kbit/s"), (999_499, "999 kbit/s"), (999_500, "1.0 Mbit/s"), ("x", "-")]
)
def test_bit_rates(value: object, shown: str) -> None:
    assert bit_rate(value) == shown


@pytest.mark.parametrize(
    ("text", "room", "shown"),
    [
        ("rtmp://h/app", 12, "rtmp://h/app"),
        ("rtmp://h.example/app", 11, "rtmp:…e/app"),
        ("abcdef", 4, "a…ef"),
        ("日本語日本語", 12, "日本語日本語"),
        ("日本語日本語", 6, "日…語"),
    ],
)
def test_what_is_too_long_is_cut_in_the_middle(text: str, room: int, shown: str) -> None:
    found = cut(text, room)
    assert found.replace(" ", "") == shown
    assert cell_len(found) <= room


COLUMNS = (Column("NAME", shrinks=True), Column("SIZE", right=True), Column("WHERE", shrinks=True), Column("STATE"))


@pytest.mark.parametrize("room", [40, 60, 80, 200])
def test_tables_fit(room: int) -> None:
    rows = [
        ["short", "1 B", "x", "ready"],
        ["n" * 90, "123.4 MB", "w" * 500, "connecting"],
        ["日本" * 30, "0 B", "a\x1b[2Jb", ""],
    ]
    lines = table(COLUMNS, rows, room, colour=False)
    assert len(lines) == 4
    assert all(cell_len(line) <= room and line == line.rstrip() and line.isprintable() for line in lines)
    assert lines[2].index("123.4 MB") == lines[1].index("1 B") - 5


def test_only_states_are_coloured() -> None:
    columns = (Column("STATE", colours={"error": "red"}), Column("NAME"))
    lines = table(columns, [["error", "error"], ["ready", "x"]], 80, colour=True)
    assert lines == ["STATE  NAME", "\x1b[31merror\x1b[0m  error", "ready  x"]


def test_fields_wrap_sentences_and_cut_words() -> None:
    lines = field_lines([("id", "p"), ("reason", "many words " * 9), ("url", "u" * 99), ("none", "")], 40)
    assert lines[0] == "id      p"
    assert all(len(line) <= 40 for line in lines)
    assert " ".join("".join(f" {line[8:]}" for line in lines[1:-2]).split()) == " ".join(["many words"] * 9)
    assert "…" in lines[-2]
    assert lines[-1] == "none"


@pytest.mark.parametrize(
    ("push", "shown"),
    [
        ({"protocol": "rtmp", "url": "rtmp://h/app", "streamKey": "k1"}, "rtmp://h/app"),
        ({"protocol": "rtmp", "url": "rtmp://h/app?auth=k2&x=k3", "streamKey": "k1"}, "rtmp://h/app?***"),
        ({"protocol": "rtmp", "url": "rtmp://h/app/inst/k2?x=k3"}, "rtmp://h/app/inst/***"),
        ({"protocol": "srt", "url": "srt://h:9?latency=7&streamid=k1&key=k2"}, "srt://h:9?latency=7&streamid=***"),
        ({"protocol": "mpegts", "url": "udp://239.1.1.1:5?ttl=2"}, "udp://239.1.1.1:5?ttl=2"),
        ({"protocol": "rtmp"}, "-"),
        ({}, "-"),
    ],
)
def test_urls_are_shown_without_secrets(push: dict[str, str], shown: str) -> None:
    found = shown_url(push)
    assert found.startswith(shown)
    assert not any(secret in found for secret in ("k1", "k2", "k3"))


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("[HTTP] Duplicate ID (409)", "Duplicate ID"),
        ("[HTTP] a (b)\n c (400)", "a (b) c"),
        ("no decoration (400)", "no decoration (400)"),
        ("[HTTP] half", "[HTTP] half"),
    ],
)
def test_refusals_lose_their_decoration(message: str, shown: str) -> None:
    assert undecorated(message) == shown


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://h.example", ServerUrl("http://h.example", False, "h.example", 80, "")),
        ("https://[2001:db8::7]/", ServerUrl("https://[2001:db8::7]", True, "2001:db8::7", 443, "")),
        ("http://localhost:18081/cast/", ServerUrl("http://localhost:18081/cast", False, "localhost", 18081, "/cast")),
    ],
)
def test_urls_of_servers(text: str, url: ServerUrl) -> None:
    assert parse_server_url(text) == url


@pytest.mark.parametrize(
    "text", ["", "h:8081", "//h", "http://", "http://h?q", "http://h#f", "http://h/a b", "http://h:x", "http://[::1"]
)
def test_other_urls_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="allowed: http://host"):
        parse_server_url(text)


@pytest.mark.parametrize(
    ("url", "own"),
    [
        ("http://127.9.9.9:1", True),
        ("http://[::1]", True),
        ("https://localhost", True),
        ("http://192.0.2.1", False),
        ("http://h", False),
    ],
)
def test_the_token_of_this_machine_stays_on_it(monkeypatch: pytest.MonkeyPatch, url: str, own: bool) -> None:
    monkeypatch.setenv("PUSHCAST_API__ACCESS_TOKEN", "of-this-machine")
    assert find_token("", parse_server_url(url)).secret == ("of-this-machine" if own else "")
    assert find_token("given", parse_server_url(url)).secret == "given"
    assert "of-this-machine" not in repr(find_token("", parse_server_url(url)))


# (bytes, events, last id)
STREAMS = [
    (b"event: push\nid: 5\ndata: {}\n\n", [Event("push", "{}")], "5"),
    (b"data:a\r\ndata:  b\r\n\r\n: comment\r\n\r\n", [Event("message", "a\n b")], ""),
    (b"id: 1\rdata: x\r\rid\ndata\n\n", [Event("message", "x"), Event("message", "")], ""),
    (b"event: no data\nid: 8\n\nretry: 10\nunknown: y\ndata: \xff\n\n", [Event("message", "\ufffd")], "8"),
    (b"id: a\x00b\ndata: x\n\n", [Event("message", "x")], ""),
    (b"id: 6\ndata: x\n\nid: 7\ndata: not complete\n", [Event("message", "x")], "6"),
]


@pytest.mark.parametrize(("content", "events", "last_id"), STREAMS)
def test_events_come_whole_and_byte_by_byte(content: bytes, events: list[Event], last_id: str) -> None:
    whole = EventReader()
    assert (whole.feed(content), whole.last_id) == (events, last_id)
    single = EventReader()
    found = [event for byte in content for event in single.feed(bytes([byte]))]
    assert (found, single.last_id) == (events, last_id)


@pytest.mark.parametrize("content", [b"x" * (1 << 18), b"data: " + b"x" * (1 << 18) + b"\n"])
def test_an_event_without_end_is_refused(content: bytes) -> None:
    reader = EventReader()
    for _ in range(MAX_EVENT_BYTES // len(content)):
        reader.feed(content)
    with pytest.raises(Refused, match=f"more than {MAX_EVENT_BYTES} bytes"):
        reader.feed(content)
