"""Backup destinations of a push: where it goes when the one before does not take it.

The request member ``backupUrls`` is a list of URLs, or of objects with ``url`` and ``streamKey`` where the key is
another one; they are of the push's protocol and share its other members.  A failure moves the push on to the next, at
once; behind the last it begins with the first again, after the wait that the failures ask for.  With ``failBack``
(seconds) a push that is on a backup tries the first one that often, without leaving the backup, and returns when it is
accepted there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pushcast.egress import Protocol, Target
from pushcast.egress.resolve import check_request
from pushcast.errors import InvalidRequest

MOST = 8
FAIL_BACKS_S = (1.0, 86400.0)


@dataclass(frozen=True, slots=True)
class Backup:
    """``stream_key`` None: that of the push."""

    target: Target = field(repr=False)
    url: str = field(repr=False)
    stream_key: str | None = field(default=None, repr=False)

    def member(self) -> str | dict[str, Any]:
        """As a request has it."""
        return self.url if self.stream_key is None else {"url": self.url, "streamKey": self.stream_key}


def read_destination(protocol: Protocol, url: str, stream_key: str, options: Mapping[str, Any]) -> tuple[str, Target]:
    """(URL without what means nothing in it, where it leads).  :raises InvalidRequest: it is none, or not allowed."""
    url = url.strip()
    url = url.rstrip("/") if not url.endswith("://") else url
    target = protocol.parse(url, stream_key, options)
    check_request(target.host, target.port)
    return url, target


def read_backups(member: object, protocol: Protocol, stream_key: str, options: Mapping[str, Any]) -> tuple[Backup, ...]:
    """The list of a request.  :raises InvalidRequest: which of them, what was found, what is allowed."""
    if member is None:
        return ()
    if not isinstance(member, list) or len(member) > MOST:
        found = f"{len(member)} of them" if isinstance(member, list) else type(member).__name__
        raise InvalidRequest(f"backupUrls: found {found}, allowed: a list of up to {MOST} URLs")
    return tuple(_read(number, each, protocol, stream_key, options) for number, each in enumerate(member))


def _read(number: int, member: object, protocol: Protocol, stream_key: str, options: Mapping[str, Any]) -> Backup:
    own = member if isinstance(member, Mapping) else {"url": member}
    url, key = own.get("url"), own.get("streamKey")
    if (
        not isinstance(url, str)
        or not url.strip()
        or not isinstance(key, str | None)
        or set(own) - {"url", "streamKey"}
    ):
        raise InvalidRequest(f"backupUrls[{number}]: allowed: a URL, or an object with url and streamKey")
    key = key.strip() if key is not None else None
    try:
        url, target = read_destination(protocol, url, stream_key if key is None else key, options)
    except InvalidRequest as error:
        raise InvalidRequest(f"backupUrls[{number}]: {error}") from None
    return Backup(target, url, key)


def read_fail_back_s(member: object) -> float:
    """Seconds, 0 when there are none.  :raises InvalidRequest: what was found, what is allowed."""
    if member is None:
        return 0.0
    low, high = FAIL_BACKS_S
    if isinstance(member, bool) or not isinstance(member, int | float) or not low <= member <= high:
        raise InvalidRequest(f"failBack: found {str(member)[:40]}, allowed: {low:g} to {high:g} seconds")
    return float(member)
