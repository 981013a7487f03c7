"""Streams live and die in the registry, and everybody who asked is told."""

from __future__ import annotations

import logging

import pytest
from live import TRACKS, LiveStream

from pushcast import stream as stream_module
from pushcast.errors import Conflict, MediaError, NotFound
from pushcast.media import Container, FeedKey
from pushcast.source import Clock
from pushcast.stream import Registry, Stream


class Ear:
    """Writes down what the registry tells, and what the registry answers at that moment."""

    def __init__(self, registry: Registry) -> None:
        self.heard: list[tuple[str, str, bool]] = []
        self._registry = registry
        registry.subscribe(self)

    def stream_started(self, stream: Stream) -> None:
        self.heard.append(("started", stream.name, self._registry.get(*stream.key) is stream))

    def stream_ended(self, stream: Stream) -> None:
        assert stream.ended.is_set()
        self.heard.append(("ended", stream.name, self._registry.get(*stream.key) is None))


@pytest.fixture
def registry() -> Registry:
    return Registry({"v": ("a", "b"), "w": ["a"]}, Clock())


def test_configuration_is_what_there_is(registry: Registry) -> None:
    assert registry.vhosts == ("v", "w")
    assert registry.apps("v") == ("a", "b")
    assert registry.apps("nobody") == ()
    assert registry.has_vhost("w")
    assert not registry.has_vhost("x")
    assert registry.has_app("v", "b")
    assert not registry.has_app("w", "b")
    assert not registry.has_app("x", "a")


def test_add_and_remove_are_told_in_order(registry: Registry) -> None:
    ear = Ear(registry)
    first, second = LiveStream(registry, "one"), LiveStream(registry, "two")
    assert first.up() is first.stream
    second.up()
    assert registry.get("v", "a", "one") is first.stream
    assert [each.name for each in registry.streams("v", "a")] == ["one", "two"]
    assert registry.streams("v", "b") == []
    first.down()
    first.down()
    assert registry.get("v", "a", "one") is None
    assert first.source.ended
    assert ear.heard == [("started", "one", True), ("started", "two", True), ("ended", "one", True)]


def test_a_name_is_live_once(registry: Registry) -> None:
    first, second = LiveStream(registry), LiveStream(registry)
    first.up()
    with pytest.raises(Conflict, match="v/a/s is already live"):
        second.up()
    second.down()
    assert registry.get("v", "a", "s") is first.stream, "removing a stranger must not end the one that is live"
    first.down()
    second.up()
    assert registry.get("v", "a", "s") is second.stream


def test_reservations_hold_a_name(registry: Registry) -> None:
    with registry.reserve("v", "a", "s"):
        with pytest.raises(Conflict, match="already being published"), registry.reserve("v", "a", "s"):
            pass
        with registry.reserve("v", "b", "s"), registry.reserve("w", "a", "s"):
            pass
        live = LiveStream(registry)
        live.up()
    with pytest.raises(Conflict), registry.reserve("v", "a", "s"):
        pass
    live.down()
    with pytest.raises(RuntimeError), registry.reserve("v", "a", "s"):
        raise RuntimeError("a publisher that fails gives its name back")
    with registry.reserve("v", "a", "s"):
        pass


@pytest.mark.parametrize(
    ("vhost", "app", "text"),
    [
        ("x", "a", r"Could not find the virtual host: \[x\]"),
        ("w", "b", r"Could not find the application: \[w/b\]"),
    ],
)
def test_names_need_an_app(registry: Registry, vhost: str, app: str, text: str) -> None:
    with pytest.raises(NotFound, match=text), registry.reserve(vhost, app, "s"):
        pass
    source = LiveStream(registry).source
    with pytest.raises(NotFound, match=text):
        registry.add(Stream(vhost, app, "s", TRACKS, source, "Rtmp"))


def test_a_returning_name_continues_upwards(registry: Registry) -> None:
    clock, floor, _ = registry.timeline("v", "a", "s")
    assert floor == 0
    live = LiveStream(registry)
    live.up()
    live.feed(250)  # ten seconds of media at once: ahead of the engine clock
    reached = live.source.last_dts
    assert reached > clock.now()
    live.down()
    again, floor, behind = registry.timeline("v", "a", "s")
    assert again is clock
    assert floor == reached
    assert behind == live.source.behind < 0
    assert registry.timeline("v", "b", "s")[1] == 0
    returned = LiveStream(registry)
    returned.up()
    returned.feed(1)
    assert returned.source.last_dts >= reached
    returned.down()
    silent = LiveStream(registry)
    silent.up()
    silent.down()
    assert registry.timeline("v", "a", "s")[1] >= reached, "a stream without frames forgets nothing"


def test_remembered_names_are_bounded(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_module, "REMEMBERED_NAMES", 3)
    for name in ("n1", "n2", "n3", "n1", "n4"):
        live = LiveStream(registry, name)
        live.up()
        live.feed(1)
        live.down()
    known = [name for name in ("n1", "n2", "n3", "n4") if registry.timeline("v", "a", name)[1]]
    assert known == ["n1", "n3", "n4"], "the name that was used longest ago goes first"


def test_feeds_are_shared_and_given_back(registry: Registry) -> None:
    live = LiveStream(registry)
    live.up()
    live.feed(30)
    key = FeedKey(Container.MPEGTS, (7, 9))
    feed = live.source.feed(key)
    assert live.source.feed(key) is feed
    assert feed.ring.head > 0, "a feed begins with what the stream has cached"
    live.source.release(feed)
    assert live.source.feed_count == 1
    live.source.release(feed)
    assert live.source.feed_count == 0


def test_unknown_media_is_named(registry: Registry) -> None:
    from pushcast.media import Codec, Track

    live = LiveStream(registry, tracks=(Track(id=3, codec=Codec.FLAC),))
    live.up()
    with pytest.raises(MediaError, match="FLAC"):
        live.source.feed(FeedKey(Container.MPEGTS, (3,)))


def test_no_name_forges_a_log_line(registry: Registry, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "pushcast"):
        live = LiveStream(registry, "x\n2026-01-01 ERROR all is lost\x1b[31m")
        live.up()
        live.down()
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 2
    assert all(line.isprintable() and "all is lost" in line for line in lines)
    assert "tracks 7 H264, 9 AAC" in lines[0]
    assert repr(live.stream).isprintable()
