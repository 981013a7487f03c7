"""The request member ``mpegtsOptions``: how the transport stream of a push is made, and how it is spread in time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from pushcast.bounded import bounded
from pushcast.errors import InvalidRequest
from pushcast.tsoptions import NIT_PID_MAX, NULL_PID, SERVICE_BYTES_MAX, TsOptions

PACINGS = ("none", "frame")
# A keyframe of many times the mean rate has longer to arrive in, where nothing else may give way.
CONSTANT_DECODE_DELAY_MS = 600
# Below, PCR and tables alone are a third of the stream; above, a paced turn of 1 ms is 25 kB.
_RATES = (250_000, 200_000_000)
_PIDS = (NIT_PID_MAX + 1, NULL_PID - 1)


class Member(NamedTuple):
    """``field`` of TsOptions; bounds of a number, of the UTF-8 bytes of a text."""

    field: str
    kind: type
    low: int
    high: int
    unit: str


MEMBERS: dict[str, Member] = {
    "serviceName": Member("service_name", str, 1, 120, "bytes"),
    "providerName": Member("provider_name", str, 1, SERVICE_BYTES_MAX - 120 - 2, "bytes"),
    "serviceId": Member("service_id", int, 1, 0xFFFF, ""),
    "transportStreamId": Member("transport_stream_id", int, 0, 0xFFFF, ""),
    "originalNetworkId": Member("original_network_id", int, 0, 0xFFFF, ""),
    "pmtPid": Member("pmt_pid", int, *_PIDS, ""),
    "videoPid": Member("video_pid", int, *_PIDS, ""),
    "audioPid": Member("audio_pid", int, *_PIDS, ""),
    "pcrPeriodMs": Member("pcr_period_ms", int, 10, 100, "milliseconds"),
    "tablesPeriodMs": Member("tables_period_ms", int, 50, 500, "milliseconds"),
    "sdtPeriodMs": Member("sdt_period_ms", int, 250, 10_000, "milliseconds"),
    "decodeDelayMs": Member("decode_delay_ms", int, 0, 900, "milliseconds"),
    "muxrateBitsPerSecond": Member("mux_bits_per_s", int, *_RATES, "bits per second"),
}
PACING = "pacing"


def read_ts_options(member: object) -> tuple[TsOptions | None, bool]:
    """(options, None when all are the usual ones; whether frames are spread over their time).

    :raises InvalidRequest: the option, what was found, what is allowed.
    """
    if member is None:
        return None, False
    if not isinstance(member, Mapping):
        raise InvalidRequest(f"mpegtsOptions: found {type(member).__name__}, allowed an object")
    found: dict[str, Any] = {}
    for name, value in member.items():
        if name not in MEMBERS and name != PACING:
            allowed = ", ".join([*MEMBERS, PACING])
            raise InvalidRequest(f"mpegtsOptions.{str(name)[:40]}: not known, allowed are {allowed}")
        if value is not None and name != PACING:
            found[MEMBERS[name].field] = _read(name, value)
    if found.get("mux_bits_per_s"):
        found.setdefault("decode_delay_ms", CONSTANT_DECODE_DELAY_MS)
    options = TsOptions(**found)
    if options.tables_period_ms < options.pcr_period_ms:
        raise InvalidRequest(
            f"mpegtsOptions.tablesPeriodMs: found {options.tables_period_ms}, allowed: no less than pcrPeriodMs,"
            f" {options.pcr_period_ms}"
        )
    pacing = member.get(PACING) or PACINGS[0]
    if pacing not in PACINGS:
        raise InvalidRequest(f"mpegtsOptions.pacing: found {_shown(pacing)}, allowed: {' or '.join(PACINGS)}")
    return options if options != TsOptions() else None, pacing == "frame"


def _read(name: str, value: object) -> int | str:
    _, kind, low, high, unit = MEMBERS[name]
    if kind is int:
        return int(bounded(f"mpegtsOptions.{name}", value, low, high, unit))
    if isinstance(value, str) and value.isprintable() and low <= len(value.encode()) <= high:
        return value
    raise InvalidRequest(
        f"mpegtsOptions.{name}: found {_shown(value)}, allowed: printable text of {low} to {high} {unit}"
    )


def _shown(value: object) -> str:
    return json.dumps(value)[:64]
