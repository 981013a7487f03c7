"""Splice information for RTMP: an onCuePoint data message around the whole section, as live encoders send it."""

from __future__ import annotations

import base64

from pushcast.psi import crc32
from pushcast.rtmp import amf0

_COMMANDS = {0x00: "splice_null", 0x05: "splice_insert", 0x06: "time_signal", 0xFF: "private_command"}
_HEAD_BYTES = 14  # up to splice_command_type: SCTE 35 9.6


def cue_point(section: bytes, pts: int) -> bytes:
    """The body of the message; b"" for what is no splice_info_section.  ``pts`` at 90 kHz: when it came.

    Times in the section are those of the stream that it came with, whose PTS is ``time`` (seconds).
    """
    if len(section) < _HEAD_BYTES + 4 or section[0] != 0xFC:
        return b""
    adjusted = (int.from_bytes(section[4:9], "big") + pts) & (1 << 33) - 1
    head = (section[4] & 0xFE) << 32 | adjusted
    body = section[:4] + head.to_bytes(5, "big") + section[9:-4]
    values: dict[str, amf0.Value] = {
        "name": "scte35",
        "type": _COMMANDS.get(section[13], f"command {section[13]:#04x}"),
        "time": pts / 90_000,
        "cue": base64.b64encode(body + crc32(body).to_bytes(4, "big")).decode(),
    }
    return amf0.encode("onCuePoint", amf0.EcmaArray(values))
