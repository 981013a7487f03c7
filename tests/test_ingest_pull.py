"""Pulls: how they begin, go on and end, with servers that die, fall silent or are not there."""

from __future__ import annotations

import asyncio
import contextlib
import math
from pathlib import Path

import av
import pytest
from live import refusing_tcp_port, until, within
from pull_bench import SECONDS, SECRET, Server, bench, frames_of

from pushcast.errors import Conflict, NotFound
from pushcast.ingest import network, pull
from pushcast.ingest.demux import Clip
from pushcast.ingest.network import Live, open_input
from pushcast.ingest.playback import Playback
from pushcast.ingest.pull import PullError, PullSettings
from pushcast.media import Container, FeedKey
from pushcast.pull_url import shown_url


async def test_frames_are_handed_on_as_they_come(media: Path) -> None:
    """Eight seconds of media, sent in a moment, are there in a moment."""
    frames = frames_of(media / "live.ts")
    async with bench() as made, Server((media / "live.ts").read_bytes(), closes=True) as server:
        begun_s = asyncio.get_running_loop().time()
        await made.start(server.url, retry_count=0)
        stream = await made.next_end()
        assert asyncio.get_running_loop().time() - begun_s < SECONDS / 2
        assert stream.source.frame_count == len(frames)
        assert stream.source.byte_count == sum(len(frame.data) for frame in frames)


@pytest.mark.parametrize("path", ["short.ts", "list.m3u8"])
async def test_what_is_no_live_input_plays_in_its_own_time(media: Path, web: str, path: str) -> None:
    frames = frames_of(media / "short.ts")
    async with bench() as made:
        await made.start(f"{web}/{path}")
        begun_s = asyncio.get_running_loop().time()
        stream = await made.next_stream()
        assert await made.next_end() is stream
        assert asyncio.get_running_loop().time() - begun_s > 1.6
        assert abs(stream.source.frame_count - len(frames)) <= 2
        await until(lambda: not made.pulls._tasks, 2)


async def test_a_file_below_the_folder(media: Path) -> None:
    async with bench(media) as made:
        await made.start(f"file://{media}/short.ts?loop=1")
        stream = await made.next_stream()
        assert (stream.source_type, stream.source_url) == ("File", f"file://{media}/short.ts?loop=1")
        frames = len(frames_of(media / "short.ts"))
        await until(lambda: stream.source.frame_count > frames + 5, 10)
        assert await made.pulls.stop("east", "live", "cam")
        assert stream.ended.is_set()


async def test_it_comes_back_and_time_goes_on(media: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pull, "FIRST_RETRY_S", 0.02)
    async with bench() as made, Server((media / "live.ts").read_bytes(), closes=True) as server:
        await made.start(server.url, retry_count=4)
        reached = 0
        for visit in range(1, 4):
            stream = await made.next_stream()
            assert await made.next_end() is stream
            assert server.visits >= visit
            assert stream.source.last_dts > reached + (SECONDS - 1) * 90_000
            reached = stream.source.last_dts
            with pytest.raises(Conflict), made.registry.reserve("east", "live", "cam"):
                pytest.fail("the name is held in between")
        for _ in range(2):
            await made.next_end()
        await until(lambda: not made.pulls._tasks, 5)
        assert server.visits == 5, "more than four failures in a row"


async def test_the_next_url_takes_over(media: Path, lines: pytest.LogCaptureFixture) -> None:
    content = (media / "live.ts").read_bytes()
    dead = f"rtmp://u:{SECRET}@127.0.0.1:{refusing_tcp_port()}/app/{SECRET}"
    async with bench() as made, Server(content, closes=True) as first, Server(content, closes=False) as second:
        await made.start(dead, first.url, second.url, no_input_s=20.0)
        assert (await made.next_stream()).source_url == first.url
        await made.next_end()
        assert (await made.next_stream()).source_url == second.url
        assert (first.visits, second.visits) == (1, 1)
    assert f"pull east/live/cam: {first.url}: it ended" in lines.messages
    assert SECRET not in lines.text


async def test_a_server_that_falls_silent_is_left(media: Path, lines: pytest.LogCaptureFixture) -> None:
    async with bench() as made, Server((media / "live.ts").read_bytes(), closes=False) as server:
        await made.start(server.url, no_input_s=0.3, retry_count=0)
        await made.next_end()
        assert f"pull east/live/cam: {server.url}: nothing came for 0.3 s" in lines.messages
        await until(lambda: "pull east/live/cam: given up: failures in a row: 1" in lines.messages)


async def test_a_silent_server_holds_nobody_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "OPEN_DEADLINE_S", 0.3)
    async with bench() as made, Server(b"", closes=False) as server:
        for url in (server.url, server.url.replace("tcp", "http") + "/x", server.url.replace("tcp", "rtmp") + "/a/b"):
            with pytest.raises(PullError) as caught:
                await made.start(url)
            assert str(caught.value) == f"Could not pull the stream : {shown_url(url)}: no answer within 0.3 s"


async def test_slow_tracks_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pull, "CONNECT_DEADLINE_S", 0.2)
    monkeypatch.setattr(network, "OPEN_DEADLINE_S", 1.0)
    async with bench() as made, Server(b"", closes=False) as server:
        with pytest.raises(PullError, match=r"no tracks within 0\.2 s"):
            await made.start(server.url)


async def test_a_client_waits_no_longer_than_its_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pull, "START_DEADLINE_S", 0.2)
    monkeypatch.setattr(network, "OPEN_DEADLINE_S", 1.0)
    async with bench() as made, Server(b"", closes=False) as server:
        with pytest.raises(PullError, match=r"there is no stream after 0\.2 s"):
            await made.start(server.url)
        assert made.pulls._tasks == {}


