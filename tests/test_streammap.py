"""Automatic pushes: what a rule matches and makes, what a file may say, and pushes that follow streams and edits."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Callable
from itertools import count
from pathlib import Path

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st
from live import Engine, LiveStream, UdpSink, settings, until, within

from pushcast import streammap as streammap_module
from pushcast.config_sections import App
from pushcast.errors import ConfigError, InvalidRequest
from pushcast.push import PushState
from pushcast.scheduler import Scheduler
from pushcast.streammap import StreamMap
from pushcast.streammap_file import MAX_FILE_BYTES, MAX_RULES, Reading, read_stream_map
from pushcast.streammap_rule import Rule, configured_rules, match, named

STREAM_MACROS = "macros ${Application}, ${Stream}, ${SourceStream}"


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    monkeypatch.setattr(logging.getLogger("pushcast"), "propagate", True)
    caplog.set_level(logging.WARNING)
    return caplog


def rule(**more: object) -> Rule:
    texts: dict[str, object] = {
        "place": "PLACE",
        "number": 4,
        "id": "r",
        "stream": "*",
        "protocol": "rtmp",
        "url": "rtmp://192.0.2.9/live",
    }
    return Rule(**(texts | more))  # type: ignore[arg-type]


# -- patterns

MATCHES = [
    ("show", "show", True),
    ("show", "Show", False),
    ("show", "show2", False),
    ("show", "ashow", False),
    ("*", "x", True),
    ("*", "a/b?c(d)]\n", True),
    ("show_*", "show_", True),
    ("show_*", "show_1*2", True),
    ("show_*", "xshow_1", False),
    ("*_720p", "show_720p", True),
    ("*_720p", "show_720p_", False),
    ("a*b*c", "a-b-b-c", True),
    ("a*b*c", "acb", False),
    ("**", "", True),
    ("cam?", "cam", True),
    ("cam?", "cam7", True),
    ("cam?", "cam77", False),
    ("cam??", "cam7", True),
    ("?am", "am", True),
    ("?am", "cam", True),
    ("?am", "ccam", False),
    ("?", "", True),
    ("*?x", "x", True),
    ("(a|b)", "(a|b)", True),
    ("(a|b)", "a", False),
    ("[ab]", "[ab]", True),
    ("[ab]", "a", False),
    ("a.b+", "a.b+", True),
    ("a.b", "axb", False),
    ("\\d^$", "\\d^$", True),
    ("\\d", "5", False),
    ("übung*", "übung1", True),
    ("${SourceStream}", "any", True),
    ("${SourceStream}", "a*(?", True),
    ("${SourceStream}_2", "any", False),
    ("*${SourceStream}", "any", True),
    ("${SourceStream}${SourceStream}", "any", False),
]


@pytest.mark.parametrize(("pattern", "name", "fits"), MATCHES)
def test_patterns(pattern: str, name: str, fits: bool) -> None:
    assert match(pattern, name, name) is fits


def test_the_source_stream_of_an_output_is_another_name() -> None:
    assert match("${SourceStream}_hd", "cam_hd", "cam")
    assert not match("${SourceStream}", "cam_hd", "cam")
    made = rule(stream_key="${SourceStream}/${Stream}").settings("v", "a", "cam_hd", "cam")
    assert made.stream_key == "cam/cam_hd"


def plain_match(pattern: str, name: str) -> bool:
    """The definition, word for word."""
    if not pattern:
        return not name
    if pattern[0] == "*":
        return any(plain_match(pattern[1:], name[skipped:]) for skipped in range(len(name) + 1))
    if pattern[0] == "?" and plain_match(pattern[1:], name):
        return True
    return bool(name) and pattern[0] in ("?", name[0]) and plain_match(pattern[1:], name[1:])


@given(st.text("ab*?", max_size=8), st.text("ab*?", max_size=8))
def test_patterns_mean_what_they_are_defined_to(pattern: str, name: str) -> None:
    assert match(pattern, name, name) is plain_match(pattern, name)


def test_a_pattern_of_many_wildcards_costs_no_time() -> None:
    start = time.process_time()
    assert not match("*a" * 127, "a" * 200 + "b" * 55, "a")
    assert not match("?" * 120 + "*" * 120 + "c", "b" * 255, "b")
    assert time.process_time() - start < 0.5


# -- macros

FILLED = [  # url, key, name, url of the push, its key
    ("rtmp://192.0.2.9/${Application}", "${Stream}", "show", "rtmp://192.0.2.9/a", "show"),
    ("rtmp://${Application}.example.com/x", "k-${SourceStream}-${Stream}", "s1", "rtmp://a.example.com/x", "k-s1-s1"),
    ("rtmp://192.0.2.9/${Stream}/x", "k", "a/../b@[c]:9", "rtmp://192.0.2.9/a%2F..%2Fb%40%5Bc%5D%3A9/x", "k"),
    ("rtmp://192.0.2.9/x?n=${Stream}", "k", "a&b=c#d?e", "rtmp://192.0.2.9/x?n=a%26b%3Dc%23d%3Fe", "k"),
    ("rtmp://192.0.2.9/${Stream}", "k", "ü %41+", "rtmp://192.0.2.9/%C3%BC%20%2541%2B", "k"),
    ("rtmp://192.0.2.9/${Stream}", "k", "A-z_0.9~", "rtmp://192.0.2.9/A-z_0.9~", "k"),
    ("rtmp://192.0.2.9/x", "${Stream}", "a?b=c&d/ü", "rtmp://192.0.2.9/x", "a?b=c&d/ü"),
    (
        "rtmp://192.0.2.9/${Stream}",
        "${Stream}",
        "${Application}",
        "rtmp://192.0.2.9/%24%7BApplication%7D",
        "${Application}",
    ),
    ("rtmp://192.0.2.9/${Stream}", "k", "a\nb\x00", "rtmp://192.0.2.9/a%0Ab%00", "k"),
    ("rtmp://192.0.2.9/${Stream}", "k", "\ud800", "rtmp://192.0.2.9/%3F", "k"),
]


@pytest.mark.parametrize(("url", "key", "name", "pushed_url", "pushed_key"), FILLED)
def test_macros(url: str, key: str, name: str, pushed_url: str, pushed_key: str) -> None:
    made = rule(url=url, stream_key=key, variant_names=("hd", "sd")).settings("v", "a", name, name)
    assert (made.url, made.stream_key) == (pushed_url, pushed_key)
    assert (made.id, made.stream, made.variant_names, made.is_config) == (
        f"r:{name}",
        ("v", "a", name),
        ("hd", "sd"),
        True,
    )


def test_a_name_is_one_option_of_a_url() -> None:
    hostile = "s&passphrase=0123456789&latency=1#"
    made = rule(protocol="srt", url="srt://192.0.2.9:9000?streamid=${Stream}&latency=300000").settings(
        "v", "a", hostile, hostile
    )
    options = made.target.options  # type: ignore[attr-defined]
    assert options.get("streamid") == hostile.encode()
    assert (options.latency_ms, options.encrypted, made.target.host, made.target.port) == (
        300,
        False,
        "192.0.2.9",
        9000,
    )


@pytest.mark.parametrize("name", ["a\nb", "a\x00", "\x1b[2J", "a\u2028b"])
def test_a_key_takes_no_control_characters(name: str) -> None:
    with pytest.raises(InvalidRequest, match="Could not parse streamKey: a name in it holds a control character"):
        rule(stream_key="swordfish-${Stream}", protocol="srt", url="srt://192.0.2.9:9000").settings(
            "v", "a", name, name
        )


# -- ids


def test_rules_without_an_id_are_called_by_their_place() -> None:
    rules = [
        rule(number=1, id=""),
        rule(number=2, id="map-3"),
        rule(number=3, id="", stream="x"),
        rule(number=5, id=""),
    ]
    assert [each.id for each in named(rules, "map", {"map-5"})] == ["map-1", "map-3", "map-4", "map-6"]


def test_rules_keep_their_ids_when_they_move() -> None:
    before = named([rule(number=n, id="", stream=name) for n, name in enumerate(["a", "b", "b", "c"], 1)], "map")
    assert [each.id for each in before] == ["map-1", "map-2", "map-3", "map-4"]
    moved = [rule(number=n, id="", stream=name) for n, name in enumerate(["new", "b", "b", "c", "b"], 1)]
    assert [each.id for each in named(moved, "map", before=before)] == ["map-1", "map-2", "map-3", "map-4", "map-5"]
    moved = [rule(number=n, id="", stream=name) for n, name in enumerate(["new", "newer", "c", "a"], 1)]
    assert [each.id for each in named(moved, "map", before=before)] == ["map-2", "map-3", "map-4", "map-1"]
    (taken,) = named([rule(number=1, id="", stream="a")], "map", {"map-1"}, before)
    assert taken.id == "map-2"


# -- the configuration


def app(*pushes: dict[str, object]) -> App:
    return App.model_validate({"name": "a", "pushes": pushes})


def test_rules_of_the_configuration() -> None:
    configured = app(
        {"stream": "off", "protocol": "?", "url": "?", "enable": False},
        {"stream": "cam*", "protocol": "SRT", "url": " srt://192.0.2.9:9000 ", "variant_names": ["hd"]},
        {"id": "event", "stream": "*", "protocol": "rtmp", "url": "rtmp://192.0.2.9/live", "stream_key": "swordfish"},
    )
    first, second = configured_rules(configured, "vhosts[2].apps[1]")
    assert (first.id, first.protocol, first.url, first.variant_names) == (
        "config-2",
        "srt",
        "srt://192.0.2.9:9000",
        ("hd",),
    )
    assert (second.id, second.stream_key, second.place) == ("event", "swordfish", "vhosts[2].apps[1].pushes[2]")
    assert "swordfish" not in repr(second)


GOOD: dict[str, object] = {"stream": "*", "protocol": "rtmp", "url": "rtmp://192.0.2.9/live", "stream_key": "k"}


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"protocol": "hls"}, 'P.pushes[0].protocol: found "hls", allowed: rtmp or srt or mpegts'),
        (
            {"stream": "${Stream}"},
            "P.pushes[0].stream: found an unknown macro, allowed: a stream name with * and ? as wildcards, of 1 to 255 "
            "characters; macros ${SourceStream}",
        ),
        ({"url": ""}, f"P.pushes[0].url: found nothing, allowed: a URL of 1 to 4096 characters; {STREAM_MACROS}"),
        (
            {"stream_key": "a\tb"},
            "P.pushes[0].stream_key: found a character that is not printable, allowed: a text of 0 to 4096 characters; "
            + STREAM_MACROS,
        ),
    ],
)
def test_a_wrong_rule_of_the_configuration_is_one_sentence(wrong: dict[str, object], sentence: str) -> None:
    with pytest.raises(ConfigError) as error:
        configured_rules(app(GOOD | wrong), "P")
    assert str(error.value) == sentence


def test_an_id_stands_once_in_the_configuration_of_an_app() -> None:
    with pytest.raises(ConfigError, match=r'^P\.pushes\[1\]\.id: found "x" a second time, allowed: each push id once$'):
        configured_rules(app(GOOD | {"id": "x"}, GOOD | {"id": "x"}), "P")


# -- the file


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "map.xml"


def item(**elements: str) -> str:
    given = {"Enable": "true", "StreamName": "*", "Protocol": "rtmp", "Url": "rtmp://192.0.2.9/live", "StreamKey": "k"}
    return "<Push>" + "".join(f"<{name}>{text}</{name}>" for name, text in (given | elements).items()) + "</Push>"


def read(path: Path, text: str | bytes, taken: tuple[str, ...] = ()) -> Reading:
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_stream_map(path, taken)


def test_a_file_as_operators_have_it() -> None:
    path = Path(__file__).parent / "data" / "streammap.xml"
    found = read_stream_map(path)
    assert found.problems == ()
    studio, platform = found.rules
    assert (studio.id, studio.stream, studio.variant_names, studio.protocol) == (
        "studio",
        "show_*",
        ("hd", "sd"),
        "srt",
    )
    assert studio.url == "srt://192.0.2.5:9000?streamid=${Application}/${Stream}&latency=200000"
    assert (platform.id, platform.number, platform.place) == ("", 3, f"{path}: Push 3")
    assert (platform.url, platform.variant_names) == ("rtmp://a.rtmp.example.com/live2", ())
    assert platform.stream_key == "prefix-${SourceStream}"
    assert platform.matches("whatever", "whatever")


LONG = "x" * 4097
WRONG_ITEMS = [
    (item(Enable="True"), ['Enable: found "True", allowed: true or false']),
    (item(Enable=""), ["Enable: found nothing, allowed: true or false"]),
    ("<Push><Url>x</Url></Push>", ["Enable: found nothing, allowed: true or false"]),
    ("<Push/>", ["Enable: found nothing, allowed: true or false"]),
    (
        item(StreamName=" "),
        [
            "StreamName: found nothing, allowed: a stream name with * and ? as wildcards, of 1 to 255 characters; "
            "macros ${SourceStream}"
        ],
    ),
    (
        item(StreamName="s" * 256),
        [
            "StreamName: found 256 characters, allowed: a stream name with * and ? as wildcards, "
            "of 1 to 255 characters; macros ${SourceStream}"
        ],
    ),
    (item(Protocol="hls&#9;x"), ['Protocol: found "hls\\tx", allowed: rtmp or srt or mpegts']),
    (item(Protocol=""), ["Protocol: found nothing, allowed: rtmp or srt or mpegts"]),
    (item(Url=""), [f"Url: found nothing, allowed: a URL of 1 to 4096 characters; {STREAM_MACROS}"]),
    (item(Url=LONG), [f"Url: found 4097 characters, allowed: a URL of 1 to 4096 characters; {STREAM_MACROS}"]),
    (
        item(Url="rtmp://h/a&#10;b"),
        [f"Url: found a character that is not printable, allowed: a URL of 1 to 4096 characters; {STREAM_MACROS}"],
    ),
    (
        item(Url="rtmp://192.0.2.9/${Name}"),
        [f"Url: found an unknown macro, allowed: a URL of 1 to 4096 characters; {STREAM_MACROS}"],
    ),
    (item(Url="swordfish"), ["Url: found a text without a scheme (Could not parse url), allowed: a URL for rtmp"]),
    (
        item(Protocol="srt", Url="http://user:swordfish@h:444/swordfish?swordfish"),
        ['Url: found "http://h:444/***" (Could not parse url), allowed: a URL for srt'],
    ),
    (
        item(Protocol="srt", Url="srt://192.0.2.9?streamid=swordfish"),
        [
            'Url: found "srt://192.0.2.9/***" (Could not parse url: srt needs a port, srt://host:port), '
            "allowed: a URL for srt"
        ],
    ),
    *(
        (
            item(Url=url, Protocol="mpegts"),
            [
                "Url: found a stream's name in scheme, host or port, "
                "allowed: ${Stream} and ${SourceStream} behind them only"
            ],
        )
        for url in (
            "udp://${Stream}:1234",
            "udp://a.${SourceStream}?x",
            "udp://192.0.2.9:${Stream}",
            "${Stream}://h:1",
            "${Stream}",
            "udp:${Stream}",
            "udp://h:1${Stream}",
        )
    ),
    (
        item(StreamKey="swordfish&#133;x"),
        [
            "StreamKey: found a character that is not printable, allowed: a text of 0 to 4096 characters; "
            + STREAM_MACROS
        ],
    ),
    (item(StreamKey="<b>swordfish</b>"), ['StreamKey: found an element "b" in it, allowed: one, with text only']),
    (
        item().replace("</Push>", "<Url>rtmp://h/swordfish</Url></Push>"),
        ["Url: found a second one, allowed: one, with text only"],
    ),
    (
        item(StreamName="", Protocol="x", Url="${x}"),
        [
            "StreamName: found nothing, allowed: a stream name with * and ? as wildcards, of 1 to 255 characters; "
            "macros ${SourceStream}",
            f"Url: found an unknown macro, allowed: a URL of 1 to 4096 characters; {STREAM_MACROS}",
            'Protocol: found "x", allowed: rtmp or srt or mpegts',
        ],
    ),
]


@pytest.mark.parametrize(("wrong", "sentences"), WRONG_ITEMS)
def test_a_wrong_item_is_told_and_the_others_work(path: Path, wrong: str, sentences: list[str]) -> None:
    found = read(path, f"<PushInfo>{item(Id='first')}{wrong}{item(Id='third')}</PushInfo>")
    assert [each.id for each in found.rules] == ["first", "third"]
    assert list(found.problems) == [f"{path}: Push 2: {sentence}" for sentence in sentences]
    assert "swordfish" not in "".join(found.problems)


def test_what_is_unknown_is_told_and_ignored(path: Path) -> None:
    push = item(Timestamps="zero").replace("<Push>", '<Push enable="no">')
    found = read(path, f"<PushInfo><Pull/>{push}</PushInfo>")
    assert len(found.rules) == 1
    known = "Enable, Id, StreamName, VariantNames, Protocol, Url, StreamKey"
    assert list(found.problems) == [
        f'{path}: PushInfo: found an element "Pull", allowed: Push',
        f'{path}: Push 1: "Timestamps": found an unknown element (it is ignored), allowed: {known}',
    ]


def test_an_id_that_cannot_count_does_not_cost_the_rule(path: Path) -> None:
    ids = ["a", "a", "b:c", "config-1", "d"]
    found = read(path, f"<PushInfo>{''.join(item(Id=each) for each in ids)}</PushInfo>", taken=("config-1",))
    assert [each.id for each in found.rules] == ["a", "", "", "", "d"]
    assert list(found.problems) == [
        f'{path}: Push 2: Id: found "a" a second time (it is ignored), allowed: each id once in its app',
        f'{path}: Push 3: Id: found "b:c" (it is ignored), allowed: '
        "1 to 128 characters, none of them a colon or a control character",
        f'{path}: Push 4: Id: found "config-1" a second time (it is ignored), allowed: each id once in its app',
    ]


BOMB = '<!DOCTYPE PushInfo [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]><PushInfo>&b;</PushInfo>'
NO_FILES = [
    (b"", "found no valid XML (no element found: line 1, column 0), allowed: XML 1.0"),
    (b"<PushInfo><Push>", "found no valid XML (no element found: line 1, column 16), allowed: XML 1.0"),
    (b"<PushInfo></Push>", "found no valid XML (mismatched tag: line 1, column 12), allowed: XML 1.0"),
    (b"<PushInfo>&a;</PushInfo>", "found no valid XML (undefined entity"),
    (b"<PushInfo>\xff</PushInfo>", "found no valid XML ("),
    (b'<?xml version="1.0" encoding="klingon"?><PushInfo/>', "found no valid XML ("),
    (b'<?xml version="1.0" encoding="utf-7"?><PushInfo/>', "found no valid XML ("),
    (bytes(range(256)), "found no valid XML ("),
    (b"<Server/>", 'found the root "Server", allowed: PushInfo'),
    (b'<PushInfo xmlns="x"/>', 'found the root "{x}PushInfo", allowed: PushInfo'),
    (BOMB.encode(), "found a document type declaration, allowed: XML without one"),
    (b"<!DOCTYPE PushInfo><PushInfo/>", "found a document type declaration, allowed: XML without one"),
    (
        b'<!DOCTYPE PushInfo SYSTEM "file:///etc/passwd"><PushInfo/>',
        "found a document type declaration, allowed: XML without one",
    ),
    (
        b'<!DOCTYPE p [<!ENTITY e SYSTEM "file:///etc/passwd">]><p>&e;</p>',
        "found a document type declaration, allowed: XML without one",
    ),
    (
        b"<PushInfo>" + b" " * MAX_FILE_BYTES,
        f"found more than {MAX_FILE_BYTES} bytes, allowed: a file of at most that size",
    ),
    (
        b"<PushInfo>" + b"<Push/>" * (MAX_RULES + 1) + b"</PushInfo>",
        f"found {MAX_RULES + 1} Push items, allowed: up to {MAX_RULES}",
    ),
    (b"<a>" * (MAX_FILE_BYTES // 3), "found no valid XML (no element found: line 1, column 1048575), allowed: XML 1.0"),
]


@pytest.mark.parametrize(("content", "sentence"), NO_FILES, ids=range(len(NO_FILES)))
def test_what_is_no_map_is_refused_in_one_sentence(path: Path, content: bytes, sentence: str) -> None:
    with pytest.raises(ConfigError) as error:
        read(path, content)
    told = str(error.value)
    assert told.startswith(f"{path}: {sentence}")
    assert told.isprintable()
    assert len(told) < 300 + len(str(path))


def test_a_deep_file_within_the_bounds_is_read(path: Path) -> None:
    depth = 40_000
    found = read(path, f"<PushInfo>{item(StreamKey='<a>' * depth + '</a>' * depth)}{item(Id='b')}</PushInfo>")
    assert [each.id for each in found.rules] == ["b"]


def test_a_file_with_as_much_as_is_allowed(path: Path) -> None:
    items = "".join(item(Id=f"n{number}") for number in range(MAX_RULES))
    assert len(read(path, f"<PushInfo>{items}</PushInfo>".ljust(MAX_FILE_BYTES)).rules) == MAX_RULES


@pytest.mark.parametrize("kind", ["absent", "folder", "pipe", "device"])
def test_what_cannot_be_read_is_told(path: Path, kind: str) -> None:
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    with pytest.raises(ConfigError) as error:
        read_stream_map(path)
    expected = {"absent": "cannot be read: No such file or directory", "folder": "cannot be read: Is a directory"}
    assert str(error.value) == f"{path}: {expected.get(kind, 'found a device or a pipe, allowed: a file')}"


def told_about(path: Path, content: bytes) -> list[str]:
    try:
        return list(read(path, content).problems)
    except ConfigError as error:
        return [str(error)]


@given(st.binary(max_size=200))
def test_hostile_bytes_cost_sentences_only(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "hostile.xml"
    for text in (content, b"<PushInfo><Push>" + content + b"</Push></PushInfo>"):
        assert all(sentence.isprintable() for sentence in told_about(path, text))


# -- streams and edits


@pytest_asyncio.fixture
async def port() -> AsyncIterator[int]:
    sink = UdpSink()
    yield await sink.open()
    sink.close()


_writes = count(1)


def write(path: Path, *items: str, end: str = "</PushInfo>") -> None:
    """As an editor does; two writes never have the same time."""
    path.write_text("<PushInfo>" + "".join(items) + end)
    os.utime(path, ns=(next(_writes) * 10**9,) * 2)


def udp(port: int, **elements: str) -> str:
    return item(**({"Protocol": "mpegts", "Url": f"udp://127.0.0.1:{port}", "StreamKey": ""} | elements))


def mapped(world: Engine, *rules: Rule, path: Path | None = None) -> StreamMap:
    built = StreamMap(world.registry, world.scheduler, "v", "a", rules, path)
    world.registry.subscribe(built)
    return built


def ids(scheduler: Scheduler) -> list[str]:
    return [push.settings.id for push in scheduler.pushes("v", "a")]


def live(world: Engine, name: str) -> LiveStream:
    stream = LiveStream(world.registry, name)
    stream.up()
    stream.feed(30)
    return stream


async def pushing(world: Engine, push_id: str) -> None:
    push = world.scheduler.get("v", "a", push_id)
    assert push is not None
    await until(lambda: push.state is PushState.PUSHING)


async def test_a_stream_gets_its_pushes_and_takes_them_along(world: Engine, port: int) -> None:
    url = f"udp://127.0.0.1:{port}"
    mapped(
        world,
        rule(id="all", protocol="mpegts", url=url),
        rule(id="shows", stream="show*", protocol="mpegts", url=url + "?x=${Stream}"),
        rule(id="cams", stream="cam*", protocol="mpegts", url=url),
    )
    assert ids(world.scheduler) == []
    for _ in range(2):
        show, cam = live(world, "show1"), live(world, "cam1")
        assert ids(world.scheduler) == ["all:cam1", "all:show1", "cams:cam1", "shows:show1"]
        assert all(push.settings.is_config for push in world.scheduler.pushes("v", "a"))
        await pushing(world, "shows:show1")
        show.down()
        assert ids(world.scheduler) == ["all:cam1", "cams:cam1"]
        cam.down()
        assert ids(world.scheduler) == []


async def test_streams_of_other_apps_are_not_looked_at(world: Engine, port: int) -> None:
    other = StreamMap(
        world.registry, world.scheduler, "v", "b", [rule(protocol="mpegts", url=f"udp://127.0.0.1:{port}")], None
    )
    world.registry.subscribe(other)
    live(world, "s")
    assert world.scheduler.pushes("v", "a") == world.scheduler.pushes("v", "b") == []


async def test_what_the_api_did_is_left_alone(world: Engine, port: int, lines: pytest.LogCaptureFixture) -> None:
    url = f"udp://127.0.0.1:{port}"
    mapped(world, rule(id="r", protocol="mpegts", url=url), rule(id="q", protocol="mpegts", url=url))
    theirs = world.scheduler.start(settings("r:s", url, stream="other"))
    first = live(world, "s")
    assert ids(world.scheduler) == ["q:s", "r:s"]
    assert [record.getMessage() for record in lines.records] == [
        "stream map v/a: push r:s is not started: Duplicate ID"
    ]
    world.scheduler.stop("v", "a", "q:s")
    also_theirs = world.scheduler.start(settings("q:s", url, stream="other"))
    first.down()
    assert world.scheduler.pushes("v", "a") == [also_theirs, theirs]
    world.scheduler.stop("v", "a", "q:s")
    live(world, "s").down()
    assert world.scheduler.pushes("v", "a") == [theirs]


async def test_a_rule_that_makes_no_push_of_a_name_costs_one_line(
    world: Engine, port: int, lines: pytest.LogCaptureFixture
) -> None:
    mapped(
        world,
        rule(id="long", protocol="srt", url="srt://192.0.2.9:9000?passphrase=swordfish1&latency=${Stream}"),
        rule(id="key", stream_key="swordfish${Stream}"),
        rule(id="good", protocol="mpegts", url=f"udp://127.0.0.1:{port}"),
    )
    live(world, "bad\x1b\n")
    assert ids(world.scheduler) == ["good:bad\x1b\n"]
    assert [record.getMessage() for record in lines.records] == [
        "stream map v/a: PLACE: stream bad\\x1b\\n gets no push: Option latency: found 'bad\\x1b\\n', "
        "allowed 0us..65535000us, a number without suffix counts in us",
        "stream map v/a: PLACE: stream bad\\x1b\\n gets no push: "
        "Could not parse streamKey: a name in it holds a control character",
    ]


async def test_edits_are_followed(world: Engine, port: int, path: Path) -> None:
    write(path, udp(port, StreamName="s*", Id="kept"), udp(port), udp(port, Id="gone"), udp(port, Id="changed"))
    follower = mapped(world, path=path)
    stream = live(world, "s1")
    assert ids(world.scheduler) == []
    await follower.check()
    assert ids(world.scheduler) == ["changed:s1", "gone:s1", "kept:s1", "map-2:s1"]
    for push_id in ids(world.scheduler):
        await pushing(world, push_id)
    before = {push.settings.id: push for push in world.scheduler.pushes("v", "a")}

    write(
        path,
        udp(port, StreamName="?1", Id="new"),
        udp(port, Enable="false", Id="gone"),
        udp(port, Id="changed", VariantNames="cam"),
        udp(port),
        udp(port, StreamName="s?", Id="kept"),
    )
    await follower.check()
    after = {push.settings.id: push for push in world.scheduler.pushes("v", "a")}
    assert sorted(after) == ["changed:s1", "kept:s1", "map-2:s1", "new:s1"]
    for push_id in ("kept:s1", "map-2:s1"):
        assert after[push_id] is before[push_id]
        assert (after[push_id].state, after[push_id].sequence) == (PushState.PUSHING, 0)
    assert after["changed:s1"] is not before["changed:s1"]
    assert after["changed:s1"].settings.variant_names == ("cam",)
    await until(lambda: before["gone:s1"].state is PushState.STOPPED)
    await pushing(world, "changed:s1")

    write(path)
    await follower.check()
    assert ids(world.scheduler) == []
    stream.down()


async def test_a_push_that_the_api_stopped_stays_so_over_an_edit(world: Engine, port: int, path: Path) -> None:
    write(path, udp(port, Id="r"))
    follower = mapped(world, path=path)
    await follower.check()
    stream = live(world, "s")
    world.scheduler.stop("v", "a", "r:s")
    write(path, udp(port, Id="r"), udp(port, Id="q"))
    await follower.check()
    assert ids(world.scheduler) == ["q:s"]
    stream.down()
    live(world, "s")
    assert ids(world.scheduler) == ["q:s", "r:s"]


async def test_a_file_that_is_no_map_any_more_leaves_its_rules(
    world: Engine, port: int, path: Path, lines: pytest.LogCaptureFixture
) -> None:
    write(path, udp(port, Id="r"))
    follower = mapped(world, rule(id="c", protocol="mpegts", url=f"udp://127.0.0.1:{port}"), path=path)
    await follower.check()
    live(world, "s")
    push = world.scheduler.get("v", "a", "r:s")
    told: list[str] = []
    for spoil in (
        lambda: write(path, udp(port, Id="r"), udp(port), end=""),
        path.unlink,
        lambda: write(path, "<!-- ", end=""),
        path.unlink,
    ):
        spoil()
        lines.clear()
        for _ in range(3):
            await follower.check()
        (record,) = lines.records
        told.append(record.getMessage())
        assert world.scheduler.get("v", "a", "r:s") is push
        another = live(world, "t")
        assert ids(world.scheduler) == ["c:s", "c:t", "r:s", "r:t"]
        another.down()
    assert told[1] == f"stream map v/a: {path}: cannot be read: No such file or directory; the rules of before stay: 1"
    write(path)
    await follower.check()
    assert ids(world.scheduler) == ["c:s"]


async def test_faults_are_told_once_and_not_without_end(
    world: Engine, port: int, path: Path, lines: pytest.LogCaptureFixture
) -> None:
    write(path, udp(port, Id="c"), udp(port, Protocol="x"), "<Pull/>" * 90)
    follower = mapped(world, rule(id="c"), path=path)
    await follower.check()
    await follower.check()
    told = [record.getMessage() for record in lines.records]
    assert told[0].startswith(f'stream map v/a: {path}: Push 1: Id: found "c" a second time')
    assert told[1].startswith(f'stream map v/a: {path}: Push 2: Protocol: found "x"')
    assert told[-1] == f"stream map v/a: {path}: 42 more faults"
    assert len(told) == streammap_module.MAX_TOLD + 1


def rewrite(path: Path, item: str) -> None:
    write(path, item)


def replace_by_another(path: Path, item: str) -> None:
    """A new file under the name, with the time of the old one."""
    beside = path.with_suffix(".new")
    write(beside, item)
    os.utime(beside, ns=(path.stat().st_mtime_ns,) * 2)
    beside.rename(path)


def overwrite_and_hide_it(path: Path, item: str) -> None:
    """The same file with the same size and time; but its change time is the kernel's, and moves by milliseconds."""
    before = path.stat()
    deadline_s = time.monotonic() + 5
    while path.stat().st_ctime_ns == before.st_ctime_ns:
        write(path, item)
        os.utime(path, ns=(before.st_mtime_ns,) * 2)
        assert time.monotonic() < deadline_s
    after = path.stat()
    assert (after.st_mtime_ns, after.st_size, after.st_ino) == (before.st_mtime_ns, before.st_size, before.st_ino)


