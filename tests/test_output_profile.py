"""Output profiles: which tracks an output stream has, what they are called, and that it costs no muxing of its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from live import TRACKS, LiveStream, engine, until
from streams import ASC, AVCC

from pushcast.config import Config, load_config
from pushcast.config_sections import Encode, OutputProfile
from pushcast.errors import ConfigError
from pushcast.media import Codec, Container, FeedKey, Track
from pushcast.output_profile import outputs
from pushcast.push_state import PushState
from pushcast.settings import read_settings
from pushcast.source import Clock
from pushcast.stream import Registry

# As a transport stream brings them: ids are PIDs, the order of kinds is any.
PROGRAMME = (
    Track(0x110, Codec.AAC, config=ASC, language="eng"),
    Track(0x101, Codec.H264, config=AVCC, width=1920),
    Track(0x102, Codec.H264, config=AVCC, width=1280),
    Track(0x111, Codec.AAC, config=ASC, language="deu"),
    Track(0x120, Codec.SCTE35),
    Track(0x121, Codec.ID3, name="tags"),
)


def profile(text: str, **encodes: tuple[Encode, ...]) -> OutputProfile:
    return OutputProfile(name="p", output_stream_name=text, **encodes)


def shape(tracks: tuple[Track, ...]) -> list[tuple[int, str, str]]:
    return [(track.id, track.variant_name, track.language) for track in tracks]


WHOLE = [
    (0, "fhd", ""),
    (1, "fhd", ""),
    (2, "aac", "eng"),
    (3, "aac", "deu"),
    (4, "Data", ""),
    (5, "tags", ""),
]


@pytest.mark.parametrize(
    ("encodes", "expected", "sources"),
    [
        pytest.param(
            {"videos": (Encode(name="fhd"),), "audios": (Encode(name="aac"),)},
            WHOLE,
            (0x101, 0x102, 0x110, 0x111, 0x120, 0x121),
            id="one encode stands for every track of its kind",
        ),
        pytest.param(
            {"videos": (Encode(name="fhd", index=0), Encode(name="hd", index=1)), "audios": (Encode(),), "datas": ()},
            [(0, "fhd", ""), (1, "hd", ""), (2, "Audio", "eng"), (3, "Audio", "deu")],
            (0x101, 0x102, 0x110, 0x111),
            id="by index, an unnamed one, and no data",
        ),
        pytest.param(
            {"videos": (Encode(track_ids=(0x102,)),), "audios": (Encode(source_language="deu", language="ger"),)},
            [(0, "Video", ""), (1, "Audio", "ger"), (2, "Data", ""), (3, "tags", "")],
            (0x102, 0x111, 0x120, 0x121),
            id="by id and by language, which it says otherwise",
        ),
        pytest.param(
            {"videos": (Encode(name="first", index=0), Encode(name="rest"))},
            [(0, "first", ""), (1, "rest", ""), (2, "Data", ""), (3, "tags", "")],
            (0x101, 0x102, 0x120, 0x121),
            id="the first encode that fits",
        ),
        pytest.param(
            {"audios": (Encode(index=1, source_language="eng"),), "datas": (Encode(name="cue", index=0),)},
            [(0, "cue", "")],
            (0x120,),
            id="conditions must all hold",
        ),
    ],
)
def test_tracks_of_an_output(
    encodes: dict[str, tuple[Encode, ...]], expected: list[tuple[int, str, str]], sources: tuple[int, ...]
) -> None:
    (output,) = outputs([profile("${OriginStreamName}_x", **encodes)], "cam", PROGRAMME)
    assert output.name == "cam_x"
    assert shape(output.tracks) == expected
    assert output.sources == sources


def test_ids_are_counted_through_all_profiles_of_an_input() -> None:
    video, audio = (Encode(name="v", index=0),), (Encode(name="a", index=0),)
    first = profile("${OriginStreamName}", videos=video, audios=audio, datas=())
    second = profile("only-sound", audios=audio, datas=())
    assert [(each.name, shape(each.tracks)) for each in outputs([first, second], "cam", PROGRAMME)] == [
        ("cam", [(0, "v", ""), (1, "a", "eng")]),
        ("only-sound", [(2, "a", "eng")]),
    ]


def test_without_a_profile_a_stream_is_its_own_output() -> None:
    (output,) = outputs([], "cam", PROGRAMME)
    assert (output.name, output.tracks) == ("cam", PROGRAMME)


def registry(*profiles: OutputProfile) -> Registry:
    return Registry({"v": ("a",)}, Clock(), {("v", "a"): profiles})


BOTH = {"videos": (Encode(name="main"),), "audios": (Encode(name="sound"),)}


def test_outputs_of_the_same_tracks_share_a_feed_and_other_languages_do_not() -> None:
    german = {**BOTH, "audios": (Encode(language="deu"),)}
    live = LiveStream(registry(profile("one", **BOTH), profile("two", **BOTH), profile("deutsch", **german)))
    one, two, deutsch = live.up().outputs
    feeds = [
        each.feed(FeedKey(Container.MPEGTS, tuple(track.id for track in each.tracks))) for each in (one, two, deutsch)
    ]
    assert feeds[0] is feeds[1]
    assert feeds[0].key.track_ids == (7, 9)
    assert feeds[2] is not feeds[0]
    assert feeds[2].key.languages == ("", "deu")
    live.feed(30)
    # ISO_639_language_descriptor, ISO/IEC 13818-1 2.6.18
    told = [b"\x0a\x04deu\0" in bytes(each.ring.read(each.ring.last_key)) for each in feeds]
    assert told == [False, False, True]
    assert one.measured()[one.tracks[0].id]["frames_per_s"] == pytest.approx(25)


def test_names_that_are_taken_and_outputs_without_tracks_are_left_out_and_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    made = registry(profile("fixed", **BOTH), profile("${OriginStreamName}_none", datas=()))
    first, second = LiveStream(made, "one"), LiveStream(made, "two")
    assert [each.name for each in first.up().outputs] == ["fixed"]
    assert [each.name for each in second.up().outputs] == []
    assert "stream v/a/one: no output stream v/a/one_none: no track is for it" in caplog.text
    assert "stream v/a/two: no output stream v/a/fixed: it is live already" in caplog.text
    output = made.output("v", "a", "fixed")
    assert output is not None
    assert output.input is first.stream
    assert made.output("v", "a", "one") is None
    second.down()
    assert made.output("v", "a", "fixed") is output
    first.down()
    assert made.output("v", "a", "fixed") is None


async def test_a_push_names_the_output_stream_and_waits_for_it() -> None:
    async with engine() as world:
        world.registry._profiles = {("v", "a"): (profile("${OriginStreamName}_hd", **BOTH),)}
        asked = {"id": "p", "protocol": "mpegts", "url": "udp://127.0.0.1:9"}
        by_output = {**asked, "stream": {"name": "s_hd", "variantNames": ["main"]}}
        by_input = {**asked, "id": "q", "stream": {"name": "s"}}
        push, other = (world.scheduler.start(read_settings("v", "a", body)) for body in (by_output, by_input))
        live = LiveStream(world.registry)
        live.up()
        live.feed(30)
        await until(lambda: push.state is PushState.PUSHING)
        assert other.state is PushState.READY
        live.down()
        await until(lambda: push.state is PushState.READY)


CONFIG = """
[[vhosts]]
name = "default"
[[vhosts.apps]]
name = "app"
[[vhosts.apps.output_profiles]]
name = "hd"
output_stream_name = "${OriginStreamName}_hd"
[[vhosts.apps.output_profiles.videos]]
name = "h264_fhd"
bypass = true
index = 0
[[vhosts.apps.output_profiles.audios]]
name = "aac"
source_language = "deu"
"""


def load(tmp_path: Path, text: str) -> Config:
    path = tmp_path / "pushcast.toml"
    path.write_text(text)
    return load_config(path)


def test_profiles_of_a_configuration(tmp_path: Path) -> None:
    (made,) = load(tmp_path, CONFIG).vhosts[0].apps[0].output_profiles
    (output,) = outputs([made], "cam", PROGRAMME)
    assert (output.name, shape(output.tracks)[:2]) == ("cam_hd", [(0, "h264_fhd", ""), (1, "aac", "deu")])


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (
            "bypass = true",
            "bypass = false",
            "output_profiles[0].videos[0].bypass: found false, allowed: true: tracks pass as they are",
        ),
        (
            "${OriginStreamName}_hd",
            "${Name}_hd",
            'output_profiles[0].output_stream_name: found "${Name}_hd", allowed: 1 to 128 characters, '
            "none of them a space or / : ? # % \\, and ${OriginStreamName}",
        ),
        (
            '"deu"',
            '"de"',
            'vhosts[0].apps[0].output_profiles[0].audios[0].source_language: found "de", allowed: '
            "three lower case letters of ISO 639-2, deu",
        ),
        (
            'name = "h264_fhd"',
            'name = "a:1"',
            'vhosts[0].apps[0].output_profiles[0].videos[0].name: found "a:1", allowed: '
            "up to 128 characters, none of them a colon, a comma or a control character",
        ),
        (
            'source_language = "deu"\n',
            '[[vhosts.apps.output_profiles]]\nname = "other"\noutput_stream_name = "${OriginStreamName}_hd"\n',
            'vhosts[0].apps[0].output_profiles[1].output_stream_name: found "${OriginStreamName}_hd" a second time, '
            "allowed: each output_stream_name once in its app",
        ),
    ],
)
def test_one_sentence_says_what_is_wrong(tmp_path: Path, old: str, new: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, CONFIG.replace(old, new))
    assert str(caught.value).endswith(sentence)


def test_a_track_that_changed_is_passed_on_as_it_is_now() -> None:
    live = LiveStream(registry(profile("x", **BOTH)))
    (output,) = live.up().outputs
    other = AVCC[:-1] + b"\x21"
    live.source.push(TRACKS[0].id, 0, 0, 2, other)
    video, audio = output.tracks
    assert output.current_tracks() == (replace(video, config=other), audio)
    assert [output.source_id(track.id) for track in output.tracks] == [7, 9]
