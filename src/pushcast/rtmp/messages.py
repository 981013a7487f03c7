"""RTMP messages other than media: protocol control, user control, commands and data (RTMP 1.0, 5.4, 6.2, 7).

``build`` and ``parse`` are each other's inverse.  Control messages hold big-endian numbers, commands and data AMF0
values; the AMF3 forms (types 15 and 17) hold AMF0 behind one format byte 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TypeAlias

from pushcast.errors import LocalProtocolError, RemoteProtocolError
from pushcast.rtmp import amf0


class Type(IntEnum):
    """Message types."""

    SET_CHUNK_SIZE = 1
    ABORT = 2
    ACKNOWLEDGEMENT = 3
    USER_CONTROL = 4
    WINDOW_ACK_SIZE = 5
    SET_PEER_BANDWIDTH = 6
    AUDIO = 8
    VIDEO = 9
    DATA_AMF3 = 15
    COMMAND_AMF3 = 17
    DATA = 18
    COMMAND = 20


class Csid(IntEnum):
    """The chunk streams on which we send what is not media."""

    CONTROL = 2
    COMMAND = 3


class Limit(IntEnum):
    """Limit types of Set Peer Bandwidth (5.4.5)."""

    HARD = 0
    SOFT = 1
    DYNAMIC = 2


class UserEvent(IntEnum):
    """Events of user control (7.1.7)."""

    STREAM_BEGIN = 0
    STREAM_EOF = 1
    STREAM_DRY = 2
    SET_BUFFER_LENGTH = 3
    STREAM_IS_RECORDED = 4
    PING_REQUEST = 6
    PING_RESPONSE = 7


@dataclass(frozen=True, slots=True)
class SetChunkSize:
    """The sender's chunks will have up to this many payload bytes."""

    size_bytes: int


@dataclass(frozen=True, slots=True)
class Abort:
    """The rest of the message under way on this chunk stream will not come."""

    csid: int


@dataclass(frozen=True, slots=True)
class Acknowledgement:
    """Bytes received so far, mod 2**32."""

    received_bytes: int


@dataclass(frozen=True, slots=True)
class WindowAckSize:
    """The sender wants an acknowledgement each time this many bytes arrived."""

    size_bytes: int


@dataclass(frozen=True, slots=True)
class SetPeerBandwidth:
    """The receiver shall announce this window as its own; ``limit`` is a Limit, or what the peer sent instead."""

    size_bytes: int
    limit: int


@dataclass(frozen=True, slots=True)
class UserControl:
    """``event`` is a UserEvent, or another number that the peer sent; ``data`` what belongs to it."""

    event: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Command:
    """A call or its answer; the arguments may hold a stream key and are not shown."""

    name: str
    transaction_id: float
    object: amf0.Value = field(default=None, repr=False)
    arguments: tuple[amf0.Value, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Data:
    """A data message: its values, the first usually a name such as ``onMetaData``."""

    values: tuple[amf0.Value, ...]


Control: TypeAlias = SetChunkSize | Abort | Acknowledgement | UserControl | WindowAckSize | SetPeerBandwidth
Parsed: TypeAlias = Control | Command | Data


def build(message: Parsed) -> tuple[Type, bytes]:
    """(type, payload).  Raises LocalProtocolError for values that the format cannot hold."""
    match message:
        case SetChunkSize(size):
            return Type.SET_CHUNK_SIZE, _u32(size)
        case Abort(csid):
            return Type.ABORT, _u32(csid)
        case Acknowledgement(received):
            return Type.ACKNOWLEDGEMENT, _u32(received & 0xFFFFFFFF)
        case UserControl(event, data):
            return Type.USER_CONTROL, event.to_bytes(2) + data
        case WindowAckSize(size):
            return Type.WINDOW_ACK_SIZE, _u32(size)
        case SetPeerBandwidth(size, limit):
            return Type.SET_PEER_BANDWIDTH, _u32(size) + bytes((limit,))
        case Command(name, transaction_id, object, arguments):
            return Type.COMMAND, amf0.encode(name, transaction_id, object, *arguments)
        case Data(values):
            return Type.DATA, amf0.encode(*values)


def parse(type: int, payload: bytes) -> Parsed | None:
    """The message, None for a type that is not ours to read.  Raises RemoteProtocolError for a malformed payload."""
    parser = _PARSERS.get(type)
    return parser(payload) if parser else None


def _u32(value: int) -> bytes:
    if not 0 <= value <= 0xFFFFFFFF:
        raise LocalProtocolError(f"RTMP control message: expected 32 bits, got {value}")
    return value.to_bytes(4)


def _number(payload: bytes, what: str) -> int:
    if len(payload) < 4:
        raise RemoteProtocolError(f"RTMP {what}: expected 4 bytes, got {len(payload)}")
    return int.from_bytes(payload[:4])


def _parse_set_peer_bandwidth(payload: bytes) -> SetPeerBandwidth:
    size = _number(payload, "Set Peer Bandwidth")
    # The limit type is missing from some old servers' messages.
    return SetPeerBandwidth(size, payload[4] if len(payload) > 4 else Limit.DYNAMIC)


def _parse_user_control(payload: bytes) -> UserControl:
    if len(payload) < 2:
        raise RemoteProtocolError(f"RTMP user control: expected at least 2 bytes, got {len(payload)}")
    return UserControl(int.from_bytes(payload[:2]), payload[2:])


def _parse_command(payload: bytes) -> Command:
    values = amf0.decode(payload)
    if not values or not isinstance(values[0], str):
        raise RemoteProtocolError("RTMP command: expected a name first, got none")
    transaction_id = values[1] if len(values) > 1 else 0.0
    if not isinstance(transaction_id, float):
        raise RemoteProtocolError("RTMP command: expected a number as transaction id, got another value")
    return Command(values[0], transaction_id, values[2] if len(values) > 2 else None, tuple(values[3:]))


def _parse_data(payload: bytes) -> Data:
    return Data(tuple(amf0.decode(payload)))


def _without_format(payload: bytes) -> bytes:
    return payload[1:] if payload[:1] == b"\0" else payload


_PARSERS: dict[int, Callable[[bytes], Parsed]] = {
    Type.SET_CHUNK_SIZE: lambda payload: SetChunkSize(_number(payload, "Set Chunk Size")),
    Type.ABORT: lambda payload: Abort(_number(payload, "Abort")),
    Type.ACKNOWLEDGEMENT: lambda payload: Acknowledgement(_number(payload, "Acknowledgement")),
    Type.USER_CONTROL: _parse_user_control,
    Type.WINDOW_ACK_SIZE: lambda payload: WindowAckSize(_number(payload, "Window Acknowledgement Size")),
    Type.SET_PEER_BANDWIDTH: _parse_set_peer_bandwidth,
    Type.COMMAND: _parse_command,
    Type.COMMAND_AMF3: lambda payload: _parse_command(_without_format(payload)),
    Type.DATA: _parse_data,
    Type.DATA_AMF3: lambda payload: _parse_data(_without_format(payload)),
}
