"""Publishing rules in force, over RTMP and SRT: keys, tokens, replacement, limits, passphrases and the webhook."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from ingest_world import World, transport_stream, until
from rtmp_publishers import Publisher, ffmpeg_publishes, reasons
from srt_calls import call, connected
from test_webhook import Handler, control_server

from pushcast import admission
from pushcast.admission import PublishRefused
from pushcast.config_sections import Publish
from pushcast.ingest import rtmp
from pushcast.ingest.gate import Gate
from pushcast.ingest.rtmp import RtmpIngest
from pushcast.ingest.srt import SrtIngest
from pushcast.publish_token import Scope, make_token

KEY = "swordfish-of-sixteen"
SECRET = "a secret of more than thirty-two characters"
NAME = ("default", "app", "cam")
BAD_SECRET, UNSECURE = 10, 11  # libsrt's reject reasons


@asynccontextmanager
async def rtmp_of(world: World, **rules: Any) -> AsyncIterator[RtmpIngest]:
    gate = Gate(world.registry, {("default", "app"): Publish(**rules)})
    ingest = RtmpIngest(world.registry, gate, "127.0.0.1", 0)
    await ingest.start()
    try:
        yield ingest
    finally:
        await ingest.close()
        await gate.close()


@asynccontextmanager
async def srt_of(world: World, passphrase: str = "", **rules: Any) -> AsyncIterator[SrtIngest]:
    gate = Gate(world.registry, {("default", "app"): Publish(**rules)})
    ingest = SrtIngest(world.registry, gate, "127.0.0.1", 0, passphrase=passphrase)
    await ingest.start()
    try:
        yield ingest
    finally:
        await ingest.close()
        await gate.close()


async def refused(ingest: RtmpIngest, key: str) -> None:
    with pytest.raises(Exception, match=r"NetStream|closed"):
        await Publisher(ingest.port).publish(key, "app", "default")


@pytest.fixture(autouse=True)
def swift(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rtmp, "SWEEP_S", 0.02)


@pytest.fixture
def world() -> World:
    return World()


async def test_rtmp_keys_and_tokens(world: World, lines: pytest.LogCaptureFixture) -> None:
    async with rtmp_of(world, keys=[KEY], token_secret=SECRET) as ingest:
        await refused(ingest, "cam")
        await refused(ingest, "cam?key=wrong-swordfish-")
        token = make_token(SECRET, Scope(stream="ca*"), 60)
        await refused(ingest, f"other?token={token}")
        for shown in (f"key={KEY}", f"token={token}"):
            publisher = await Publisher(ingest.port).publish(f"cam?{shown}", "app", "default")
            await publisher.headers()
            await until(lambda: world.registry.get(*NAME))
            publisher.writer.close()
            await until(lambda: world.registry.get(*NAME) is None)
    text = lines.text
    assert "refused: expected a key or token in the URL's parameters, got none" in text
    assert "swordfish" not in text
    assert token not in text


async def test_srt_keys_tokens_and_addresses(world: World, lines: pytest.LogCaptureFixture) -> None:
    async with srt_of(world, keys=[KEY], token_secret=SECRET) as ingest:
        assert await call(ingest.port, streamid="app/cam") == 1401
        assert await call(ingest.port, streamid="#!::r=app/cam,m=publish,key=wrong") == 1401
        assert await call(ingest.port, streamid=f"#!::r=app/cam,m=publish,key={KEY}") is None
        token = make_token(SECRET, Scope(ip="127.0.0.0/8"), 60)
        await until(lambda: world.registry.is_taken(*NAME))
        await until(lambda: not world.registry.is_taken(*NAME))
        assert await call(ingest.port, streamid=f"app/cam?token={token}") is None
    async with srt_of(world, deny=["127.0.0.1"]) as ingest:
        assert await call(ingest.port, streamid="app/cam") == 1403
    assert "swordfish" not in lines.text
    assert token not in lines.text


async def test_passphrases_of_streams_beat_the_one_of_all(world: World) -> None:
    rules = {"srt_passphrases": {"cam*": "passphrase of cams"}}
    async with srt_of(world, passphrase="passphrase of all", **rules) as ingest:
        assert await call(ingest.port, streamid="app/cam", passphrase="passphrase of all") == BAD_SECRET
        assert await call(ingest.port, streamid="app/cam") == UNSECURE
        assert await call(ingest.port, streamid="app/cam", passphrase="passphrase of cams") is None
        assert await call(ingest.port, streamid="app/other", passphrase="passphrase of all") is None


def may_have(gate: Gate, name: tuple[str, str, str]) -> bool:
    """Whether somebody who comes now gets the name."""
    try:
        gate.check_name(name)
    except PublishRefused:
        return False
    return True


async def test_a_newcomer_replaces_the_holder(
    world: World, lines: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admission, "HOLD_S", 1.0)
    async with rtmp_of(world, duplicate="replace") as ingest:
        url = f"rtmp://127.0.0.1:{ingest.port}/app/cam"
        first = await ffmpeg_publishes(url, 30)
        await until(lambda: world.came)
        await refused(ingest, "cam")  # it has just begun
        await until(lambda: may_have(ingest.gate, NAME))
        second = await ffmpeg_publishes(url, 30)
        try:
            await until(lambda: len(world.came) == 2)
            assert world.went == world.came[:1]
            await asyncio.wait_for(first.wait(), 10)
            assert any(reason.startswith("replaced by publisher 127.0.0.1:") for reason in reasons(lines))
        finally:
            for each in (first, second):
                if each.returncode is None:
                    each.kill()
                    await each.wait()


async def test_over_srt_and_from_one_protocol_to_the_other(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "HOLD_S", 0.0)
    gate = Gate(world.registry, {("default", "app"): Publish(duplicate="replace")})
    one, other = RtmpIngest(world.registry, gate, "127.0.0.1", 0), SrtIngest(world.registry, gate, "127.0.0.1", 0)
    await one.start()
    await other.start()
    try:
        publisher = await Publisher(one.port).publish("cam", "app", "default")
        await publisher.headers()
        await until(lambda: world.came)
        async with connected(other.port, streamid="app/cam") as transport:
            for datagram in transport_stream(60):
                transport.send(datagram)
                await asyncio.sleep(0.001)
            await until(lambda: len(world.came) == 2)
            assert [stream.source_type for stream in world.came] == ["Rtmp", "Srt"]
            back = await Publisher(one.port).publish("cam", "app", "default")
            await back.headers()
            await until(lambda: len(world.came) == 3)
            await until(lambda: not transport.connected)
    finally:
        await one.close()
        await other.close()
        await gate.close()


async def test_limits(world: World, lines: pytest.LogCaptureFixture) -> None:
    async with rtmp_of(world, max_streams=1, max_tracks=1, max_bitrate_kbps=1000) as ingest:
        first = await Publisher(ingest.port).publish("one", "app", "default")
        await refused(ingest, "two")
        await first.headers()  # video and audio
        await until(lambda: "expected at most 1 tracks, got 2" in reasons(lines))
        await until(lambda: not world.registry.is_taken("default", "app", "one"))
    assert "refused: default/app has 1 streams, and more are not allowed" in reasons(lines)
    async with rtmp_of(world, max_bitrate_kbps=100) as ingest:
        publisher = await Publisher(ingest.port).publish("cam", "app", "default")
        await publisher.headers()
        await publisher.picture(0, 200_000)
        await until(lambda: any("expected at most 100 kbit/s over 10 s, got" in reason for reason in reasons(lines)))


def answering(asked: list[Any], **answer: Any) -> Handler:
    async def handler(request: web.Request) -> web.Response:
        asked.append(json.loads(await request.read()))
        return web.json_response(answer)

    return handler


async def test_the_webhook_renames_and_hears_of_the_end(world: World, lines: pytest.LogCaptureFixture) -> None:
    asked: list[Any] = []
    answer = {"allowed": True, "new_url": "rtmp://anything/other/renamed", "lifetime": 700}
    async with control_server(answering(asked, **answer)) as url:
        async with rtmp_of(world, webhook={"url": url, "secret": "x"}) as ingest:
            publisher = await Publisher(ingest.port).publish(f"cam?key={KEY}", "app", "default")
            await publisher.headers()
            await until(lambda: world.registry.get("default", "other", "renamed"))
            await publisher.closed()
            await until(lambda: len(asked) == 2)
        assert [each["request"]["status"] for each in asked] == ["opening", "closing"]
        assert asked[0]["request"]["url"] == f"rtmp://default/app/cam?key={KEY}"
        assert "its lifetime of 0.7 s is over" in reasons(lines)
    assert "swordfish" not in lines.text


@pytest.mark.parametrize("tc_url", ["rtmp://default/app?key=1", "rtmp://default/app"])
async def test_the_webhook_sees_the_stream_with_parameters_behind_the_app(world: World, tc_url: str) -> None:
    asked: list[Any] = []
    hook = answering(asked, allowed=True)
    async with control_server(hook) as url, rtmp_of(world, webhook={"url": url, "secret": "x"}) as ingest:
        await Publisher(ingest.port).publish("cam?user=2", "app?key=1", "default", tc_url)
        assert world.registry.is_taken(*NAME)
    assert [each["request"]["url"] for each in asked] == ["rtmp://default/app/cam?key=1&user=2"] * 2


async def test_whom_the_webhook_refuses(world: World, lines: pytest.LogCaptureFixture) -> None:
    asked: list[Any] = []
    async with control_server(answering(asked, allowed=False, reason="not today")) as url:
        hook = {"webhook": {"url": url, "secret": "x"}}
        async with rtmp_of(world, **hook) as ingest:
            await refused(ingest, "cam")
            await until(lambda: "refused: not today" in reasons(lines))
        async with srt_of(world, **hook) as ingest:
            await call(ingest.port, streamid="app/cam")  # it may be closed before it knows that it was accepted
            await until(lambda: len([line for line in lines.messages if line.endswith("refused: not today")]) == 2)
    assert not world.came
    assert [each["request"]["protocol"] for each in asked] == ["RTMP", "SRT"]


async def test_srt_waits_for_the_webhook_and_loses_nothing(world: World) -> None:
    asked, may = [], asyncio.Event()

    async def handler(request: web.Request) -> web.Response:
        asked.append(json.loads(await request.read()))
        await may.wait()
        return web.json_response({"allowed": True})

    async with control_server(handler) as url, srt_of(world, webhook={"url": url, "secret": "x"}) as ingest:
        async with connected(ingest.port, streamid="app/cam?user=a%20b") as transport:
            for datagram in transport_stream(60):
                assert transport.send(datagram) == len(datagram)
                await asyncio.sleep(0.001)
            assert not world.came
            may.set()
            await until(lambda: world.came and world.came[0].source.frame_count >= 110)
        assert asked[0]["request"]["url"] == f"srt://default:{ingest.port}/app/cam?user=a+b"
        await until(lambda: len(asked) == 2)


async def test_who_leaves_while_the_webhook_thinks_holds_nothing(world: World) -> None:
    came, may = asyncio.Event(), asyncio.Event()

    async def handler(request: web.Request) -> web.Response:
        came.set()
        await may.wait()
        return web.json_response({"allowed": True})

    async with control_server(handler) as url, rtmp_of(world, webhook={"url": url, "secret": "x"}) as ingest:
        publisher = Publisher(ingest.port)
        publishing = asyncio.create_task(publisher.publish("cam", "app", "default"))
        await came.wait()
        publishing.cancel()
        await asyncio.wait({publishing})
        publisher.writer.close()
        may.set()
        await until(lambda: not world.registry.is_taken(*NAME) and not ingest._connections)
        assert not world.came
