"""Multiplex: one stream of the tracks of several, from when all are there until none is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from live import IDR, TRACKS, LiveStream

from pushcast.config import load_config
from pushcast.config_sections import Multiplex, MultiplexInput, MultiplexTrack
from pushcast.errors import ConfigError, Conflict
from pushcast.ingest.multiplex import MultiplexStream
from pushcast.media import Track
from pushcast.source import Clock
from pushcast.stream import Registry, Stream

VIDEO, AUDIO = TRACKS
CONFIG = 2


class World:
    """Two renditions, each with sound, of which one is taken; ``log`` says what the registry told."""

    def __init__(self, **how: str) -> None:
        self.registry = Registry({"v": ("a",)}, Clock())
        self.log: list[tuple[str, str]] = []
        self.registry.subscribe(self)
        made = Multiplex(
            vhost="v",
            app="a",
            name="abr",
            inputs=(
                MultiplexInput(stream="hd", tracks=(MultiplexTrack(track="cam", name="720"),)),
                MultiplexInput(
                    stream="sd",
                    tracks=(
                        MultiplexTrack(track="cam", name="360"),
                        MultiplexTrack(track="Audio:0", name="sound", language="deu"),
                    ),
                ),
            ),
            **how,
        )
        self.multiplex = MultiplexStream(self.registry, made)
        self.registry.subscribe(self.multiplex)
        self.hd, self.sd = LiveStream(self.registry, "hd"), LiveStream(self.registry, "sd")

    def stream_started(self, stream: Stream) -> None:
        self.log.append(("started", stream.name))

    def stream_ended(self, stream: Stream) -> None:
        self.log.append(("ended", stream.name))

    @property
    def stream(self) -> Stream | None:
        return self.registry.get("v", "a", "abr")

    def again(self, name: str, tracks: tuple[Track, ...] = TRACKS) -> LiveStream:
        live = LiveStream(self.registry, name, tracks)
        live.up()
        return live


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    yield made
    made.multiplex.close()


def frames(stream: Stream) -> dict[int, int]:
    """How many frames of each track its GOP cache holds, configurations left out."""
    counted: dict[int, int] = {}
    for track, *_, flags, _ in stream.source.recent():
        if not flags & CONFIG:
            counted[track] = counted.get(track, 0) + 1
    return counted


def test_it_begins_when_all_are_there_and_has_the_tracks_by_the_names_it_gives_them(world: World) -> None:
    world.hd.up()
    world.hd.feed(5)
    assert world.stream is None
    world.sd.up()
    stream = world.stream
    assert stream is not None
    assert stream.source_type == "Multiplex"
    assert [(each.id, each.variant_name, each.language) for each in stream.tracks] == [
        (0, "720", ""),
        (1, "360", ""),
        (2, "sound", "deu"),
    ]
    world.sd.feed(2)
    assert frames(stream) == {1: 2, 2: 2}, "the other one waits for its keyframe"
    world.hd.feed(25)
    assert frames(stream) == {0: 5, 1: 2, 2: 2}
    assert world.log == [("started", "hd"), ("started", "sd"), ("started", "abr")]


def test_it_goes_on_while_one_is_there_and_takes_the_other_back(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.hd.up()
    world.sd.up()
    stream = world.stream
    assert stream is not None
    world.hd.down()
    assert world.stream is stream
    other = replace(VIDEO, config=VIDEO.config[:-1] + b"\x21")
    back = world.again("hd", (other, AUDIO))
    back.feed(1)
    assert [(track, flags & CONFIG) for track, _, _, flags, _ in stream.source.recent()] == [(0, CONFIG), (0, 0)]
    assert stream.source.tracks[0].config == other.config
    back.down()
    world.sd.down()
    assert world.stream is None
    assert "left out" not in caplog.text


def test_an_input_that_comes_back_as_another_one(world: World, caplog: pytest.LogCaptureFixture) -> None:
    world.hd.up()
    world.sd.up()
    world.sd.down()
    world.again("sd", (VIDEO,))
    assert 'sd has no track "Audio:0"; there are cam' in caplog.text
    assert "sd is back without its track 2 (AAC)" in caplog.text


def test_a_track_that_was_missing_once_goes_on_when_it_is_back(world: World) -> None:
    world.hd.up()
    world.sd.up()
    stream = world.stream
    assert stream is not None
    world.sd.down()
    world.again("sd", (VIDEO,)).down()
    world.again("sd").feed(1)
    assert frames(stream) == {1: 1, 2: 1}


def test_it_begins_again_above_where_it_ended(world: World) -> None:
    world.hd.up()
    world.sd.up()
    world.hd.feed(250)  # ten seconds in no time
    assert world.stream is not None
    ended_at = world.stream.source.last_dts
    world.hd.down()
    world.sd.down()
    hd, sd = world.again("hd"), world.again("sd")
    sd.feed(1)
    hd.feed(1)
    assert world.stream is not None
    assert min(dts for _, dts, *_ in world.stream.source.recent()) >= ended_at


def test_without_tracks_it_takes_all_and_its_own_name_is_held() -> None:
    registry = Registry({"v": ("a",)}, Clock())
    made = Multiplex(vhost="v", app="a", name="all", align="timestamps", inputs=(MultiplexInput(stream="s"),))
    multiplex = MultiplexStream(registry, made)
    registry.subscribe(multiplex)
    with pytest.raises(Conflict), registry.reserve("v", "a", "all"):
        pass
    live = LiveStream(registry)
    live.up()
    stream = registry.get("v", "a", "all")
    assert stream is not None
    assert [each.codec for each in stream.tracks] == [each.codec for each in TRACKS]
    live.source.push(VIDEO.id, 0, 0, 1, IDR)
    assert frames(stream) == {0: 1}
    multiplex.close()
    with registry.reserve("v", "a", "all"):
        assert registry.get("v", "a", "all") is None


TEXT = """
[[vhosts]]
name = "v"
[[vhosts.apps]]
name = "a"
[[multiplex]]
vhost = "v"
app = "a"
name = "abr"
[[multiplex.inputs]]
stream = "hd"
[[multiplex.inputs.tracks]]
track = "Video"
[[multiplex.inputs]]
stream = "sd"
"""


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('stream = "sd"', 'stream = "hd"', 'multiplex[0].inputs[1].stream: found "hd" a second time, allowed: '),
        ('stream = "sd"', 'stream = "abr"', 'multiplex[0].inputs[1].stream: found "abr", allowed: a stream that is no'),
        ('stream = "sd"', 'stream = "x"\napp = "b"', 'multiplex[0].inputs[1].app: found "b", allowed: "a"'),
        (
            'track = "Video"',
            'track = "Video:"',
            'tracks[0].track: found "Video:", allowed: a variant name, or one with',
        ),
        ('name = "abr"', 'name = "abr"\nalign = "never"', 'multiplex[0].align: found "never", allowed: "arrival" or '),
        (
            '[[multiplex.inputs]]\nstream = "hd"\n[[multiplex.inputs.tracks]]\ntrack = "Video"\n'
            '[[multiplex.inputs]]\nstream = "sd"\n',
            "",
            "multiplex[0].inputs: found nothing, allowed: one or more tables",
        ),
    ],
)
def test_one_sentence_says_what_is_wrong(tmp_path: object, old: str, new: str, sentence: str) -> None:
    path = tmp_path / "pushcast.toml"  # type: ignore[operator]
    path.write_text(TEXT)
    assert len(load_config(path).multiplex[0].inputs) == 2
    path.write_text(TEXT.replace(old, new))
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert sentence in str(caught.value)
