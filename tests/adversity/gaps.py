"""The longest gaps between the sends of live destinations, as the engine itself counts them."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Sequence

from live import AUDIO_TICKS, IDR, SLICE, TRACKS, Engine, LiveStream, settings

from adversity.dead import Push
from pushcast.egress.fanout import Attachment
from pushcast.push import Push as RunningPush

# A frame each 20 ms: at 25 frames a second the stream's own gaps would reach three ticks of UDP.
FRAME_TICKS, FRAME_BYTES, FRAMES_OF_A_GOP = 1800, 6000, 50
THREE_TICKS_MS = {"rtmp": 120, "tcp": 120, "srt": 60, "udp": 60}


async def play(stream: LiveStream) -> None:
    """2.5 Mbit/s of pictures and the sound beside them, each frame at its time."""
    video, audio = TRACKS
    begin, sounds = time.monotonic(), 0
    for number in itertools.count():
        dts, key = number * FRAME_TICKS, number % FRAMES_OF_A_GOP == 0
        unit = (IDR if key else SLICE)[4:] + bytes([0x55]) * FRAME_BYTES
        stream.source.push(video.id, dts, dts, 1 if key else 0, len(unit).to_bytes(4, "big") + unit)
        while sounds * AUDIO_TICKS <= dts:
            stream.source.push(audio.id, sounds * AUDIO_TICKS, sounds * AUDIO_TICKS, 1, bytes([0x21, 0x1B, 0x55]) * 25)
            sounds += 1
        await asyncio.sleep(max(0.0, begin + (number + 1) * FRAME_TICKS / 90_000 - time.monotonic()))


def start(built: Engine, name: str, pushes: Sequence[Push]) -> list[RunningPush]:
    return [
        built.scheduler.start(settings(f"{name}-{number}", url, key=key)) for number, (_, url, key) in enumerate(pushes)
    ]


def attachment(push: RunningPush) -> Attachment:
    """Of a push that is pushing."""
    assert push.session is not None, f"push {push.settings.id} is {push.state}: {push.last_error}"
    return push.session.attachment


async def longest_gaps(pushes: Sequence[RunningPush], window_s: float) -> dict[str, int]:
    """By the scheme of the URL, in ms, within a window that begins now."""
    before = [attachment(push) for push in pushes]
    for each in before:
        each.destination.reset_gap()
    await asyncio.sleep(window_s)
    longest: dict[str, int] = {}
    for push, each in zip(pushes, before, strict=True):
        assert attachment(push) is each, f"the session of {push.settings.id} broke: {push.last_error}"
        scheme = push.settings.url.partition(":")[0]
        longest[scheme] = max(longest.get(scheme, 0), each.counters().max_gap_ms)
    return longest


def check_gaps(windows: Sequence[dict[str, int]]) -> None:
    """In one window at least nobody waited longer than three ticks; what disturbs one window only came from elsewhere
    on this machine.
    """
    for scheme in windows[0]:
        best_ms = min(window[scheme] for window in windows)
        assert best_ms <= THREE_TICKS_MS[scheme], (
            f"{scheme}: longest gap {best_ms} ms, allowed {THREE_TICKS_MS[scheme]} ms: {windows}"
        )
