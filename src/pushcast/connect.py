"""What stands before a session: which tracks of the stream the destination gets, and the way to its peer."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from pushcast.egress import PROTOCOLS, Link, Target
from pushcast.errors import ConnectTimeout, EngineError, MediaError, TransportError
from pushcast.media import FeedKey, select_tracks
from pushcast.settings import PushSettings
from pushcast.source import RING_BYTES
from pushcast.stream import Stream

if TYPE_CHECKING:
    from pushcast.source import Feed

# A delayed cursor leaves when the writer comes closer than an eighth of the ring.
KEPT_PER_DELAY = 1.25
KEPT_BESIDE_MS = 4000
CONNECT_DEADLINE_S = 10.0  # name resolution, connect and handshake together


def feed_key(settings: PushSettings, stream: Stream) -> FeedKey:
    """What of the stream these settings ask for.  :raises MediaError: nothing."""
    container = PROTOCOLS[settings.protocol].container
    tracks = select_tracks(stream.tracks, settings.variant_names, settings.track_ids, container)
    if not tracks:
        asked = ", ".join([*settings.variant_names, *(f"id {each}" for each in settings.track_ids)])
        there = ", ".join(f"{track.variant_name} (id {track.id})" for track in stream.tracks)
        raise MediaError(
            f"no track of stream {stream.name} is selected: asked for {asked or 'any'}, there are {there or 'none'}"
        )
    return FeedKey(container, tuple(track.id for track in tracks), settings.target.ts_options)


def take_feed(settings: PushSettings, stream: Stream) -> Feed:
    """What of the stream these settings ask for, in a ring that holds what their delay needs.

    :raises MediaError: the stream has it not, or no ring holds that much.
    """
    key = feed_key(settings, stream)
    if not settings.delay_ms:
        return stream.feed(key)
    keep_ms = round(settings.delay_ms * KEPT_PER_DELAY) + KEPT_BESIDE_MS
    keep_bytes = stream.source.bytes_per_s * keep_ms // 1000
    if keep_bytes > RING_BYTES:
        raise MediaError(
            f"delayMs: {settings.delay_ms} ms of this stream take {keep_bytes >> 20} MiB, "
            f"and a ring has {RING_BYTES >> 20}: a smaller delay is needed"
        )
    return stream.feed(key, keep_ms)


async def connect_in_time(protocol: str, target: Target, bytes_per_s: int) -> Link:
    """The accepted link.  :raises EngineError: there is none within CONNECT_DEADLINE_S."""
    try:
        async with asyncio.timeout(CONNECT_DEADLINE_S) as deadline:
            return await PROTOCOLS[protocol].connect(target, bytes_per_s)
    except EngineError:
        raise
    except OSError as error:
        if isinstance(error, TimeoutError) and deadline.expired():
            late = f"{target.endpoint} has not accepted us within {CONNECT_DEADLINE_S:g} s"
            raise ConnectTimeout(late) from None
        raise TransportError(f"{target.endpoint}: {error.strerror or type(error).__name__}") from error
