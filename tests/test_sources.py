"""Sources of the configuration: pulled until they come, again when they break off, and on demand."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from pathlib import Path

import pytest
from live import Engine, refusing_tcp_port, settings, until
from pull_bench import SECRET, Server, bench

from pushcast.config import load_config
from pushcast.config_sections import OutputProfile
from pushcast.errors import ConfigError
from pushcast.ingest import pull
from pushcast.ingest.demux import CLOCK_HZ
from pushcast.ingest.pull import Pulls, PullSettings
from pushcast.media import Codec
from pushcast.push_state import PushState
from pushcast.source import Clock
from pushcast.stream import Registry

NAME = ("east", "live", "cam")


def configured(*urls: str, persistent: bool = False, unused_s: float = math.inf) -> PullSettings:
    """As the server makes them."""
    return PullSettings(urls, persistent=persistent, unused_s=unused_s, retry_count=math.inf)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pull, "FIRST_RETRY_S", 0.02)
    monkeypatch.setattr(pull, "MAX_RETRY_S", 0.05)
    monkeypatch.setattr(pull, "WANTED_LOOK_S", 0.02)


async def test_a_file_from_anywhere_plays_in_real_time(media: Path) -> None:
    async with bench() as made:
        url = f"file://{media}/short.ts?loop=1"
        made.pulls.keep(NAME, configured(url))
        stream = await made.next_stream()
        assert (stream.source_type, stream.source_url) == ("File", url)
        assert [track.codec for track in stream.tracks] == [Codec.H264, Codec.AAC]
        begun_dts = stream.source.clock.now()
        await until(lambda: stream.source.last_dts > begun_dts + 2.5 * CLOCK_HZ, 5)  # longer than a lap
        lag_s = (stream.source.clock.now() - stream.source.last_dts) / CLOCK_HZ
        assert -0.3 < lag_s < 0.3, "the stream keeps up with the engine clock"


async def test_without_loop_it_ends_when_the_file_is_over(media: Path) -> None:
    async with bench() as made:
        made.pulls.keep(NAME, configured(f"file://{media}/short.ts"))
        begun_s = asyncio.get_running_loop().time()
        assert await made.next_end() is await made.next_stream()
        assert asyncio.get_running_loop().time() - begun_s > 1.6
        await until(lambda: not made.pulls._tasks)
        with made.registry.reserve(*NAME):
            pass


@pytest.mark.usefixtures("impatient")
async def test_what_is_not_there_is_told_once_and_taken_when_it_comes(
    media: Path, tmp_path: Path, lines: pytest.LogCaptureFixture
) -> None:
    late = tmp_path / "late.ts"
    dead = f"rtmp://u:{SECRET}@127.0.0.1:{refusing_tcp_port()}/app/{SECRET}"
    async with bench() as made:
        made.pulls.keep(NAME, configured(f"file://{late}?loop=1"))
        made.pulls.keep(("east", "live", "dead"), configured(dead, persistent=True))
        expected = f"pull east/live/cam: {late} cannot be opened: No such file or directory"
        await until(lambda: expected in lines.messages)
        await asyncio.sleep(0.3)  # some more attempts
        assert lines.messages.count(expected) == 1
        assert len(made.pulls._tasks) == 2
        late.symlink_to(media / "short.ts")
        assert (await made.next_stream()).name == "cam"
    assert SECRET not in lines.text


@pytest.mark.usefixtures("impatient")
async def test_the_next_url_takes_over_and_then_the_first_again(media: Path) -> None:
    content = (media / "live.ts").read_bytes()
    async with bench() as made, Server(content, closes=True) as first, Server(content, closes=True) as second:
        dead = f"http://127.0.0.1:{refusing_tcp_port()}/x.ts"
        made.pulls.keep(NAME, configured(dead, first.url, second.url, persistent=True))
        came = [(await made.next_stream()).source_url for _ in range(4)]
        assert came == [first.url, second.url, first.url, second.url]


@pytest.mark.usefixtures("impatient")
async def test_on_demand_it_is_pulled_while_a_push_wants_it(
    world: Engine, media: Path, lines: pytest.LogCaptureFixture
) -> None:
    profile = OutputProfile(name="p", output_stream_name="${OriginStreamName}_out", videos=({"name": "v"},))
    registry = Registry({"v": ("a",)}, Clock(), {("v", "a"): (profile,)})
    world.scheduler._registry = registry
    registry.subscribe(world.scheduler)
    pulls = Pulls(registry)
    name = ("v", "a", "s")
    wanted = registry.output_names(*name)
    assert wanted == [("v", "a", "s_out")]
    url = f"file://{media}/short.ts?loop=1"
    pulls.keep(name, configured(url, unused_s=0.1), lambda: world.scheduler.wants(wanted))
    try:
        await asyncio.sleep(0.2)  # some looks
        assert registry.get(*name) is None
        for push_id in ("one", "two"):
            push = world.scheduler.start(replace(settings(push_id, "udp://127.0.0.1:9"), stream_name="s_out"))
            await until(lambda push=push: push.state is PushState.PUSHING, 5)
            world.scheduler.stop("v", "a", push_id)
            await until(lambda: registry.get(*name) is None, 5)
        assert lines.messages.count("pull v/a/s: ends: no push has taken it for 0.1 s") == 2
    finally:
        await pulls.close()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "sources[0].url: found nothing (nor urls), allowed: file:///absolute/path (?loop=1 plays"),
        ('url = "file:///a"\nurls = ["file:///b"]', 'sources[0].url: found "file:///a" (urls is there, too), allowed'),
        ('url = "ftp://h/x"', 'sources[0].url: found "ftp://h/***" (its scheme is "ftp", allowed: file, http, '),
        ('urls = ["udp://239.1.2.3"]', 'sources[0].urls: found a list ("udp://239.1.2.3": it names no port), allowed'),
        (
            f'urls = ["http://h/x", "http://u:{SECRET}@[::1/{SECRET}"]',
            'sources[0].urls: found a list ("<unreadable url>": it is not a URL), allowed: up to 16 URLs, each file:',
        ),
        ('url = "http://h/x"\nno_input_s = 0', "sources[0].no_input_s: found 0, allowed: seconds from 0.5 to 600"),
        ('url = "http://h/x"\nunused_s = 0', "sources[0].unused_s: found 0, allowed: seconds from 1 to 86400"),
    ],
)
def test_one_sentence_says_what_is_wrong(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "pushcast.toml"
    path.write_text(f'[[sources]]\nname = "s"\n{text}\n')
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert sentence in str(caught.value)
    assert SECRET not in str(caught.value)


def test_what_may_be_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "pushcast.toml"
    path.write_text(
        f'[[sources]]\nname = "one"\nurl = "rtsp://u:{SECRET}@cam/1"\nunused_s = 20\n'
        '[[sources]]\nname = "two"\nurls = ["env:ELSEWHERE", "file:///x y/clip.ts?loop=1"]\nno_input_s = 1.5\n'
    )
    monkeypatch.setenv("ELSEWHERE", "udp://@:5000")
    config = load_config(path)
    one, two = config.sources
    assert (one.all_urls, one.no_input_s, one.unused_s) == ((f"rtsp://u:{SECRET}@cam/1",), 3.0, 20.0)
    assert (two.all_urls, two.no_input_s, two.unused_s) == (("udp://@:5000", "file:///x y/clip.ts?loop=1"), 1.5, None)
    assert SECRET not in repr(config)
