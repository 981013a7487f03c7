"""Sinks: receive from any number of senders, check every byte, keep none.

A row of ``rows()`` is a dict with
  peer ("host:port"), port (ours), stream (RTMP "app/name", SRT stream id, else empty),
  bytes, seconds and mbps (between first and last arrival), first_ms and last_ms (since the sink was made, None before
  media),
  longest_gap_ms (between two arrivals), left (the connection is over), silent (it is, or nothing came for 2 s),
  errors (kind to count, only what occurred), and the figures of TsChecker.stats() or RtmpChecker.stats(),
  byte streams: cut (it ended within a packet or message); RTMP: ended (it said that it stops);
  SRT: srt_packets, srt_lost, srt_late, rtt_ms.
"""

import socket
from collections.abc import Iterable
from typing import Any, Self, final

class Sink:
    """Base of all sinks.  Nobody uses one from two threads."""

    @property
    def max_senders(self) -> int: ...
    @property
    def refused(self) -> int:
        """Connections, or datagrams of new senders, turned away because of max_senders."""

    @property
    def unkept(self) -> int:
        """Senders that left and whose row was not kept any more (beyond 10000)."""

    @property
    def closed(self) -> bool: ...
    def run(self, seconds: float) -> None:
        """Receive for so long, less when a signal comes, but at least what lies ready."""

    def rows(self) -> list[dict[str, Any]]:
        """A row for each sender that sent something."""

    def totals(self) -> tuple[int, int, int, int, int]:
        """Senders that came, that left (UDP: are silent) and that are active, bytes of media, errors."""

    def close(self) -> None:
        """Close connections and sockets; the rows stay."""

@final
class UdpSink(Sink):
    """Receives MPEG-TS datagrams on bound UDP sockets, which it takes over."""

    def __new__(cls, sockets: Iterable[socket.socket], max_senders: int = 4096) -> Self: ...
    @property
    def receiver_drops(self) -> int:
        """Datagrams that the kernel dropped because we were too slow."""
