"""Servers that ask a publisher to go on elsewhere (E-RTMP v2): at a keyframe, without a gap, only where we may go."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from live import Engine, LiveStream, refusing_tcp_port, until
from rtmp_peer import SECRET, Served, served

from pushcast.destinations import DestinationPolicy
from pushcast.egress import resolve
from pushcast.egress.rtmp_target import RtmpTarget, moved, parse_target
from pushcast.errors import Rejected
from pushcast.push import Push
from pushcast.push_state import PushState
from pushcast.rtmp.events import Connect, Media, Unpublish
from pushcast.rtmp.messages import Command
from pushcast.session import MOVE_PAUSE_NS
from pushcast.settings import PushSettings

KEYFRAME = 0x17
REQUEST = "NetConnection.Connect.ReconnectRequest"


@dataclass
class Server:
    """What a server got: sizes of video messages, which tell the frames apart."""

    target: RtmpTarget | None = None
    sizes: list[int] = field(default_factory=list)
    first: int = -1
    connections: int = 0
    ended: int = 0
    unpublished: int = 0
    peer: Served | None = None

    async def script(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Served(reader, writer)
        await peer.event(Connect)
        await peer.let_in()
        self.peer = peer
        self.connections += 1
        try:
            while True:
                event = await peer.event((Media, Unpublish))  # type: ignore[arg-type]
                if isinstance(event, Unpublish):
                    self.unpublished += 1
                elif event.message.type == 9 and event.message.payload[1] == 1:  # type: ignore[attr-defined]
                    payload = event.message.payload  # type: ignore[attr-defined]
                    self.first = payload[0] if self.first < 0 else self.first
                    self.sizes.append(len(payload) - (payload[0] == KEYFRAME))  # whose unit is a byte longer
        except ConnectionError:
            self.ended += 1

    def ask(self, tc_url: str | None) -> None:
        assert self.peer is not None
        info: dict[str, Any] = {"level": "status", "code": REQUEST, "description": "maintenance"}
        if tc_url is not None:
            info["tcUrl"] = tc_url
        self.peer.writer.write(self.peer.connection._write(Command("onStatus", 0, None, (info,))))


@contextlib.asynccontextmanager
async def server() -> AsyncIterator[Server]:
    made = Server()
    async with served(made.script) as made.target:
        yield made


@contextlib.asynccontextmanager
async def publishing(world: Engine, to: Server, **more: Any) -> AsyncIterator[tuple[Push, LiveStream]]:
    """A push to this server of a stream whose video frames all have another size, with a keyframe each second."""
    target = to.target
    assert target is not None
    live = LiveStream(world.registry)
    live.up()
    push = world.scheduler.start(
        PushSettings("p", "v", "a", "s", "rtmp", target, f"rtmp://{target.endpoint}/app", SECRET, **more)
    )

    async def play() -> None:
        number = 0
        while True:
            live.feed(padding_bytes=100 + number)
            number += 1
            await asyncio.sleep(0.02)

    task = asyncio.create_task(play())
    try:
        await until(lambda: push.state is PushState.PUSHING and len(to.sizes) > 10)
        yield push, live
    finally:
        task.cancel()
        await asyncio.wait({task})
        world.scheduler.stop("v", "a", "p")
        await until(lambda: push.state is PushState.STOPPED)


def url_of(to: Server) -> str:
    assert to.target is not None
    return f"rtmp://{to.target.endpoint}/other/app?a=b"


@pytest.mark.parametrize("delay_ms", [0, 600])
async def test_it_goes_on_at_a_keyframe_and_nothing_is_missing(world: Engine, delay_ms: int) -> None:
    async with server() as one, server() as two, publishing(world, one, delay_ms=delay_ms) as (push, _):
        before = push.progress().sent_bytes
        one.ask(url_of(two))
        await until(lambda: len(two.sizes) > 40 and one.ended == 1)
        assert push.state is PushState.PUSHING
        assert (push.sequence, one.unpublished, one.connections, two.connections) == (0, 1, 1, 1)
        assert push.session is not None
        assert two.target is not None
        assert push.session.described()["movedTo"] == two.target.endpoint
        assert push.progress().sent_bytes > before
    assert two.first == KEYFRAME
    frames = sorted({*one.sizes, *two.sizes})
    assert frames == list(range(frames[0], frames[-1] + 1))
    both = {*one.sizes} & {*two.sizes}
    assert len(both) <= (30 if delay_ms else 6), "a short overlap, and no second of it"


async def test_without_a_url_it_comes_again(world: Engine) -> None:
    async with server() as one, publishing(world, one) as (push, _):
        one.ask(None)
        await until(lambda: one.connections == 2 and one.ended == 1)
        assert push.state is PushState.PUSHING
        assert one.unpublished == 1


async def test_a_place_that_is_not_there_changes_nothing(world: Engine, caplog: pytest.LogCaptureFixture) -> None:
    async with server() as one, publishing(world, one) as (push, _):
        one.ask(f"rtmp://127.0.0.1:{refusing_tcp_port()}/app")
        await until(lambda: "and stays: rtmp 127.0.0.1:" in caplog.text)
        seen = len(one.sizes)
        await until(lambda: len(one.sizes) > seen + 30)
        assert (push.state, push.sequence, one.connections, one.ended) == (PushState.PUSHING, 0, 1, 0)


async def test_a_server_that_asks_all_the_time_is_followed_once(world: Engine) -> None:
    assert MOVE_PAUSE_NS >= 5_000_000_000
    async with server() as one, server() as two, publishing(world, one) as (push, _):
        for _ in range(50):
            one.ask(url_of(two))
        await until(lambda: two.connections == 1 and len(two.sizes) > 20)
        for _ in range(50):
            two.ask(url_of(one))
        seen = len(two.sizes)
        await until(lambda: len(two.sizes) > seen + 60)
        assert (one.connections, two.connections) == (1, 1)
        assert push.state is PushState.PUSHING


async def test_a_stop_while_it_changes_over(world: Engine) -> None:
    """The second server accepts the connection and says nothing."""
    mute = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    port = mute.sockets[0].getsockname()[1]
    async with server() as one, publishing(world, one) as (push, _):
        one.ask(f"rtmp://127.0.0.1:{port}/app")
        await asyncio.sleep(0.05)
        world.scheduler.restart(push)
        await until(lambda: one.connections == 2)
        await until(lambda: push.state is PushState.PUSHING)
    mute.close()


TARGET = parse_target("rtmp://one.example/live/app?x=1", "key")
SECURE = parse_target("rtmps://one.example/live", "key")


@pytest.mark.parametrize(
    ("target", "tc_url", "host", "port", "app"),
    [
        (TARGET, "", "one.example", 1935, "live/app?x=1"),
        (TARGET, "rtmp://two.example/other", "two.example", 1935, "other"),
        (TARGET, "rtmp://two.example:2000/other?y=2", "two.example", 2000, "other?y=2"),
        (TARGET, "rtmps://two.example/other", "two.example", 443, "other"),
        (TARGET, "//two.example:2000/other", "two.example", 2000, "other"),
        (TARGET, "/other", "one.example", 1935, "other"),
        (TARGET, "other", "one.example", 1935, "live/other"),
        (SECURE, "rtmps://two.example/other", "two.example", 443, "other"),
        (SECURE, "/other", "one.example", 443, "other"),
    ],
)
def test_where_it_goes(target: RtmpTarget, tc_url: str, host: str, port: int, app: str) -> None:
    found = moved(target, tc_url)
    assert (found.host, found.port, found.app, found.key) == (host, port, app, "key")


@pytest.mark.parametrize(
    ("target", "tc_url", "text"),
    [
        (SECURE, "rtmp://two.example/live", "sent on to rtmp://two.example, from TLS to plain text"),
        (TARGET, "http://two.example/live", "sent on to http://two.example, which is no place to publish to"),
        (TARGET, "rtmp://", "sent on to nowhere, which is no place to publish to"),
        (TARGET, "//[", "sent on to nowhere"),
        (TARGET, "x" * 5000, "no place to publish to"),
    ],
)
def test_where_it_does_not_go(target: RtmpTarget, tc_url: str, text: str) -> None:
    with pytest.raises(Rejected) as caught:
        moved(target, tc_url)
    assert text in str(caught.value)


def test_rules_for_destinations_hold_here_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolve, "_policy", DestinationPolicy((), ("10.0.0.0/8",)), raising=False)
    with pytest.raises(Rejected, match=r"sent on to rtmp://10\.1\.2\.3, which is no place to publish to"):
        moved(TARGET, "rtmp://10.1.2.3/app")
