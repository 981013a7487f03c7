"""OvenMediaEngine's StreamMap file: what is read, what is told, and what is refused."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stream_maps import STREAM_MACROS, item

from pushcast.errors import ConfigError
from pushcast.streammap_file import MAX_FILE_BYTES, MAX_RULES, Reading, read_stream_map


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "map.xml"


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
