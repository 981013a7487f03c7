"""What either side says of enhanced RTMP v2 in connect and in its answer (its section on the connect command)."""

from __future__ import annotations

from typing import Final

from pushcast.fourcc import CODECS
from pushcast.media import Kind
from pushcast.rtmp import amf0

# capsEx
RECONNECTS: Final = 1.0
_MULTITRACK, _MOD_EX, _NANO_OFFSET = 2.0, 4.0, 8.0
_CAN_FORWARD: Final = 4.0  # nothing is decoded or encoded here


def capabilities(*, reconnects: bool = False) -> dict[str, amf0.Value]:
    """Every codec that is carried, the list of version 1 beside the maps of version 2."""
    names = {fourcc.to_bytes(4, "big").decode(): codec for fourcc, codec in CODECS.items()}
    caps = _MULTITRACK + _MOD_EX + _NANO_OFFSET
    return {
        "fourCcList": list(names),
        "videoFourCcInfoMap": {name: _CAN_FORWARD for name, codec in names.items() if codec.kind is Kind.VIDEO},
        "audioFourCcInfoMap": {name: _CAN_FORWARD for name, codec in names.items() if codec.kind is Kind.AUDIO},
        "capsEx": caps + RECONNECTS if reconnects else caps,
    }
