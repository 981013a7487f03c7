"""Statistics as the API shows them."""

from __future__ import annotations

import pytest
from live import LiveStream, UdpSink, engine, settings, until

from pushcast.api.stats import app_stats, metrics_json, server_stats, stream_stats, vhost_stats
from pushcast.api.times import iso_time
from pushcast.errors import NotFound
from pushcast.push_state import PushState
from pushcast.statistics import Flow, Metrics, Statistics


def test_members_and_their_values() -> None:
    metrics = Metrics(
        created_time=1_700_000_001.125,
        updated_time=1_700_000_002.25,
        received=Flow(11, 12, 13, 14, 1_700_000_003.5),
        sent=Flow(21, 22, 23, 24, 1_700_000_004.75),
        connections=31,
        most_connections=32,
        most_connections_time=1_700_000_005.875,
    )
    assert metrics_json(metrics) == {
        "createdTime": iso_time(1_700_000_001.125),
        "lastUpdatedTime": iso_time(1_700_000_002.25),
        "totalBytesIn": 11,
        "totalBytesOut": 21,
        "lastThroughputIn": 12,
        "lastThroughputOut": 22,
        "avgThroughputIn": 13,
        "avgThroughputOut": 23,
        "maxThroughputIn": 14,
        "maxThroughputOut": 24,
        "lastRecvTime": iso_time(1_700_000_003.5),
        "lastSentTime": iso_time(1_700_000_004.75),
        "totalConnections": 31,
        "maxTotalConnections": 32,
        "maxTotalConnectionTime": iso_time(1_700_000_005.875),
        "connections": {
            "webrtc": 0,
            "llhls": 0,
            "ovt": 0,
            "file": 0,
            "push": 31,
            "thumbnail": 0,
            "hls": 0,
            "srt": 0,
        },
    }


async def test_every_level_of_a_push() -> None:
    async with engine() as running:
        registry = running.registry
        statistics = Statistics(registry, running.scheduler)
        live = LiveStream(registry, "show")
        live.up()
        sink = UdpSink()
        url = f"udp://127.0.0.1:{await sink.open()}"
        push = running.scheduler.start(settings("one", url, stream="show"))
        async with live.playing():
            await until(lambda: push.progress().sent_bytes > 5000)
        await statistics.sample()
        levels = [
            server_stats(statistics),
            vhost_stats(statistics, registry, "v"),
            app_stats(statistics, registry, "v", "a"),
            stream_stats(statistics, registry, "v", "a", "show"),
        ]
        for shown in levels:
            assert shown["totalBytesIn"] == live.source.byte_count
            assert 5000 < shown["totalBytesOut"] <= push.progress().total_sent_bytes
            assert shown["totalConnections"] == shown["connections"]["push"] == 1
        assert app_stats(statistics, registry, "v", "b")["totalBytesIn"] == 0
        live.down()
        await until(lambda: push.state is PushState.READY)
        with pytest.raises(NotFound, match=r"Could not find the stream: \[v/#v#a/show\]"):
            stream_stats(statistics, registry, "v", "a", "show")
        shown = server_stats(statistics)
        assert shown["totalBytesOut"] == push.progress().total_sent_bytes
        assert (shown["totalConnections"], shown["maxTotalConnections"]) == (0, 1)
        sink.close()


async def test_unknown_places() -> None:
    async with engine() as running:
        registry = running.registry
        statistics = Statistics(registry, running.scheduler)
        with pytest.raises(NotFound, match=r"Could not find the virtual host: \[x\]"):
            vhost_stats(statistics, registry, "x")
        with pytest.raises(NotFound, match=r"Could not find the application: \[v/x\]"):
            app_stats(statistics, registry, "v", "x")
        with pytest.raises(NotFound, match=r"Could not find the application: \[v/x\]"):
            stream_stats(statistics, registry, "v", "x", "s")
        with pytest.raises(NotFound, match=r"Could not find the stream: \[v/#v#b/s\]"):
            stream_stats(statistics, registry, "v", "b", "s")
        assert list(statistics._vhosts) == ["v"], "asking makes no entries"
