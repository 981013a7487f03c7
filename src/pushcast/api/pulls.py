"""Making and ending streams through the API: ``POST .../streams`` and ``DELETE .../streams/{stream}``.

Members, texts and the order of checks are OvenMediaEngine's.  Members of ``properties`` that are absent, of a wrong
type or out of their range count as absent; ``ignoreRtcpSRTimestamp`` is taken and does nothing, as libavformat has no
such choice.  What OvenMediaEngine does not check is refused with 400: a name that the configuration would refuse, and a
URL that cannot be pulled whatever its server says.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pushcast.api.body import Json, members
from pushcast.api.streams import find_stream
from pushcast.config_types import NAME_PATTERN
from pushcast.errors import Conflict, InvalidRequest
from pushcast.ingest.pull import RETRIES, Pulls, PullSettings
from pushcast.pull_url import MAX_URLS, check_url
from pushcast.stream import Registry

MAX_NO_INPUT_MS = 600_000  # a silent server holds a thread for so long


async def create_stream(pulls: Pulls, vhost: str, app: str, body: Json) -> None:
    """Pull a stream; 201 on return, without a response.

    :raises InvalidRequest: 400.  :raises Conflict: 409, the name is taken.  :raises PullError: 502, no stream came.
    """
    name, settings = read_pull(body, pulls.files_below)
    await pulls.start(vhost, app, name, settings)


async def delete_stream(registry: Registry, pulls: Pulls, vhost: str, app: str, name: str) -> None:
    """End a stream, or the pull that is to bring it; a publisher is disconnected, and may come again.

    Gone on return: 200, without a response.  :raises NotFound: 404, no such stream.
    """
    if await pulls.stop(vhost, app, name):
        return
    stream = find_stream(registry, vhost, app, name)
    if stream.close is None:
        raise Conflict("Could not terminate the stream")
    stream.close()
    await stream.ended.wait()


def read_pull(body: Json, files_below: Path | None) -> tuple[str, PullSettings]:
    """The name and the settings of a request.  :raises InvalidRequest: with the API's text."""
    request = members(body)
    name, urls = request.get("name"), request.get("urls")
    if not isinstance(name, str) or not isinstance(urls, list):
        raise InvalidRequest("Stream name or urls is required")
    if not urls:
        raise InvalidRequest("Urls must be at least one")
    if len(urls) > MAX_URLS:
        raise InvalidRequest(f"Urls must be at most {MAX_URLS}")
    if not all(isinstance(url, str) for url in urls):
        raise InvalidRequest("Url must be a string")
    if not NAME_PATTERN.fullmatch(name):
        raise InvalidRequest("Stream name must be 1 to 128 characters, none of them a space or / : ? # % \\")
    urls = [url.strip() for url in urls]
    for url in urls:
        check_url(url, files_below)
    properties = request.get("properties")
    return name, _settings(tuple(urls), properties if isinstance(properties, dict) else {})


def _settings(urls: tuple[str, ...], properties: Mapping[str, Any]) -> PullSettings:
    asked = PullSettings(urls)
    persistent = properties.get("persistent") is True
    unused_s = _milliseconds(properties, "unusedStreamDeletionTimeoutMs") or asked.unused_s
    return PullSettings(
        urls,
        persistent=persistent,
        no_input_s=_milliseconds(properties, "noInputFailoverTimeoutMs", MAX_NO_INPUT_MS) or asked.no_input_s,
        unused_s=math.inf if persistent else unused_s,
        retry_count=_whole(properties, "retryCount", RETRIES),
    )


def _milliseconds(properties: Mapping[str, Any], name: str, most: int | None = None) -> float:
    """In seconds; 0 when there is none."""
    found = _whole(properties, name, 0)
    return (found if most is None else min(found, most)) / 1000


def _whole(properties: Mapping[str, Any], name: str, absent: int) -> int:
    found = properties.get(name)
    return found if isinstance(found, int) and not isinstance(found, bool) and found >= 0 else absent
