"""Health of a session: what a second's figures mean, and real peers that stop reading, vanish and come back."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import Any

import pytest
from live import Engine, LiveStream, UdpSink, settings, until

from pushcast import health as health_module
from pushcast.egress.fanout import Counters
from pushcast.egress.link import Seen
from pushcast.egress.tcpinfo import tcp_info
from pushcast.health import WELL, Condition, Health, Pulse, look_after
from pushcast.push import Push
from pushcast.push_state import PushState

SECOND = 1_000_000_000
QUIET = Counters(
    sent_bytes=0, sends=0, jumps=0, skipped_spans=0, lag_ms=0, max_gap_ms=0, refused=0, last_send_ns=0, blocked_ms=0
)
DEGRADED, STALLED = Health.DEGRADED, Health.STALLED


class Looks:
    """A session that sends 100 kB a second, looked at each second."""

    def __init__(self) -> None:
        self.now_ns = 1000 * SECOND
        self.pulse = Pulse(self.now_ns)
        self.counters = QUIET

    def look(self, seen: Seen | None = None, overload: str = "", silent: bool = False, **figures: int) -> Condition:
        self.now_ns += SECOND
        self.counters = self.counters._replace(sent_bytes=self.counters.sent_bytes + 100_000, **figures)
        if not silent:
            self.counters = self.counters._replace(last_send_ns=self.now_ns)
        return self.pulse.look(self.counters, seen, overload, self.now_ns)


def test_all_is_well() -> None:
    looks = Looks()
    assert all(looks.look(Seen(n, True, n, 0, 0)) == WELL for n in range(1, 10))
    assert looks.pulse.bits_per_s == 800_000
    assert time.time() - looks.pulse.confirmed_time < 5


@pytest.mark.parametrize(
    ("figures", "condition"),
    [
        ({"blocked_ms": 1999}, WELL),
        ({"blocked_ms": 4200}, Condition(STALLED, "the peer has taken nothing for 4 s")),
        ({"lag_ms": 1000}, WELL),
        ({"lag_ms": 2340}, Condition(DEGRADED, "it is 2.3 s behind the stream")),
        ({"overload": "too much"}, Condition(DEGRADED, "too much")),
        ({"jumps": 1}, Condition(DEGRADED, "it fell behind, and left out media up to the next keyframe")),
        ({"refused": 3}, Condition(DEGRADED, "datagrams are refused: nobody listens there")),
        ({"seen": Seen(1, False, 100, 0, 7)}, Condition(DEGRADED, "7 packets were dropped as too late")),
        ({"seen": Seen(1, False, 100, 5, 0)}, WELL),
        ({"seen": Seen(1, False, 100, 12, 0)}, Condition(DEGRADED, "12 % of what was sent had to be sent again")),
        ({"blocked_ms": 3000, "lag_ms": 3000, "jumps": 2}, Condition(STALLED, "the peer has taken nothing for 3 s")),
    ],
)
def test_what_one_look_means(figures: dict[str, object], condition: Condition) -> None:
    assert Looks().look(**figures) == condition  # type: ignore[arg-type]


def test_a_peer_that_confirms_nothing_more() -> None:
    looks = Looks()
    owed = Seen(5000, True, 9000, 0, 0)
    assert [looks.look(owed).health for _ in range(4)] == [Health.OK, Health.OK, STALLED, STALLED]
    assert looks.look(owed) == Condition(STALLED, "the peer has confirmed nothing for 4 s")
    assert looks.look(Seen(5001, True, 9000, 0, 0)) == WELL
    assert all(looks.look(Seen(5001, False, 9000, 0, 0)) == WELL for _ in range(5)), "it owes nothing"


def test_trouble_shows_for_a_while() -> None:
    looks = Looks()
    assert looks.look(jumps=1).health is DEGRADED
    seconds = 0
    while looks.look().health is DEGRADED:
        seconds += 1
    assert seconds == health_module.TROUBLE_S


def test_a_stream_that_brings_nothing() -> None:
    looks = Looks()
    looks.look()
    found = [looks.look(silent=True) for _ in range(6)]
    assert found[3] == WELL
    assert found[5] == Condition(DEGRADED, "the stream has brought nothing for 6 s")


def test_figures_of_a_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as near:
        far, _ = server.accept()
        near.sendall(bytes(5000))
        deadline = time.monotonic() + 5
        while (info := tcp_info(near.fileno())).unacked_segments and time.monotonic() < deadline:
            pass
        assert (info.acked_bytes - 1, info.sent_bytes, info.notsent_bytes) in ((5000, 5000, 0), (4999, 5000, 0))
        assert 0 < info.rtt_ms < 1000
        far.close()


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
