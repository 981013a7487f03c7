"""``:checkPush``: a dry run.  What ``:startPush`` would meet, step by step, and nothing is pushed.

The body is that of ``:startPush`` (``id`` may be missing).  Steps, each with ``ok`` and a sentence: ``request`` (the
body and its URL), ``stream`` (is it live; one that is not is no fault, for a push waits), ``codecs`` (what of the
stream this destination can take), ``connect`` (name resolution, connect, handshake and, over RTMP, permission to
publish, as a push does it; the connection is closed at once).  The first step that fails is the last.

A UDP destination has no answer: its ``connect`` says that the name resolves and a socket could be made.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from pushcast.api.body import Json, members
from pushcast.connect import connect_in_time, feed_key, kept_ms, selection
from pushcast.errors import EngineError, InvalidRequest
from pushcast.settings import PushSettings, read_settings
from pushcast.stream import OutputStream, Registry

# Checks hold a socket each; more at once than this is a scan and not a check.
CHECKS_AT_ONCE = 16
# What the sizes of buffers are made of when the stream is not there: the rate of a usual programme.
USUAL_BYTES_PER_S = 500_000


class Checks:
    """Dry runs of one server, CHECKS_AT_ONCE at the most; others wait."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._room = asyncio.Semaphore(CHECKS_AT_ONCE)

    async def run(self, vhost: str, app: str, body: Json) -> dict[str, Any]:
        """``{"ok": bool, "steps": [{"step", "ok", "detail"}]}``."""
        steps: list[dict[str, Any]] = []

        def step(name: str, ok: bool, detail: str) -> bool:
            steps.append({"step": name, "ok": ok, "detail": detail})
            return ok

        asked = members(body)
        try:
            settings = read_settings(vhost, app, {**asked, "id": asked.get("id") or "check"})
        except InvalidRequest as error:
            step("request", False, str(error))
            return {"ok": False, "steps": steps}
        step("request", True, f"{settings.protocol} to {settings.target.endpoint}")
        stream = self._registry.output(*settings.stream)
        if stream is None:
            step("stream", True, f"stream {settings.stream_name} is not live: a push would wait for it")
        else:
            step("stream", True, f"stream {settings.stream_name} is live")
            if not step("codecs", *_codecs(settings, stream)):
                return {"ok": False, "steps": steps}
        async with self._room:
            ok = step("connect", *await _connect(settings, stream))
        return {"ok": ok, "steps": steps}


def _codecs(settings: PushSettings, stream: OutputStream) -> tuple[bool, str]:
    try:
        found = selection(settings, stream)
        kept_ms(settings, stream)
        stream.release(stream.feed(feed_key(settings, stream, found)))
    except EngineError as error:
        return False, str(error)
    left_out = [f"left out: {track.codec.name} (track {track.id}): {why}" for track, why in found.skipped]
    return True, "; ".join([", ".join(f"{track.codec.name} (track {track.id})" for track in found.tracks), *left_out])


async def _connect(settings: PushSettings, stream: OutputStream | None) -> tuple[bool, str]:
    rate = stream.bytes_per_s if stream is not None else USUAL_BYTES_PER_S
    began = time.monotonic()
    try:
        link = await connect_in_time(settings.protocol, settings.target, rate)
    except EngineError as error:
        return False, str(error)
    took_ms = (time.monotonic() - began) * 1000
    await link.close()
    return True, f"{settings.target.endpoint} accepted us after {took_ms:.0f} ms"
