"""RTMP chunks and FLV tags by hand from the specifications, for tests."""

from __future__ import annotations

import struct

SIZE, CONTROL, WINDOW, AUDIO, VIDEO, DATA, COMMAND = 1, 4, 5, 8, 9, 18, 20
STREAM = 6  # message stream id
METADATA = b"\x02\x00\x0d@setDataFrame\x02\x00\x0aonMetaData\x08\0\0\0\0\0\0\x09"
AVC_CONFIG = b"\x17\0\0\0\0" + bytes.fromhex("0142c01effe1000467 42c01e 01000468ce3c80")
AAC_CONFIG = bytes.fromhex("af001390")


def basic(fmt: int, csid: int) -> bytes:
    if csid < 64:
        return bytes((fmt << 6 | csid,))
    if csid < 320:
        return bytes((fmt << 6, csid - 64))
    return bytes((fmt << 6 | 1, csid - 64 & 255, csid - 64 >> 8))


def chunks(
    csid: int,
    type: int,
    time: int,
    payload: bytes,
    *,
    fmt: int = 0,
    msid: int = STREAM,
    size: int = 1000,
    omit: bool = False,
) -> bytes:
    """One message; ``omit`` leaves the extended timestamp out of continuations, as some senders do."""
    extended = struct.pack(">I", time) if time >= 0xFFFFFF else b""
    short = (min(time, 0xFFFFFF)).to_bytes(3)
    head = b"" if fmt == 3 else short
    if fmt < 2:
        head += len(payload).to_bytes(3) + bytes((type,))
    if fmt == 0:
        head += struct.pack("<I", msid)
    out = bytearray(basic(fmt, csid) + head + extended + payload[:size])
    for at in range(size, len(payload), size):
        out += basic(3, csid) + (b"" if omit else extended) + payload[at : at + size]
    return bytes(out)


def command(*values: str | float | None, csid: int = 3, msid: int = 0, app: str = "", size: int = 128) -> bytes:
    """AMF0 values: strings, numbers, null; ``app`` makes the null of ``connect`` an object."""
    body = b""
    for value in values:
        if isinstance(value, str):
            body += b"\x02" + len(value).to_bytes(2) + value.encode()
        elif value is None and app:
            body += b"\x03\x00\x03app\x02" + len(app).to_bytes(2) + app.encode() + b"\0\0\x09"
        elif value is None:
            body += b"\x05"
        else:
            body += b"\0" + struct.pack(">d", value)
    return chunks(csid, COMMAND, 0, body, msid=msid, size=size)


def avc(key: bool, *units: bytes, offset: int = 40) -> bytes:
    body = b"".join(len(unit).to_bytes(4) + unit for unit in units)
    return (b"\x17" if key else b"\x27") + b"\1" + offset.to_bytes(3) + body


def aac(data: bytes) -> bytes:
    return b"\xaf\x01" + data


IDR = b"\x65" + bytes(range(1, 200)) * 9
SLICE = b"\x41" + bytes(range(3, 180)) * 7


def prologue(size: int = 1000, start: int = 0, msid: int = STREAM) -> list[bytes]:
    """What stands before the first frame."""
    return [
        chunks(2, SIZE, 0, size.to_bytes(4), msid=0),
        chunks(2, WINDOW, 0, (700_000).to_bytes(4), msid=0),
        chunks(5, DATA, start, METADATA, msid=msid),
        chunks(6, VIDEO, start, AVC_CONFIG, msid=msid),
        chunks(4, AUDIO, start, AAC_CONFIG, msid=msid),
    ]


def frames(count: int = 9, start: int = 0, msid: int = STREAM) -> list[bytes]:
    """Alternating video and audio messages; the first of each csid with fmt 0, then deltas."""
    out = []
    for i in range(count):
        unit = avc(i == 0, b"\x09\xf0", IDR) if i == 0 else avc(False, SLICE)
        out.append(chunks(6, VIDEO, 40 if i else start, unit, fmt=min(i, 1), msid=msid))
        out.append(chunks(4, AUDIO, 40 if i else start + 13, aac(bytes(180)), fmt=min(i, 2), msid=msid))
    return out


def clip() -> list[bytes]:
    return prologue() + frames()
