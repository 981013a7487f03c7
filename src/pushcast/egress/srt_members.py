"""The request member ``srtOptions``: every option of an SRT caller under a name that says its unit.

Each stands for an option of the URL's query (srt_options.py), which it beats, and is held to the same limits; a refusal
calls it by the name that it has here.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from pushcast.egress.srt_options import SrtOptions, parse_options
from pushcast.errors import InvalidRequest

# member: (kind of value, option of the query, what a number of the member is followed by there)
MEMBERS: dict[str, tuple[type, str, str]] = {
    "latencyMs": (int, "latency", "ms"),
    "receiverLatencyMs": (int, "rcvlatency", "ms"),
    "peerLatencyMs": (int, "peerlatency", "ms"),
    "timeoutMs": (int, "timeout", "ms"),
    "connectTimeoutMs": (int, "connect_timeout", "ms"),
    "peerIdleTimeoutMs": (int, "peeridletimeo", "ms"),
    "streamId": (str, "streamid", ""),
    "passphrase": (str, "passphrase", ""),
    "keyLengthBytes": (int, "pbkeylen", ""),
    "enforcedEncryption": (bool, "enforced_encryption", ""),
    "keyRefreshPackets": (int, "kmrefreshrate", ""),
    "keyPreannouncePackets": (int, "kmpreannounce", ""),
    "payloadSizeBytes": (int, "payload_size", ""),
    "mssBytes": (int, "mss", ""),
    "flowWindowPackets": (int, "ffs", ""),
    "sendBufferBytes": (int, "sndbuf", ""),
    "receiveBufferBytes": (int, "rcvbuf", ""),
    "udpSendBufferBytes": (int, "send_buffer_size", ""),
    "udpReceiveBufferBytes": (int, "recv_buffer_size", ""),
    "maxBandwidthBytesPerSecond": (int, "maxbw", ""),
    "inputBandwidthBytesPerSecond": (int, "inputbw", ""),
    "minInputBandwidthBytesPerSecond": (int, "mininputbw", ""),
    "overheadBandwidthPercent": (int, "oheadbw", ""),
    "tooLatePacketDrop": (bool, "tlpktdrop", ""),
    "sendDropDelayMs": (int, "snddropdelay", ""),
    "nakReport": (bool, "nakreport", ""),
    "lossMaxTtlPackets": (int, "lossmaxttl", ""),
    "retransmitAlgorithm": (int, "retransmitalgo", ""),
    "packetFilter": (str, "packetfilter", ""),
    "minVersion": (str, "minversion", ""),
    "ttl": (int, "ipttl", ""),
    "tos": (int, "iptos", ""),
    "adapter": (str, "adapter", ""),
    "bindToDevice": (str, "bindtodevice", ""),
    "groupType": (str, "grouptype", ""),
}
_KINDS = {int: "a whole number", bool: "true or false", str: "a text"}


def read_srt_options(member: object, query: str) -> SrtOptions:
    """The options of a request: those of ``srtOptions``, and of the URL's query where it has none.

    :raises InvalidRequest: the option, what was found, what is allowed.
    """
    if member is None:
        return parse_options(query)
    if not isinstance(member, Mapping):
        raise InvalidRequest(f"srtOptions: found {type(member).__name__}, allowed an object")
    written = {name: _written(name, value) for name, value in member.items() if value is not None}
    try:
        # The first of two equal names counts, and the names above are those that are looked for first.
        return parse_options("&".join(filter(None, (*written.values(), query))))
    except InvalidRequest as error:
        option, colon, rest = str(error).removeprefix("Option ").partition(": ")
        for name in written:
            if colon and MEMBERS[name][1] == option:
                raise InvalidRequest(f"srtOptions.{name}: {rest}") from None
        raise


def _written(name: object, value: object) -> str:
    """As the query has it."""
    if not isinstance(name, str) or name not in MEMBERS:
        raise InvalidRequest(f"srtOptions.{str(name)[:40]}: not known, allowed are {', '.join(MEMBERS)}")
    kind, option, unit = MEMBERS[name]
    if type(value) is not kind:
        raise InvalidRequest(f"srtOptions.{name}: found {type(value).__name__}, allowed {_KINDS[kind]}")
    if isinstance(value, bool):
        return f"{option}={int(value)}"
    return f"{option}={quote(str(value), safe='')}{unit}"