async def test_every_url_is_told_when_none_works(media: Path, web: str) -> None:
    dead = refusing_tcp_port()
    urls = (
        f"rtmp://u:{SECRET}@127.0.0.1:{dead}/app/{SECRET}",
        f"{web}/absent/{SECRET}.ts?token={SECRET}",
        f"srt://127.0.0.1:{dead}?passphrase={SECRET}",
    )
    async with bench() as made:
        with pytest.raises(PullError) as caught:
            await made.start(*urls)
        reason = str(caught.value)
        assert reason.startswith(f"Could not pull the stream : rtmp://127.0.0.1:{dead}/***: ")
        assert f"; {web}/***: Server returned 404 Not Found; " in reason
        assert f"srt://127.0.0.1:{dead}/***: PyAV {av.__version__} was built without srt" in reason
        assert SECRET not in reason
        assert caught.value.status == 502
        with made.registry.reserve("east", "live", "cam"):
            pass


async def test_a_server_of_something_else(media: Path) -> None:
    async with bench() as made, Server(b"HTTP/1.1 200 OK\r\n\r\n" + b"hello " * 9000, closes=True) as server:
        with pytest.raises(PullError, match="Could not pull the stream : tcp://"):
            await made.start(server.url)


@pytest.mark.parametrize(("segment", "opens"), [("short.ts", True), ("file://{media}/short.ts", False)])
async def test_a_playlist_opens_no_file(media: Path, web: str, segment: str, opens: bool) -> None:
    lines = ("#EXTM3U", "#EXT-X-TARGETDURATION:2", "#EXTINF:2,", segment.format(media=media), "#EXT-X-ENDLIST", "")
    (media / "other.m3u8").write_text("\n".join(lines))
    async with bench() as made:
        refused = contextlib.nullcontext() if opens else pytest.raises(PullError)
        with refused:
            await made.start(f"{web}/other.m3u8")


async def test_names(media: Path) -> None:
    async with bench(media) as made:
        url = f"file://{media}/short.ts?loop=1"
        await made.start(url)
        with pytest.raises(Conflict, match=r"^Stream already exists$"):
            await made.start(url)
        with made.registry.reserve("east", "live", "taken"), pytest.raises(Conflict, match=r"^Stream already exists$"):
            await made.start(url, name="taken")
        with pytest.raises(NotFound, match=r"Could not find the application: \[east/x\]"):
            await made.pulls.start("east", "x", "cam", PullSettings((url,)))
        assert not await made.pulls.stop("east", "live", "other")


async def test_there_is_a_most(media: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pull, "MAX_PULLS", 2)
    async with bench(media) as made:
        url = f"file://{media}/short.ts?loop=1"
        await made.start(url, name="one")
        await made.start(url, name="two")
        with pytest.raises(PullError, match="2 streams are being pulled"):
            await made.start(url, name="three")


async def test_what_nobody_takes_ends(media: Path, lines: pytest.LogCaptureFixture) -> None:
    async with bench(media) as made:
        url = f"file://{media}/short.ts?loop=1"
        await made.start(url, name="kept", persistent=True, unused_s=math.inf)
        kept = await made.next_stream()
        await made.start(url, name="taken", unused_s=0.1)
        taken = await made.next_stream()
        feed = taken.source.feed(FeedKey(Container.MPEGTS, tuple(track.id for track in taken.tracks)))
        await made.start(url, name="left", unused_s=0.1)
        left = await made.next_stream()
        assert await made.next_end() is left
        assert "pull east/live/left: ends: no push has taken it for 0.1 s" in lines.messages
        assert not kept.ended.is_set()
        assert not taken.ended.is_set()
        taken.source.release(feed)
        assert await made.next_end() is taken
        await until(lambda: list(made.pulls._tasks) == [("east", "live", "kept")])


async def test_a_persistent_pull_goes_on(media: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pull, "FIRST_RETRY_S", 0.01)
    monkeypatch.setattr(pull, "MAX_RETRY_S", 0.02)
    async with bench() as made, Server((media / "live.ts").read_bytes(), closes=True) as server:
        await made.start(server.url, retry_count=0, persistent=True)
        for _ in range(4):
            await made.next_end()
        assert list(made.pulls._tasks) == [("east", "live", "cam")]


async def test_the_stream_can_close_it(media: Path) -> None:
    async with bench(media) as made:
        await made.start(f"file://{media}/short.ts?loop=1")
        stream = await made.next_stream()
        assert stream.close is not None
        stream.close()
        stream.close()
        assert await made.next_end() is stream
        await until(lambda: not made.pulls._tasks)


async def test_ended_before_it_was_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "OPEN_DEADLINE_S", 0.5)
    async with bench() as made, Server(b"", closes=False) as server:
        starting = asyncio.create_task(made.start(server.url))
        await until(lambda: server.visits)
        assert await made.pulls.stop("east", "live", "cam")
        with pytest.raises(PullError, match="it was ended"):
            await within(starting)


async def test_who_stops_waiting_leaves_the_pull(media: Path) -> None:
    async with bench(media) as made:
        starting = asyncio.create_task(made.start(f"file://{media}/short.ts?loop=1"))
        await asyncio.sleep(0)  # one turn: the pull is there, and no thread has opened the file in it
        assert made.pulls._tasks
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        await made.next_stream()


def test_live_and_whole_inputs(media: Path) -> None:
    whole = open_input(f"file://{media}/short.ts", media, 1.0)
    assert isinstance(whole, Playback)
    assert network.patience_s(whole, 2.5) == network.SEGMENT_S
    assert network.patience_s(whole, 77.0) == 77.0
    whole.close()
    live = Live(Clip(media / "short.ts"))
    assert network.patience_s(live, 2.5) == 2.5
    assert len(live.read()) == 1
    live.close()
