"""Statistics of now, in OvenMediaEngine's shape: server, virtual host, application, stream.

Throughputs are bits per second, all of them (OvenMediaEngine's ``last...`` are bytes): ``last...`` over the latest
second, ``max...`` the highest of these, ``avg...`` smoothed over some ten seconds.  ``connections.push`` counts pushes
that are ``pushing``; of the other publishers pushcast has none.  Numbers are those of the last sample,
``lastUpdatedTime``, at most a second old; a time at which nothing has happened yet is ``createdTime``.
"""

from __future__ import annotations

from typing import Any

from pushcast.api.streams import check_app, check_vhost, find_stream
from pushcast.api.times import iso_time
from pushcast.statistics import Metrics, Statistics
from pushcast.stream import Registry

_OTHER_PUBLISHERS = {"webrtc": 0, "llhls": 0, "ovt": 0, "file": 0, "thumbnail": 0, "hls": 0, "srt": 0}


def server_stats(statistics: Statistics) -> dict[str, Any]:
    return metrics_json(statistics.server())


def vhost_stats(statistics: Statistics, registry: Registry, vhost: str) -> dict[str, Any]:
    """:raises NotFound: no such virtual host."""
    check_vhost(registry, vhost)
    return metrics_json(statistics.vhost(vhost))


def app_stats(statistics: Statistics, registry: Registry, vhost: str, app: str) -> dict[str, Any]:
    """:raises NotFound: no such virtual host or application."""
    check_app(registry, vhost, app)
    return metrics_json(statistics.app(vhost, app))


def stream_stats(statistics: Statistics, registry: Registry, vhost: str, app: str, name: str) -> dict[str, Any]:
    """:raises NotFound: no such virtual host or application, or the stream is not live."""
    check_app(registry, vhost, app)
    return metrics_json(statistics.stream(find_stream(registry, vhost, app, name)))


def metrics_json(metrics: Metrics) -> dict[str, Any]:
    received, sent = metrics.received, metrics.sent
    return {
        "createdTime": iso_time(metrics.created_time),
        "lastUpdatedTime": iso_time(metrics.updated_time),
        "totalBytesIn": received.total_bytes,
        "totalBytesOut": sent.total_bytes,
        "avgThroughputIn": received.average_bits_per_s,
        "avgThroughputOut": sent.average_bits_per_s,
        "maxThroughputIn": received.most_bits_per_s,
        "maxThroughputOut": sent.most_bits_per_s,
        "lastThroughputIn": received.last_bits_per_s,
        "lastThroughputOut": sent.last_bits_per_s,
        "lastRecvTime": iso_time(received.last_time),
        "lastSentTime": iso_time(sent.last_time),
        "totalConnections": metrics.connections,
        "maxTotalConnections": metrics.most_connections,
        "maxTotalConnectionTime": iso_time(metrics.most_connections_time),
        "connections": {**_OTHER_PUBLISHERS, "push": metrics.connections},
    }
