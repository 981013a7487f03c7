"""Egress: the protocols a stream can be pushed over.

A new protocol is one file here and one line in ``PROTOCOLS``.
"""

from __future__ import annotations

from pushcast.egress.link import Link, Protocol, Target
from pushcast.egress.mpegts import MpegtsProtocol
from pushcast.egress.rtmp import RtmpProtocol
from pushcast.egress.srt import SrtProtocol

PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol for protocol in (RtmpProtocol(), SrtProtocol(), MpegtsProtocol())
}

__all__ = ["PROTOCOLS", "Link", "Protocol", "Target"]
