"""Rules of automatic pushes: what a pattern matches, what macros make, what the configuration may say."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stream_maps import STREAM_MACROS, rule

from pushcast.config_sections import App
from pushcast.errors import ConfigError, InvalidRequest
from pushcast.streammap_rule import configured_rules, match, named

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
