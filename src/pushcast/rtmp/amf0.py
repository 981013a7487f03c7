"""AMF0 values (Action Message Format 0): the contents of RTMP command and data messages.

A payload is values one after another.  They map to Python as number -> float, boolean -> bool, string and XML -> str,
object and typed object -> dict, ECMA array -> EcmaArray, strict array -> list, date -> Date, and null, undefined and
unsupported -> None.  References, movie clips, record sets and AMF3 values are refused.

Decoding is bounded: a hostile peer pays for each value with at least one byte, and the limits leave room for any
metadata seen in practice (a few hundred values, three levels).
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias

from pushcast.errors import LocalProtocolError, RemoteProtocolError

MAX_BYTES = 256 * 1024  # of one payload
MAX_DEPTH = 16  # of objects and arrays in one another
MAX_VALUES = 4096  # in one payload

Value: TypeAlias = "bool | float | str | Date | Mapping[str, Value] | Sequence[Value] | None"


class Marker(IntEnum):
    """Type markers (AMF0, 2.1)."""

    NUMBER = 0x00
    BOOLEAN = 0x01
    STRING = 0x02
    OBJECT = 0x03
    NULL = 0x05
    UNDEFINED = 0x06
    ECMA_ARRAY = 0x08
    OBJECT_END = 0x09
    STRICT_ARRAY = 0x0A
    DATE = 0x0B
    LONG_STRING = 0x0C
    UNSUPPORTED = 0x0D
    XML = 0x0F
    TYPED_OBJECT = 0x10


class EcmaArray(dict[str, Value]):
    """A dict that is written as an ECMA array, the form in which onMetaData is expected."""


@dataclass(frozen=True, slots=True)
class Date:
    """A moment: milliseconds since 1970 in UTC.  The time zone of the format is reserved and dropped."""

    ms: float


_NUMBER = struct.Struct(">d")
_U16 = struct.Struct(">H")
_U32 = struct.Struct(">I")
_END = b"\0\0\x09"


def encode(*values: Value) -> bytes:
    """The values one after another.  Raises LocalProtocolError for what AMF0 cannot hold."""
    out = bytearray()
    for value in values:
        _encode(out, value, 0)
    return bytes(out)


def _encode(out: bytearray, value: Value, depth: int) -> None:
    if depth > MAX_DEPTH:
        raise LocalProtocolError(f"AMF0: expected at most {MAX_DEPTH} levels, got more")
    if value is None:
        out.append(Marker.NULL)
    elif isinstance(value, bool):
        out += bytes((Marker.BOOLEAN, value))
    elif isinstance(value, int | float):
        out.append(Marker.NUMBER)
        out += _NUMBER.pack(value)
    elif isinstance(value, str):
        _encode_string(out, value)
    elif isinstance(value, Date):
        out.append(Marker.DATE)
        out += _NUMBER.pack(value.ms) + b"\0\0"
    elif isinstance(value, Mapping):
        _encode_pairs(out, value, depth)
    elif isinstance(value, list | tuple):
        out.append(Marker.STRICT_ARRAY)
        out += _U32.pack(len(value))
        for item in value:
            _encode(out, item, depth + 1)
    else:
        raise LocalProtocolError(f"AMF0: expected a value it can hold, got {type(value).__name__}")


def _encode_string(out: bytearray, value: str) -> None:
    data = value.encode()
    if len(data) > 0xFFFF:
        out.append(Marker.LONG_STRING)
        out += _U32.pack(len(data))
    else:
        out.append(Marker.STRING)
        out += _U16.pack(len(data))
    out += data


def _encode_pairs(out: bytearray, pairs: Mapping[str, Value], depth: int) -> None:
    if isinstance(pairs, EcmaArray):
        out.append(Marker.ECMA_ARRAY)
        out += _U32.pack(len(pairs))
    else:
        out.append(Marker.OBJECT)
    for key, value in pairs.items():
        data = key.encode()
        if len(data) > 0xFFFF:
            raise LocalProtocolError(f"AMF0: expected a key of at most 65535 bytes, got {len(data)}")
        out += _U16.pack(len(data)) + data
        _encode(out, value, depth + 1)
    out += _END


def decode(data: bytes) -> list[Value]:
    """All values of a payload.  Raises RemoteProtocolError for anything malformed, unknown or over the limits."""
    if len(data) > MAX_BYTES:
        raise RemoteProtocolError(f"AMF0: expected at most {MAX_BYTES} bytes, got {len(data)}")
    reader = _Reader(data)
    values = []
    while reader.left:
        values.append(reader.value(0))
    return values


class _Reader:
    """A place in a payload."""

    __slots__ = ("_count", "_data", "_end", "_place")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._end = len(data)
        self._place = 0
        self._count = 0

    @property
    def left(self) -> int:
        return self._end - self._place

    def take(self, size: int) -> bytes:
        start = self._place
        following = start + size
        if following > self._end:
            raise RemoteProtocolError(f"AMF0: expected {size} bytes at offset {start}, got {self._end - start}")
        self._place = following
        return self._data[start:following]

    def value(self, depth: int) -> Value:
        if depth > MAX_DEPTH:
            raise RemoteProtocolError(f"AMF0: expected at most {MAX_DEPTH} levels, got more")
        self._count += 1
        if self._count > MAX_VALUES:
            raise RemoteProtocolError(f"AMF0: expected at most {MAX_VALUES} values, got more")
        offset = self._place
        marker = self.take(1)[0]
        form = _FORMS.get(marker)
        if form is None:
            raise RemoteProtocolError(f"AMF0: expected a known type marker at offset {offset}, got {marker:#04x}")
        return form(self, depth)

    def size(self) -> int:
        return int.from_bytes(self.take(2))

    def text(self, size: int) -> str:
        # Encoders put Latin-1 into metadata; a wrong letter there is no reason to lose a stream.
        return self.take(size).decode(errors="replace")

    def number(self, depth: int) -> float:
        return float(_NUMBER.unpack(self.take(8))[0])

    def boolean(self, depth: int) -> bool:
        return self.take(1) != b"\0"

    def string(self, depth: int) -> str:
        return self.text(self.size())

    def long_string(self, depth: int) -> str:
        return self.text(int.from_bytes(self.take(4)))

    def null(self, depth: int) -> None:
        return None

    def object(self, depth: int) -> dict[str, Value]:
        return self._pairs({}, depth)

    def typed_object(self, depth: int) -> dict[str, Value]:
        self.take(self.size())
        return self._pairs({}, depth)

    def ecma_array(self, depth: int) -> dict[str, Value]:
        self.take(4)  # a hint that peers get wrong: the end marker counts
        return self._pairs(EcmaArray(), depth)

    def strict_array(self, depth: int) -> list[Value]:
        count = int.from_bytes(self.take(4))
        if count > self.left:
            raise RemoteProtocolError(f"AMF0: expected {count} values in an array, got {self.left} bytes")
        return [self.value(depth + 1) for _ in range(count)]

    def date(self, depth: int) -> Date:
        moment = Date(self.number(depth))
        self.take(2)
        return moment

    def _pairs(self, into: dict[str, Value], depth: int) -> dict[str, Value]:
        while True:
            # Some encoders leave the end marker of the last array out.
            if not self.left and isinstance(into, EcmaArray):
                return into
            size = self.size()
            if size == 0 and self._data[self._place : self._place + 1] == b"\x09":
                self._place += 1
                return into
            key = self.text(size)
            into[key] = self.value(depth + 1)


_FORMS: dict[int, Callable[[_Reader, int], Value]] = {
    Marker.NUMBER: _Reader.number,
    Marker.BOOLEAN: _Reader.boolean,
    Marker.STRING: _Reader.string,
    Marker.OBJECT: _Reader.object,
    Marker.NULL: _Reader.null,
    Marker.UNDEFINED: _Reader.null,
    Marker.ECMA_ARRAY: _Reader.ecma_array,
    Marker.STRICT_ARRAY: _Reader.strict_array,
    Marker.DATE: _Reader.date,
    Marker.LONG_STRING: _Reader.long_string,
    Marker.UNSUPPORTED: _Reader.null,
    Marker.XML: _Reader.long_string,
    Marker.TYPED_OBJECT: _Reader.typed_object,
}
