"""Decoder configuration records of video: avcC and hvcC, ISO 14496-15 5.3.3 and 8.3.3.

Parameter sets go in and come out untouched; those that do not parse raise MediaError.
"""
from dataclasses import dataclass

from libc.stdint cimport uint32_t, uint64_t

from pushcast.bits cimport Bits
from pushcast.nal cimport check_length_size, check_unit
from pushcast.sps cimport CHROMA_PROFILES, avc_sps, hevc_sps, rbsp

from pushcast.errors import MediaError


@dataclass(frozen=True)
class AvcConfig:
    """What an AVCDecoderConfigurationRecord (avcC) says."""

    length_size: int
    sps: list
    pps: list
    profile: int
    level: int


@dataclass(frozen=True)
class HvcConfig:
    """What an HEVCDecoderConfigurationRecord (hvcC) says."""

    length_size: int
    vps: list
    sps: list
    pps: list
    profile: int
    level: int


def parse_avcc(data):
    bits = Bits(bytes(data), "avcC")
    version = bits.u(8)
    if version != 1:
        raise MediaError(f"avcC: expected version 1, got {version}")
    profile = bits.u(8)
    bits.skip(8)
    level = bits.u(8)
    length_size = (bits.u(8) & 3) + 1
    check_length_size(length_size)
    sps = _read_units(bits, bits.u(8) & 31, 1, 7)
    pps = _read_units(bits, bits.u(8), 1, 8)
    return AvcConfig(length_size, sps, pps, profile, level)


def build_avcc(sps, pps):
    sps, pps = _units(sps, 1, 7, 31), _units(pps, 1, 8, 255)
    first = sps[0]
    if len(first) < 4:
        raise MediaError(f"H.264 SPS: expected at least 4 bytes, got {len(first)}")
    record = bytearray(b"\1" + first[1:4] + b"\xff")
    record.append(0xE0 | len(sps))
    for unit in sps:
        record += len(unit).to_bytes(2, "big") + unit
    record.append(len(pps))
    for unit in pps:
        record += len(unit).to_bytes(2, "big") + unit
    if first[1] in CHROMA_PROFILES:
        facts = avc_sps(first)
        record += bytes((0xFC | facts["chroma"], 0xF8 | facts["luma"] - 8, 0xF8 | facts["chroma_depth"] - 8, 0))
    return bytes(record)


def parse_hvcc(data):
    bits = Bits(bytes(data), "hvcC")
    version = bits.u(8)
    # Encoders of the years before the standard was final wrote 0.
    if version > 1:
        raise MediaError(f"hvcC: expected version 1, got {version}")
    profile = bits.u(8) & 31
    bits.skip(80)
    level = bits.u(8)
    bits.skip(64)
    length_size = (bits.u(8) & 3) + 1
    check_length_size(length_size)
    sets = {32: [], 33: [], 34: []}
    for _ in range(bits.u(8)):
        kind = bits.u(8) & 0x3F
        sets.setdefault(kind, []).extend(_read_units(bits, bits.u(16), 2, kind))
    return HvcConfig(length_size, sets[32], sets[33], sets[34], profile, level)


def build_hvcc(vps, sps, pps):
    arrays = ((32, _units(vps, 2, 32, 16)), (33, _units(sps, 2, 33, 16)), (34, _units(pps, 2, 34, 64)))
    first = arrays[1][1][0]
    facts = hevc_sps(first)
    record = bytearray(b"\1" + rbsp(first)[3:15])
    record += bytes((0xF0, 0, 0xFC, 0xFC | facts["chroma"], 0xF8 | facts["luma"] - 8, 0xF8 | facts["chroma_depth"] - 8, 0, 0))
    record += bytes((facts["layers"] << 3 | facts["nested"] << 2 | 3, len(arrays)))
    for kind, units in arrays:
        record += bytes((0x80 | kind,)) + len(units).to_bytes(2, "big")
        for unit in units:
            record += len(unit).to_bytes(2, "big") + unit
    return bytes(record)


cdef list _read_units(Bits bits, uint64_t count, uint32_t codec, uint32_t kind):
    """count units, each after its 16-bit size; every one must be of this NAL type."""
    cdef uint64_t size
    cdef list units = []
    cdef uint64_t begin
    for _ in range(count):
        size = bits.u(16)
        begin = bits.at >> 3
        bits.skip(8 * size)
        unit = bits.owner[begin:begin + size]
        check_unit(bits.name, unit, codec, kind)
        units.append(unit)
    return units


cdef list _units(units, uint32_t codec, uint32_t kind, Py_ssize_t most):
    """The caller's parameter sets as bytes, each of this NAL type and small enough for its 16-bit size field."""
    cdef list checked = [bytes(unit) for unit in units]
    name = "avcC" if codec == 1 else "hvcC"
    if not 1 <= len(checked) <= most:
        raise MediaError(f"{name}: expected 1 to {most} units of NAL type {kind}, got {len(checked)}")
    for unit in checked:
        check_unit(name, unit, codec, kind)
        if len(unit) > 0xFFFF:
            raise MediaError(f"{name}: parameter set of {len(unit)} bytes, at most 65535 fit")
    return checked
