"""What stands before a session and behind it: which tracks the destination gets, the way to its peer, and from it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from pushcast.egress import PROTOCOLS, Link, Target
from pushcast.errors import ConnectTimeout, EngineError, MediaError, TransportError
from pushcast.feed import RING_BYTES
from pushcast.log import Prefixed
from pushcast.media import Codec, Container, Enhanced, FeedKey
from pushcast.selection import Selection, select_tracks
from pushcast.settings import PushSettings
from pushcast.stream import OutputStream

if TYPE_CHECKING:
    from pushcast.feed import Feed

Interruption = Callable[[bool], asyncio.Future[None]]
"""Makes what the next interruption of a push resolves; True: it is resolved at once."""

# A delayed cursor leaves when the writer comes closer than an eighth of the ring.
KEPT_PER_DELAY = 1.25
KEPT_BESIDE_MS = 4000
CONNECT_AHEAD_MS = 500  # of the first delayed frame that is due
KEYFRAME_LOOK_MS = 200
CLOSE_DEADLINE_S = 5.0  # closing a link waits for its peer no longer than this
CONNECT_DEADLINE_S = 10.0  # name resolution, connect and handshake together


def selection(settings: PushSettings, stream: OutputStream) -> Selection:
    """The tracks of the stream that these settings ask for."""
    container = PROTOCOLS[settings.protocol].container
    enhanced = settings.target.enhanced
    return select_tracks(stream.tracks, settings.variant_names, settings.track_ids, container, enhanced)


def feed_key(settings: PushSettings, stream: OutputStream, found: Selection) -> FeedKey:
    """The feed of the selected tracks.  :raises MediaError: there is none, or none can be carried."""
    if not found.tracks:
        raise MediaError(_why_none(settings, stream, found))
    target = settings.target
    # Without what only enhanced RTMP carries, "never" and "auto" are the same bytes.
    enhanced = Enhanced.AUTO if target.enhanced is Enhanced.NEVER else target.enhanced
    container = PROTOCOLS[settings.protocol].container
    cues = [track.id for track in stream.tracks if track.codec is Codec.SCTE35] if container is Container.RTMP else ()
    return FeedKey(container, tuple(track.id for track in found.tracks), target.ts_options, enhanced, tuple(cues))


def _why_none(settings: PushSettings, stream: OutputStream, found: Selection) -> str:
    if found.skipped:
        reasons = "; ".join(f"{track.codec.name} (id {track.id}): {why}" for track, why in found.skipped)
        return f"no track of stream {stream.name} can be carried: {reasons}"
    asked = ", ".join([*settings.variant_names, *(f"id {each}" for each in settings.track_ids)])
    there = ", ".join(f"{track.variant_name} (id {track.id})" for track in stream.tracks)
    return f"no track of stream {stream.name} is selected: asked for {asked or 'any'}, there are {there or 'none'}"


def take_feed(settings: PushSettings, stream: OutputStream, found: Selection) -> Feed:
    """The feed of the selected tracks, in a ring that holds what their delay needs.

    :raises MediaError: there is none, or no ring holds that much.
    """
    return stream.feed(feed_key(settings, stream, found), kept_ms(settings, stream))


def kept_ms(settings: PushSettings, stream: OutputStream) -> int:
    """How much media the ring must hold for them; 0: what every ring holds.  :raises MediaError: no ring can."""
    if not settings.delay_ms:
        return 0
    keep_ms = round(settings.delay_ms * KEPT_PER_DELAY) + KEPT_BESIDE_MS
    keep_bytes = stream.bytes_per_s * keep_ms // 1000
    if keep_bytes > RING_BYTES:
        raise MediaError(
            f"delayMs: {settings.delay_ms} ms of this stream take {keep_bytes >> 20} MiB, "
            f"and a ring has {RING_BYTES >> 20}: a smaller delay is needed"
        )
    return keep_ms


async def until_due(
    feed: Feed, stream: OutputStream, delay_ms: int, over: Callable[[], object], interruption: Interruption
) -> bool:
    """Wait until something of the stream is as old as the delay: a peer that gets nothing for so long may leave.

    False: it was ``over`` before, or the stream ended and has left nothing.
    """
    while not over():
        wait_ms = feed.ring.due_in_ms(delay_ms) if delay_ms else 0
        if wait_ms is None and stream.ended.is_set():
            return False
        left_ms = wait_ms - CONNECT_AHEAD_MS if wait_ms is not None else KEYFRAME_LOOK_MS
        if left_ms <= 0:
            return True
        await asyncio.wait({interruption(False)}, timeout=left_ms / 1000)
    return False


async def accepted(protocol: str, target: Target, bytes_per_s: int, every_s: float, log: Prefixed) -> None:
    """Try a destination until it accepts us, without staying there."""
    while True:
        await asyncio.sleep(every_s)
        try:
            link = await connect_in_time(protocol, target, bytes_per_s)
        except EngineError:
            continue
        await close_in_time(link, log)
        return


async def connect_unless(
    over: Callable[[], bool],
    interruption: Interruption,
    connecting: Coroutine[Any, Any, Link],
    log: Prefixed,
) -> Link | None:
    """The accepted link, or None when it was ``over`` first, which is looked at after each ``interruption``."""
    connect = asyncio.create_task(connecting)
    try:
        while not connect.done() and not over():
            waited: set[asyncio.Future[Any]] = {connect, interruption(over())}
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
    finally:
        if not connect.done():
            connect.cancel()
    if connect.done():
        return connect.result()
    await asyncio.wait({connect})
    if not connect.cancelled() and connect.exception() is None:
        await close_in_time(connect.result(), log)  # it was accepted in the very moment of the interruption
    return None


async def close_in_time(link: Link, log: Prefixed) -> None:
    """Close a link that no sender has; one that does not close is left behind."""
    try:
        async with asyncio.timeout(CLOSE_DEADLINE_S):
            await link.close()
    except TimeoutError:
        log.warning("the link was not closed within %g s", CLOSE_DEADLINE_S)


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