@pytest.mark.parametrize("edit", [rewrite, replace_by_another, overwrite_and_hide_it])
async def test_every_kind_of_edit_is_seen(
    world: Engine, port: int, path: Path, edit: Callable[[Path, str], None]
) -> None:
    write(path, udp(port, StreamName="old"))
    follower = mapped(world, path=path)
    await follower.check()
    edit(path, udp(port, StreamName="new"))
    await follower.check()
    live(world, "new")
    assert ids(world.scheduler) == ["map-1:new"]


async def test_watch_follows_until_it_is_cancelled(
    world: Engine, port: int, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streammap_module, "LOOK_S", 0.005)
    follower = mapped(world, path=path)
    live(world, "s")
    task = asyncio.create_task(follower.watch())
    write(path, udp(port, Id="one"))
    await until(lambda: ids(world.scheduler) == ["one:s"])
    write(path, udp(port, Id="two"))
    await until(lambda: ids(world.scheduler) == ["two:s"])
    task.cancel()
    await within(asyncio.wait({task}))
    assert task.cancelled()
    await within(mapped(world).watch())


async def test_streams_that_come_and_go_while_the_file_is_read(world: Engine, port: int, path: Path) -> None:
    write(path, udp(port, Id="r"))
    follower = mapped(world, path=path)
    names = [f"s{number}" for number in range(6)]
    streams = [live(world, name) for name in names]
    checking = asyncio.create_task(follower.check())
    deadline_s = time.monotonic() + 5
    while not ids(world.scheduler):
        assert time.monotonic() < deadline_s
        await asyncio.sleep(0)
    assert ids(world.scheduler) == ["r:s0"]
    streams[3].down()
    streams[4].down()
    live(world, "s4")
    live(world, "late")
    await checking
    assert ids(world.scheduler) == [f"r:{name}" for name in ("late", "s0", "s1", "s2", "s4", "s5")]


async def test_a_scheduler_that_closed_breaks_no_stream(world: Engine, port: int) -> None:
    mapped(world, rule(protocol="mpegts", url=f"udp://127.0.0.1:{port}"))
    stream = live(world, "s")
    await world.scheduler.close()
    stream.down()
    live(world, "t").down()
    assert ids(world.scheduler) == []
