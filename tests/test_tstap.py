"""TsTap: the owner of a transport stream is told once that it is ready, and once that it is another one."""

from __future__ import annotations

import time

from ingest_world import transport_stream

from pushcast.source import Clock, Source
from pushcast.tsinput import TsInput
from pushcast.tstap import TsTap


def test_told_once_each() -> None:
    told: list[str] = []
    tap = TsTap(TsInput(Source(Clock())), lambda: told.append("attend"))
    begun = time.monotonic_ns()
    for datagram in transport_stream(20):
        tap.take(datagram)
    assert told == ["attend"]
    assert tap.input.ready
    assert tap.bytes_received == sum(map(len, transport_stream(20)))
    assert begun <= tap.heard_ns <= time.monotonic_ns()
    tap.input.freeze()
    for datagram in transport_stream(20, audio=False):
        tap.take(datagram)
    assert told == ["attend"] * 2
    assert tap.input.changed
    tap.renew(TsInput(Source(Clock())))
    for datagram in transport_stream(20, audio=False):
        tap.take(datagram)
    assert told == ["attend"] * 3
    assert not tap.input.changed
