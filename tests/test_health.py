"""Health of a session: what is said of what a pulse found, and real peers that stop reading, vanish and come back."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
from live import Engine, LiveStream, UdpSink, settings, until

from pushcast import health as health_module
from pushcast.health import WELL, Condition, Health, look_after
from pushcast.health import condition as condition_of
from pushcast.pulse import (
    FOUND_BEHIND,
    FOUND_CONFIRMS_NOTHING,
    FOUND_DROPPED,
    FOUND_JUMPED,
    FOUND_OVERLOADED,
    FOUND_REFUSED,
    FOUND_RESENT,
    FOUND_SILENT,
    FOUND_TAKES_NOTHING,
    FOUND_WELL,
)
from pushcast.push import Push
from pushcast.push_state import PushState

DEGRADED, STALLED = Health.DEGRADED, Health.STALLED


@pytest.mark.parametrize(
    ("found", "figure", "expected"),
    [
        (FOUND_WELL, 0.0, WELL),
        (FOUND_TAKES_NOTHING, 4.2, Condition(STALLED, "the peer has taken nothing for 4 s")),
        (FOUND_CONFIRMS_NOTHING, 4.0, Condition(STALLED, "the peer has confirmed nothing for 4 s")),
        (FOUND_OVERLOADED, 0.0, Condition(DEGRADED, "too much")),
        (FOUND_BEHIND, 2.34, Condition(DEGRADED, "it is 2.3 s behind the stream")),
        (FOUND_JUMPED, 0.0, Condition(DEGRADED, "it fell behind, and left out media up to the next keyframe")),
        (FOUND_DROPPED, 7.0, Condition(DEGRADED, "7 packets were dropped as too late")),
        (FOUND_REFUSED, 0.0, Condition(DEGRADED, "datagrams are refused: nobody listens there")),
        (FOUND_RESENT, 12.0, Condition(DEGRADED, "12 % of what was sent had to be sent again")),
        (FOUND_SILENT, 6.0, Condition(DEGRADED, "the stream has brought nothing for 6 s")),
    ],
)
def test_what_is_found_is_said_in_a_sentence(found: int, figure: float, expected: Condition) -> None:
    assert condition_of(found, figure, "too much") == expected


async def test_a_peer_that_stops_reading_is_stalled_and_well_again_when_it_reads(
    world: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health_module, "LOOK_S", 0.1)
    monkeypatch.setattr(health_module, "STALLED_S", 0.5)
    heard: list[tuple[Health, Condition]] = []
    world.scheduler.subscribe_conditions(lambda push, before, found: heard.append((before.health, found)))
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        live = LiveStream(world.registry)
        live.up()
        push = world.scheduler.start(settings("p", f"tcp://127.0.0.1:{server.getsockname()[1]}"))
        looking = asyncio.create_task(look_after(world.scheduler.running))
        async with live.playing(20_000):
            await until(lambda: push.state is PushState.PUSHING)
            far, _ = server.accept()
            await until(lambda: condition(push).health is STALLED, 8)
            assert push.state is PushState.PUSHING
            assert figures(push)["unsent_bytes"] > 0
            far.setblocking(False)
            await until(lambda: reads(far) and condition(push).health is not STALLED, 8)
        looking.cancel()
        far.close()
    assert heard[0][0] is Health.OK
    assert heard[0][1].health is STALLED
    assert heard[0][1].reason.startswith(("the peer has taken nothing for", "the peer has confirmed nothing for"))
    assert heard[1][0] is STALLED


def reads(far: socket.socket) -> bool:
    try:
        while far.recv(1 << 16):
            pass
    except BlockingIOError:
        pass
    return True


async def test_a_udp_port_where_nobody_listens_degrades(world: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = UdpSink()
    port = await sink.open()
    sink.close()
    live = LiveStream(world.registry)
    live.up()
    push = world.scheduler.start(settings("p", f"udp://127.0.0.1:{port}"))
    async with live.playing():
        await until(lambda: looked(push).health is DEGRADED)
    assert condition(push).reason == "datagrams are refused: nobody listens there"
    assert figures(push)["refused_datagrams"] > 0


def looked(push: Push) -> Condition:
    push.look()
    return condition(push)


def condition(push: Push) -> Condition:
    return push.session.condition if push.session is not None else WELL


def figures(push: Push) -> dict[str, Any]:
    assert push.session is not None
    return push.session.figures()
