"""NAL units: splitting and joining access units, telling what a unit is.

H.264 is ITU-T H.264 (ISO 14496-10), HEVC is ITU-T H.265 (ISO 23008-2).  Nothing here keeps state and nothing trusts its
input: what cannot be parsed raises MediaError, whatever the bytes are.

A *unit* is a NAL unit without start code or length, emulation prevention included.  Units go through this module
untouched.
"""
from libc.stdint cimport uint8_t, uint32_t

from pushcast.nal cimport (
    NAL_AUD, NAL_KEY, NAL_PPS, NAL_SPS, NAL_VPS, find_start_code, nal_cursor_t, nal_role, nal_type, next_nal,
)

from pushcast.errors import MediaError

cdef dict CODEC_NAMES = {1: "H.264", 2: "HEVC"}


def split_annexb(data):
    cdef const uint8_t[::1] view = data
    cdef Py_ssize_t size = view.shape[0]
    if size < 4:
        raise MediaError(f"Annex B: expected a start code and a unit, got {size} bytes")
    cdef const uint8_t* begin = &view[0]
    cdef const uint8_t* end = begin + size
    cdef const uint8_t* at = find_start_code(begin, end)
    cdef const uint8_t* stop
    cdef const uint8_t* last
    cdef const uint8_t* p = begin
    while p < at:
        if p[0]:
            raise MediaError("Annex B: the data does not begin with a start code")
        p += 1
    if at == end:
        raise MediaError(f"Annex B: no start code in {size} bytes")
    units = []
    while at < end:
        at += 3
        stop = find_start_code(at, end)
        last = stop
        # A unit never ends with a zero byte: these belong to a 4-byte start code or are trailing_zero_8bits.
        while last > at and (last - 1)[0] == 0:
            last -= 1
        if last > at:
            units.append(at[:last - at])
        at = stop
    return units


def annexb_to_lengths(data):
    return _join_lengths(split_annexb(data))


def _join_lengths(units):
    return b"".join([len(unit).to_bytes(4, "big") + unit for unit in units])


def split_lengths(data, uint32_t length_size=4):
    cdef const uint8_t[::1] view = data
    cdef nal_cursor_t cursor
    cdef const uint8_t* unit = NULL
    cdef size_t size = 0
    cdef int step
    check_length_size(length_size)
    units = []
    if view.shape[0] == 0:
        return units
    cursor.at = &view[0]
    cursor.end = cursor.at + view.shape[0]
    cursor.length_size = length_size
    step = next_nal(&cursor, &unit, &size)
    while step == 1:
        units.append(unit[:size])
        step = next_nal(&cursor, &unit, &size)
    if step < 0:
        raise MediaError(f"NAL unit {len(units)} of the access unit runs over its end of {view.shape[0]} bytes")
    return units


def lengths_to_annexb(data, uint32_t length_size=4):
    return b"".join([b"\0\0\0\1" + unit for unit in split_lengths(data, length_size)])


def nal_unit_type(uint32_t codec, unit):
    cdef const uint8_t[::1] view = unit
    check_codec(codec)
    if view.shape[0] == 0:
        raise MediaError(f"{CODEC_NAMES[codec]}: empty NAL unit")
    return nal_type(codec, &view[0])


def access_unit_roles(uint32_t codec, uint32_t length_size, data):
    cdef uint32_t roles = _roles(codec, length_size, data)
    names = (("aud", NAL_AUD), ("vps", NAL_VPS), ("sps", NAL_SPS), ("pps", NAL_PPS), ("key", NAL_KEY))
    return frozenset(name for name, bit in names if roles & <uint32_t>bit)


def is_keyframe(uint32_t codec, uint32_t length_size, data):
    return bool(_roles(codec, length_size, data) & NAL_KEY)


cdef uint32_t _roles(uint32_t codec, uint32_t length_size, data) except? 0xFFFFFFFF:
    cdef uint32_t roles = 0
    cdef const uint8_t[::1] view
    check_codec(codec)
    for unit in split_lengths(data, length_size):
        view = unit
        roles |= nal_role(codec, &view[0])
    return roles


cdef int check_length_size(uint32_t length_size) except -1:
    if length_size not in (1, 2, 4):
        raise MediaError(f"NAL unit length size: expected 1, 2 or 4, got {length_size}")
    return 0


cdef int check_codec(uint32_t codec) except -1:
    if codec not in (1, 2):
        raise MediaError(f"NAL units: expected codec H.264 (1) or HEVC (2), got {codec}")
    return 0


cdef int check_unit(name, bytes unit, uint32_t codec, uint32_t kind) except -1:
    if len(unit) < codec:
        raise MediaError(f"{name}: parameter set of {len(unit)} bytes, expected at least {codec}")
    cdef uint32_t got = nal_type(codec, <const uint8_t*>unit)
    if got != kind:
        raise MediaError(f"{name}: expected a unit of NAL type {kind}, got {got}")
    return 0
