"""Many pushes at once, dead peers among them: the live ones run in time, and none of them feels the dead ones."""

from __future__ import annotations

import asyncio
from pathlib import Path

from live import LiveStream, engine, until
from serving import serving

from adversity.dead import dead_peers
from adversity.gaps import check_gaps, longest_gaps, play, start
from adversity.sinks import Sink, sinks
from adversity.storm import live_pushes, start_at_once
from pushcast.push_state import PushState

PROTOCOLS = ("rtmp", "srt", "udp")
LIVE_OF_EACH, DEAD_OF_EACH = 20, 10
PUSHING_S = 2.0
WINDOW_S, WINDOWS = 1.2, 3


def test_all_live_pushes_of_a_storm_are_pushing_within_two_seconds(tmp_path: Path, clip: Path) -> None:
    source = f'[[sources]]\nname = "live"\nurl = "{clip.as_uri()}?loop=1"\n'
    with (
        serving(tmp_path, sources=source) as served,
        sinks(*PROTOCOLS) as receivers,
        dead_peers(DEAD_OF_EACH, DEAD_OF_EACH, DEAD_OF_EACH) as dead,
    ):
        served.until_stream()
        storm = asyncio.run(start_at_once(served, live_pushes(receivers, LIVE_OF_EACH), dead, keep_s=1.5))
        assert storm.pushing_s < PUSHING_S, storm
        assert storm.states["live pushing"] == LIVE_OF_EACH * len(PROTOCOLS), storm
        assert "dead pushing" not in storm.states, storm
        for protocol, sink in receivers.items():
            check_rows(protocol, sink)


def check_rows(protocol: str, sink: Sink) -> None:
    summary = sink.summary()
    wrong = [row["errors"] for row in summary["senders"] if row["errors"]]
    assert summary["errors"] == 0, f"{protocol}: {wrong[:3]}"
    assert len(summary["senders"]) == LIVE_OF_EACH
    assert min(row["video_frames"] for row in summary["senders"]) > 25, f"{protocol}: a sender stood still"


async def test_no_gap_of_a_live_destination_is_the_work_of_dead_ones() -> None:
    """Dead pushes come anew in each window."""
    with (
        sinks(*PROTOCOLS) as receivers,
        dead_peers(DEAD_OF_EACH, DEAD_OF_EACH, DEAD_OF_EACH) as dead,
    ):
        async with engine() as built:
            stream = LiveStream(built.registry)
            stream.up()
            player = asyncio.create_task(play(stream))
            live = start(built, "live", live_pushes(receivers, LIVE_OF_EACH))
            await until(lambda: all(push.state is PushState.PUSHING for push in live))
            windows: list[dict[str, int]] = []
            for _ in range(WINDOWS):
                tried = start(built, "dead", dead)
                windows.append(await longest_gaps(live, WINDOW_S))
                for push in tried:
                    assert push.state in (PushState.CONNECTING, PushState.ERROR)
                    built.scheduler.stop("v", "a", push.settings.id)
            player.cancel()
            await asyncio.wait({player})
        check_gaps(windows)
        for protocol, sink in receivers.items():
            check_rows(protocol, sink)
