"""The gate: what every publisher over RTMP and SRT passes before it holds a name.

First the rules of its app (admission.py), which may be asked on any thread.  Then, where the app has one, its webhook,
which may give the stream another name, in another app too; each publisher waits for its own answer and for nobody
else's.  Last, on the event loop, the name: how many streams the app may have, and whether the name is free or its
holder may be replaced.  A name that the webhook gave comes under the limits of the app where it lies; that app's keys
and addresses do not count, since somebody who may decide has decided.

Invariant: whom the webhook let in, or may have, it is told of once when he has gone, whatever became of him.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from urllib.parse import unquote, urlsplit

from pushcast.admission import Admission, Asked, Ground, Limits, PublishRefused, Succession
from pushcast.config_sections import Publish
from pushcast.errors import NotFound
from pushcast.ingest.publication import is_stream_name, vhost_named
from pushcast.ingest.webhook import Opening, Webhook
from pushcast.log import logger, printable
from pushcast.stream import Name, Registry

_log = logger("ingest")


@dataclass(frozen=True, slots=True)
class Permit:
    """A publisher may feed this stream, within these limits.  ``opening``: what the webhook was asked, if it was."""

    name: Name
    limits: Limits
    opening: Opening | None = None
    webhook: Webhook | None = None


class Gate:
    """``apps``: the rules of apps, by (vhost, app)."""

    def __init__(self, registry: Registry, apps: Mapping[tuple[str, str], Publish]) -> None:
        self._registry = registry
        self._admission = Admission(apps)
        self._succession = Succession()
        self._webhooks = {
            name: Webhook(
                publish.webhook.url.get_secret_value(),
                publish.webhook.secret.get_secret_value(),
                publish.webhook.timeout_ms / 1000,
            )
            for name, publish in apps.items()
            if publish.webhook is not None
        }
        self._told: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Let the webhooks go, once they know who has gone; each question is bounded in time."""
        if self._told:
            await asyncio.wait(self._told)
        for webhook in self._webhooks.values():
            await webhook.close()

    def check(self, asked: Asked) -> None:
        """App, address, key or token; on any thread.

        :raises NotFound: no such app.  :raises PublishRefused: he may not publish there.
        """
        self._registry.check_app(asked.vhost, asked.app)
        self._admission.check(asked, time.monotonic())

    def check_name(self, name: Name) -> None:
        """Is there room for this stream?  On any thread; ``take`` alone makes it sure.  :raises PublishRefused: no."""
        vhost, app = name[:2]
        rules, shown = self._admission.rules(vhost, app), f"stream {'/'.join(name)}"
        if self._registry.is_taken(*name):
            holder = self._registry.holder(*name)
            if not rules.replace or holder is None or holder.replace is None:
                raise PublishRefused(Ground.CONFLICT, f"{shown} is already being published")
            wait_s = self._succession.wait_s(name, holder.since_s, time.monotonic())
            if wait_s > 0:
                reason = f"{shown} is already being published, and can be replaced in {wait_s:.0f} s at the earliest"
                raise PublishRefused(Ground.CONFLICT, reason)
        elif 0 < rules.max_streams <= self._registry.taken(vhost, app):
            reason = f"{vhost}/{app} has {rules.max_streams} streams, and more are not allowed"
            raise PublishRefused(Ground.OVERLOAD, reason)

    def passphrase(self, asked: Asked) -> str:
        """That of SRT for this stream; "": its app has none for it.  On any thread."""
        return self._admission.rules(asked.vhost, asked.app).passphrase(asked.stream)

    def has_webhook(self, asked: Asked) -> bool:
        return (asked.vhost, asked.app) in self._webhooks

    def permit(self, asked: Asked) -> Permit:
        """That of somebody who was checked and whose app has no webhook."""
        return Permit(asked.name, self._admission.rules(asked.vhost, asked.app).limits)

    async def ask(self, asked: Asked, opening: Opening) -> Permit:
        """What the webhook says of somebody who was checked.

        :raises PublishRefused: it did not let him in, or it named a stream that cannot be.
        """
        webhook = self._webhooks[asked.vhost, asked.app]
        try:
            verdict = await webhook.opening(opening)
        except asyncio.CancelledError:
            self._tell_closing(webhook, opening)  # nobody knows what it would have said
            raise
        if not verdict.allowed:
            raise PublishRefused(Ground.FORBIDDEN, verdict.reason or "the admission webhook refused")
        try:
            name = self._renamed(verdict.new_url, asked) if verdict.new_url else asked.name
        except PublishRefused:
            self._tell_closing(webhook, opening)
            raise
        limits = replace(self._admission.rules(*name[:2]).limits, lifetime_s=verdict.lifetime_s)
        return Permit(name, limits, opening, webhook)

    def take(self, permit: Permit, by: str) -> None:
        """Make the name free for ``by``, which replaces its holder where it may.  On the event loop.

        :raises PublishRefused: there is no room.
        """
        self.check_name(permit.name)
        holder = self._registry.holder(*permit.name)
        if holder is not None and holder.replace is not None:
            self._succession.note(permit.name, time.monotonic())
            _log.info("stream %s: %s replaces its publisher", printable("/".join(permit.name)), by)
            holder.replace(f"replaced by {by}")

    def leave(self, permit: Permit) -> None:
        """He has gone, or did not even begin; to be called once for each permit."""
        if permit.webhook is not None and permit.opening is not None:
            self._tell_closing(permit.webhook, permit.opening)

    def _tell_closing(self, webhook: Webhook, opening: Opening) -> None:
        task = asyncio.get_running_loop().create_task(webhook.closing(opening))
        self._told.add(task)
        task.add_done_callback(self._told.discard)

    def _renamed(self, new_url: str, asked: Asked) -> Name:
        """The stream that the webhook named; a host that is no vhost's is the publisher's own vhost.

        :raises PublishRefused: there is no such app, or it is no stream's URL.
        """
        try:
            parts = urlsplit(new_url)
            host, path = parts.hostname or "", [unquote(part) for part in parts.path.strip("/").split("/")]
        except ValueError:
            host, path = "", []
        if len(path) != 2 or not is_stream_name(path[1]):
            raise PublishRefused(
                Ground.FORBIDDEN, "the admission webhook gave a URL that is not scheme://host/app/stream"
            )
        known = {vhost.lower() for vhost in self._registry.vhosts}
        vhost = vhost_named(self._registry, host) if host.lower() in known else asked.vhost
        try:
            self._registry.check_app(vhost, path[0])
        except NotFound as error:
            raise PublishRefused(Ground.FORBIDDEN, f"the admission webhook named another app: {error}") from None
        return vhost, path[0], path[1]
