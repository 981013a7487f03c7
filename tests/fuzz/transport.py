"""Targets: transport streams as they come, and the PES packets in them.

``ts`` takes bytes as packets.  Its first byte says in which portions they come, which program is wanted, and whether
the CRCs of sections are put right first: without that no changed table would ever be read.

``pes`` takes PES packets of one PID, whose codec the first byte chooses, behind tables that are right.
"""

from __future__ import annotations

from build_ts import PAT, VIDEO, Muxer, join, pat, section, stamp
from build_ts import PMT as PMT_PID

from fuzz.exact import Fields, portions
from fuzz.receiver import TS_BYTES, Receiver, new_source
from pushcast.errors import MediaError
from pushcast.psisection import crc32
from pushcast.tsinput import TsInput

_STEPS = (7 * TS_BYTES, 1, 77, 100_000)
_PES_MOST = 4095
SPLICE = 0x86

# Every carriage of tscodecs: stream_type and descriptors.
STREAMS = (
    (0x1B, b""),
    (0x24, b""),
    (0x0F, b""),
    (0x11, b""),
    (0x03, b""),
    (0x81, b""),
    (0x06, b"\x05\x04Opus\x7f\x02\x80\x02"),
    (0x06, b"\x05\x04Opus\x7f\x02\x80\x06"),
    (0x15, bytes.fromhex("260dffff49443320ff49443320000f")),
    (0x06, b"\x05\x04KLVA"),
    (0x06, b"\x6a\x01\x00"),
    (SPLICE, b"\x05\x04CUEI"),
)


def _tables(stream_type: int, descriptors: bytes) -> tuple[bytes, bytes]:
    """PAT and PMT of a program with this one stream."""
    body = (0xE000 | VIDEO).to_bytes(2, "big") + b"\xf0\0" + bytes((stream_type,)) + (0xE000 | VIDEO).to_bytes(2, "big")
    return pat(), section(2, 5, body + (0xF000 | len(descriptors)).to_bytes(2, "big") + descriptors)


TABLES = tuple(_tables(*each) for each in STREAMS)


def ts(data: bytes) -> None:
    fields = Fields(data)
    how = fields.number()
    stream = fields.rest()
    if how & 0x80:
        stream = with_right_crcs(stream)
    taken = TsInput(new_source(), 5 if how & 0x40 else 0)
    receiver = Receiver(taken)
    try:
        for portion in portions(stream, _STEPS[how & 3]):
            taken.take(portion)
            receiver.attend()
        taken.flush()
        receiver.attend()
    except MediaError:
        pass
    assert taken.packets <= len(stream) // TS_BYTES
    receiver.check()


def with_right_crcs(stream: bytes) -> bytes:
    """Sections that begin and end in one packet get the CRC that they should have."""
    mended = bytearray(stream)
    for at in range(0, len(stream) - TS_BYTES + 1, TS_BYTES):
        packet = mended[at : at + TS_BYTES]
        payload = 5 + packet[4] if packet[3] & 0x20 else 4
        if packet[0] != 0x47 or not packet[1] & 0x40 or payload >= TS_BYTES:
            continue
        begin = payload + 1 + packet[payload]
        if begin + 3 > TS_BYTES or packet[begin] not in (0x00, 0x02, 0xFC):
            continue
        end = begin + 3 + (int.from_bytes(packet[begin + 1 : begin + 3], "big") & 0xFFF)
        if end <= TS_BYTES and end - begin > 7:
            mended[at + end - 4 : at + end] = crc32(bytes(packet[begin : end - 4])).to_bytes(4, "big")
    return bytes(mended)


def pes(data: bytes) -> None:
    fields = Fields(data)
    taken = TsInput(new_source())
    receiver = Receiver(taken)
    try:
        for portion in portions(packets_of(fields), 7 * TS_BYTES):
            taken.take(portion)
            receiver.attend()
        taken.flush()
        receiver.attend()
    except MediaError:
        pass
    assert taken.continuity_errors == taken.sync_losses == 0
    receiver.check()


def packets_of(fields: Fields) -> bytes:
    """The transport stream around the PES packets, or sections, that the fields say."""
    kind = fields.number() % len(STREAMS)
    muxer = Muxer()
    for label, pid, table in zip(("pat", "pmt"), (PAT, PMT_PID), TABLES[kind], strict=True):
        muxer.table(label, 0, pid, table)
    time = 900_000
    number = 0
    while fields.left:
        how = fields.number()
        content = fields.take(fields.number(2) % (_PES_MOST + 1))
        time += fields.number(2) << (8 if how & 0x40 else 0)
        number += 1
        if STREAMS[kind][0] == SPLICE:
            muxer.table("splice", number, VIDEO, with_crc(content))
        else:
            packet = pes_packet(how, time, content)
            muxer.add("pes", number, VIDEO, packet, 0x40 if how & 0x20 else 0)
    return join(muxer.packets)


def pes_packet(how: int, time: int, content: bytes) -> bytes:
    """Bits 0 and 1 of ``how``: no time, PTS, both, or a header that is in the content; 2 to 4: length, wrong, cut."""
    if how & 3 == 3:
        return b"\0\0\1\xe0" + content
    stamps = (b"", stamp(2, time), stamp(3, time + 7200) + stamp(1, time))[how & 3]
    rest = bytes((0x80, (0, 0x80, 0xC0)[how & 3], len(stamps))) + stamps + content
    length = len(rest) + (how >> 3 & 1) if how & 4 else 0
    return b"\0\0\1\xe0" + length.to_bytes(2, "big") + rest


def with_crc(content: bytes) -> bytes:
    """A section of this content."""
    head = b"\xfc" + (0x3000 | len(content) + 4).to_bytes(2, "big") + content
    return head + crc32(head).to_bytes(4, "big")
