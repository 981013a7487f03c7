"""Egress: the protocols a stream can be pushed over.

A new protocol is one file here and one line in ``PROTOCOLS``.
"""

from __future__ import annotations

from pushcast.egress.link import Link, Protocol, Target
from pushcast.egress.mpegts import MpegtsProtocol
from pushcast.egress.rtmp import RtmpProtocol
from pushcast.egress.srt import SrtProtocol

SRT = SrtProtocol()
PROTOCOLS: dict[str, Protocol] = {protocol.name: protocol for protocol in (RtmpProtocol(), SRT, MpegtsProtocol())}

__all__ = ["PROTOCOLS", "SRT", "Link", "Protocol", "Target"]
