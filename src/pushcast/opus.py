"""OpusHead, the decoder configuration of Opus: RFC 7845 5.1."""

from __future__ import annotations

import struct

from pushcast.errors import MediaError

CHANNELS_MOST = 8
# Streams, coupled streams, and which decoded channel each output channel is, by channels: RFC 7845 5.1.1.2.
_LAYOUTS = {
    1: (1, 0, (0,)),
    2: (1, 1, (0, 1)),
    3: (2, 1, (0, 2, 1)),
    4: (2, 2, (0, 1, 2, 3)),
    5: (3, 2, (0, 4, 1, 2, 3)),
    6: (4, 2, (0, 4, 1, 2, 3, 5)),
    7: (4, 3, (0, 4, 1, 2, 3, 5, 6)),
    8: (5, 3, (0, 6, 1, 2, 3, 4, 5, 7)),
}


def opus_head(channels: int) -> bytes:
    """The ID header of a stream at 48 kHz; more than two channels are in the order of Vorbis.

    :raises MediaError: there is no such layout.
    """
    if channels not in _LAYOUTS:
        raise MediaError(f"Opus: found {channels} channels, expected 1 to {CHANNELS_MOST}")
    streams, coupled, mapping = _LAYOUTS[channels]
    family = 0 if channels < 3 else 1
    head = b"OpusHead" + struct.pack("<BBHIhB", 1, channels, 0, 48000, 0, family)
    return head + bytes((streams, coupled, *mapping)) if family else head
