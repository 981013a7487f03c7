"""What a push was asked to do: the settings that a request, a rule or the store carries, checked.

Field names and texts of errors are OvenMediaEngine's.  A URL keeps its text beside what the protocol made of it: the
text is what the API shows and the store keeps.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from sys import intern
from typing import Any

from pushcast.backups import Backup, read_backups, read_destination, read_fail_back_s
from pushcast.bounded import bounded
from pushcast.egress import PROTOCOLS, Target
from pushcast.egress.link import NO_OPTIONS
from pushcast.errors import InvalidRequest
from pushcast.presets import read_preset
from pushcast.retry import DEFAULT as DEFAULT_RETRY
from pushcast.retry import RetryPolicy, read_retry
from pushcast.stream import Name

# A stream that is away for longer is another one; what is held holds a place at the destination.
HOLDS_MS = (0, 600_000)
DELAYS_MS = (0, 600_000)  # what a ring of 1 GiB has room for at 10 Mbit/s
STALL_TIMEOUT_S = 10.0
STALL_TIMEOUTS_S = (1.0, 600.0)
LAST_MOMENT = 253402300800.0  # the year 10000, which no clock of ours can write
TRACK_ID_LIMIT = 1 << 32  # a track id is 32 bits wide, in the ring and on the wire of enhanced RTMP


@dataclass(frozen=True, slots=True)
class PushSettings:
    """What was asked for.  ``url`` and ``stream_key`` may hold secrets and have no repr.

    ``is_config``: a rule of the configuration made it, and it ends with its stream.
    """

    id: str
    vhost: str
    app: str
    stream_name: str
    protocol: str
    target: Target = field(repr=False)
    url: str = field(repr=False)
    stream_key: str = field(default="", repr=False)
    options: Mapping[str, Any] = field(
        default_factory=lambda: NO_OPTIONS, repr=False
    )  # members that the protocol alone knows
    variant_names: tuple[str, ...] = ()
    track_ids: tuple[int, ...] = ()
    is_config: bool = False
    preset: str = ""  # the service that it goes to
    start_at: float = 0.0  # seconds since the epoch, 0: at once
    stop_at: float = 0.0  # 0: never
    max_duration_s: float = 0.0  # of pushing, 0: without end
    retry: RetryPolicy = DEFAULT_RETRY
    stall_timeout_s: float = STALL_TIMEOUT_S  # a peer that takes nothing for so long is lost
    backups: tuple[Backup, ...] = ()
    delay_ms: int = 0  # how far it stays behind the stream
    hold_s: float = 0.0  # for how long the connection is kept when the stream is lost
    fail_back_s: float = 0.0  # how often a push on a backup tries the first destination, 0: never

    @property
    def stream(self) -> Name:
        return self.vhost, self.app, self.stream_name

    @property
    def targets(self) -> tuple[Target, ...]:
        """Where it goes, in the order of trying."""
        return (self.target, *(backup.target for backup in self.backups))

    def members(self) -> dict[str, Any]:
        """The members of a request that asks for the same: what the store keeps.  Keys are in clear in it."""
        found: dict[str, Any] = {
            "id": self.id,
            "stream": {"name": self.stream_name, "variantNames": self.variant_names, "trackIds": self.track_ids},
            "protocol": self.protocol,
            "url": self.url,
            "streamKey": self.stream_key,
        }
        found |= self.options
        if self.preset:
            found["preset"] = self.preset
        times = {"startAt": self.start_at, "stopAt": self.stop_at, "maxDuration": self.max_duration_s}
        found |= {name: value for name, value in times.items() if value}
        if self.backups:
            found["backupUrls"] = [backup.member() for backup in self.backups]
        return found | self.conduct()

    def conduct(self) -> dict[str, Any]:
        """Those members about delay and failures that were asked for."""
        found: dict[str, Any] = {}
        if self.delay_ms:
            found["delayMs"] = self.delay_ms
        if self.retry is not DEFAULT_RETRY:
            found["retry"] = self.retry.members()
        if self.stall_timeout_s != STALL_TIMEOUT_S:
            found["stallTimeout"] = self.stall_timeout_s
        if self.hold_s:
            found["holdMs"] = round(self.hold_s * 1000)
        if self.fail_back_s:
            found["failBack"] = self.fail_back_s
        return found


def read_settings(vhost: str, app: str, request: Mapping[str, Any], *, is_config: bool = False) -> PushSettings:
    """The settings of a request's members: ``id``, ``stream``, ``protocol``, ``url``, ``streamKey``.

    Members of a wrong type count as absent and unknown ones are ignored.  :raises InvalidRequest: with the API's text.
    """
    preset, request = read_preset(request)
    stream = request.get("stream")
    stream = stream if isinstance(stream, dict) else {}
    word = text_member(request, "protocol").strip().lower()
    protocol = PROTOCOLS.get(word)
    if protocol is None:
        raise InvalidRequest(f"Could not find protocol '{word}': [{vhost}/{app}]")
    push_id, stream_name = text_member(request, "id"), text_member(stream, "name")
    url, stream_key = text_member(request, "url").strip(), text_member(request, "streamKey").strip()
    require(("id", push_id), ("stream.name", stream_name), ("url", url))
    options = {name: request[name] for name in protocol.members if request.get(name) is not None} or NO_OPTIONS
    url, target = read_destination(protocol, url, stream_key, options)
    return PushSettings(
        id=push_id,
        vhost=intern(vhost),  # pushes are many, and their names are few
        app=intern(app),
        stream_name=intern(stream_name),
        protocol=protocol.name,
        target=target,
        url=url,
        stream_key=stream_key,
        options=options,
        variant_names=_names(stream.get("variantNames")),
        track_ids=_ids(stream.get("trackIds")) or _ids(stream.get("tracks")),
        is_config=is_config,
        preset=preset,
        start_at=_time(request, "startAt"),
        stop_at=_time(request, "stopAt"),
        max_duration_s=_duration_s(request, "maxDuration"),
        retry=read_retry(request["retry"]) if request.get("retry") is not None else DEFAULT_RETRY,
        stall_timeout_s=float(_within(request, "stallTimeout", STALL_TIMEOUTS_S, "seconds", STALL_TIMEOUT_S)),
        delay_ms=int(_within(request, "delayMs", DELAYS_MS, "milliseconds", 0)),
        hold_s=_within(request, "holdMs", HOLDS_MS, "milliseconds", 0) / 1000,
        backups=read_backups(request.get("backupUrls"), protocol, stream_key, options),
        fail_back_s=read_fail_back_s(request.get("failBack")),
    )


def text_member(value: Mapping[str, Any], name: str) -> str:
    """A string member; empty when it is absent or of another type, which the API does not tell apart."""
    found = value.get(name)
    return found if isinstance(found, str) else ""


def require(*parameters: tuple[str, str]) -> None:
    """:raises InvalidRequest: naming those parameters that are empty."""
    missing = "".join(f" {name}" for name, value in parameters if not value)
    if missing:
        raise InvalidRequest(f"There is no required parameter [{missing}]")


def _names(value: object) -> tuple[str, ...]:
    return tuple(name for name in value if isinstance(name, str)) if isinstance(value, list) else ()


def _time(request: Mapping[str, Any], name: str) -> float:
    """A moment in seconds since the epoch, 0 when there is none."""
    value = request.get(name)
    if value is None or value == "":
        return 0.0
    try:
        if isinstance(value, str):
            moment = datetime.fromisoformat(value)
            if moment.tzinfo is None:
                raise ValueError
            return _in_reach(moment.timestamp())
        return _in_reach(_number(value))
    except (TypeError, ValueError, OverflowError):
        shown = json.dumps(value)[:64]
        raise InvalidRequest(
            f"{name}: found {shown}, allowed: a time with its offset, 2026-11-25T18:00:00+01:00, or seconds since 1970"
        ) from None


def _duration_s(request: Mapping[str, Any], name: str) -> float:
    value = request.get(name)
    if value is None:
        return 0.0
    try:
        return _in_reach(_number(value))
    except (TypeError, ValueError):
        raise InvalidRequest(f"{name}: found {json.dumps(value)[:64]}, allowed: seconds, more than 0") from None


def _within(request: Mapping[str, Any], name: str, bounds: tuple[float, float], unit: str, default: float) -> float:
    """A number of a request; whole when its bounds are."""
    value = request.get(name)
    return default if value is None else bounded(name, value, *bounds, unit)


def _number(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError
    return float(value)


def _in_reach(seconds: float) -> float:
    if not 0 < seconds < LAST_MOMENT:
        raise ValueError
    return seconds


def _ids(value: object) -> tuple[int, ...]:
    found = value if isinstance(value, list) else []
    return tuple(each for each in found if type(each) is int and 0 <= each < TRACK_ID_LIMIT)
