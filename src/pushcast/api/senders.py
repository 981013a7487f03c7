"""How the sending is going: the sender threads with their intervals, and the local ports that SRT callers share."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pushcast.egress.fanout import FanOut, Pace, ThreadStatistics, Turns
from pushcast.egress.multiplexer import PortLoad


def senders_json(fanout: FanOut, srt_ports: Iterable[PortLoad]) -> dict[str, Any]:
    """``busy`` is a part of 1; ``intervalMs`` lies between ``configuredMs`` and ``mostMs`` and follows the load."""
    return {
        "threads": [_thread_json(thread, fanout) for thread in fanout.statistics()],
        "srtPorts": [
            {"sockets": port.sockets, "bytesPerSecond": port.bytes_per_s, "overloadedSockets": port.overloaded}
            for port in srt_ports
        ],
    }


def _thread_json(thread: ThreadStatistics, fanout: FanOut) -> dict[str, Any]:
    turns = {"udp": thread.udp, "srt": thread.srt, "tcp": thread.tcp, "paced": thread.paced}
    return {
        "name": thread.name,
        "bytesPerSecond": thread.bytes_per_s,
        "busy": thread.busy,
        "lateMsMax": thread.late_ms_max,
        **{name: _turns_json(each, fanout.paces[name]) for name, each in turns.items()},
    }


def _turns_json(turns: Turns, pace: Pace) -> dict[str, int]:
    return {
        "destinations": turns.destinations,
        "intervalMs": turns.interval_ms,
        "configuredMs": pace.ms,
        "mostMs": pace.most_ms,
    }
