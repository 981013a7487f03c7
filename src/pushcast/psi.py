"""PAT, PMT and SDT as ready packets: the tables of a transport stream with one program.

ISO/IEC 13818-1 2.4.4; ETSI EN 300 468 for the SDT.  The packets carry continuity_counter 0: whoever sends them counts.
Built once for each muxer, so plain Python.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from pushcast.errors import MediaError
from pushcast.tsoptions import NULL_PID, SERVICE_BYTES_MAX, TsOptions

PAT_PID = 0x0000
SDT_PID = 0x0011
MIN_PID = 0x0010  # below are those with a meaning of their own: 13818-1 table 2-3
PACKET_PAYLOAD_BYTES = 184

_SECTION_LENGTH_MAX = 1021  # 2.4.4.5
_MPEG_SYNTAX, _DVB_SYNTAX = 0xB, 0xF  # section_syntax_indicator and the three bits behind it


class ElementaryStream(NamedTuple):
    """One line of a PMT."""

    stream_type: int
    pid: int
    descriptors: bytes


def pat_packets(options: TsOptions) -> bytes:
    """The PAT: one program, and where its PMT is."""
    body = options.service_id.to_bytes(2, "big") + (0xE000 | options.pmt_pid).to_bytes(2, "big")
    return _packets(PAT_PID, _section(0x00, _MPEG_SYNTAX, options.transport_stream_id, _version_of(body), body))


def pmt_packets(options: TsOptions, streams: Sequence[ElementaryStream], program: bytes = b"") -> bytes:
    """The PMT of these streams, the first of which carries the PCR; MediaError when they do not fit one section.

    ``program``: the descriptors of the program itself.
    """
    body = (0xE000 | streams[0].pid).to_bytes(2, "big") + (0xF000 | len(program)).to_bytes(2, "big") + program
    for stream in streams:
        body += bytes((stream.stream_type,)) + (0xE000 | stream.pid).to_bytes(2, "big")
        body += (0xF000 | len(stream.descriptors)).to_bytes(2, "big") + stream.descriptors
    return _packets(options.pmt_pid, _section(0x02, _MPEG_SYNTAX, options.service_id, _version_of(body), body))


def sdt_packets(options: TsOptions) -> bytes:
    """The SDT: a digital television service of this name, running, not scrambled; ValueError when it is too long."""
    provider, name = _dvb_text(options.provider_name), _dvb_text(options.service_name)
    if len(provider) + len(name) > SERVICE_BYTES_MAX:
        raise ValueError(
            f"names of {len(provider) + len(name)} bytes, together at most {SERVICE_BYTES_MAX} are allowed"
        )
    descriptor = b"\x01" + bytes((len(provider),)) + provider + bytes((len(name),)) + name
    descriptor = bytes((0x48, len(descriptor))) + descriptor
    body = options.original_network_id.to_bytes(2, "big") + b"\xff" + options.service_id.to_bytes(2, "big") + b"\xfc"
    body += (0x8000 | len(descriptor)).to_bytes(2, "big") + descriptor
    return _packets(SDT_PID, _section(0x42, _DVB_SYNTAX, options.transport_stream_id, _version_of(body), body))


def _dvb_text(text: str) -> bytes:
    """0x15 announces UTF-8: EN 300 468 annex A."""
    return text.encode() if text.isascii() else b"\x15" + text.encode()


def read_pat(section: bytes) -> list[tuple[int, int]]:
    """(program_number, PID of its PMT) of each program, in order; the section is whole and its CRC right."""
    lines = (section[at : at + 4] for at in range(8, len(section) - 7, 4))
    programs = [(int.from_bytes(line[:2], "big"), int.from_bytes(line[2:], "big") & 0x1FFF) for line in lines]
    return [(number, pid) for number, pid in programs if number and MIN_PID <= pid < NULL_PID]


def read_pmt(section: bytes) -> list[ElementaryStream]:
    """The elementary streams, in order; the section is whole and its CRC right.  :raises MediaError: its lengths do not
    add up.
    """
    end = len(section) - 4
    at = 12 + (int.from_bytes(section[10:12], "big") & 0xFFF)
    streams = []
    while at + 5 <= end:
        pid = int.from_bytes(section[at + 1 : at + 3], "big") & 0x1FFF
        begin = at + 5
        size = int.from_bytes(section[at + 3 : begin], "big") & 0xFFF
        streams.append(ElementaryStream(section[at], pid, section[begin : begin + size]))
        at = begin + size
    if at != end:
        raise MediaError(f"PMT: its streams end at byte {at}, the section at {end}")
    return streams


def crc32(data: bytes) -> int:
    """CRC_32 of a section: 13818-1 annex A.  Over a section with its CRC it is 0."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ (0x04C11DB7 if crc & 0x80000000 else 0)) & 0xFFFFFFFF
    return crc


def _version_of(body: bytes) -> int:
    """version_number from the content: a receiver that is moved to a feed with other tracks sees another number."""
    return crc32(body) & 31


def _section(table_id: int, syntax: int, extension: int, version: int, body: bytes) -> bytes:
    length = 5 + len(body) + 4
    if length > _SECTION_LENGTH_MAX:
        raise MediaError(
            f"table {table_id:#04x} needs {length} bytes, at most {_SECTION_LENGTH_MAX} fit: too many tracks"
        )
    section = bytes((table_id,)) + (syntax << 12 | length).to_bytes(2, "big") + extension.to_bytes(2, "big")
    section += bytes((0xC1 | version << 1, 0, 0)) + body
    return section + crc32(section).to_bytes(4, "big")


def _packets(pid: int, section: bytes) -> bytes:
    """The section behind a pointer_field of 0, filled up with 0xFF: 2.4.4.1."""
    data = b"\0" + section
    packets = bytearray()
    for at in range(0, len(data), PACKET_PAYLOAD_BYTES):
        unit_start = 0x4000 if at == 0 else 0
        packets += b"\x47" + (unit_start | pid).to_bytes(2, "big") + b"\x10"
        packets += data[at : at + PACKET_PAYLOAD_BYTES].ljust(PACKET_PAYLOAD_BYTES, b"\xff")
    return bytes(packets)
