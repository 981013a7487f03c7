"""NAL units from C: walking length-prefixed access units, finding start codes, telling what a unit is.

Everything here is inline and bounds-checked; nothing copies.  What splits and joins access units as bytes
objects are Python functions: see nal.pyx.
"""
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memchr

from pushcast.frame cimport CODEC_H264, CODEC_HEVC
from pushcast.wire cimport get_u16, get_u32

# What a NAL unit is for those who carry it; each a bit, so that an access unit is the sum of its units.
cdef enum:
    NAL_OTHER = 0
    NAL_AUD = 1              # access unit delimiter
    NAL_VPS = 2
    NAL_SPS = 4
    NAL_PPS = 8
    NAL_KEY = 16             # slice of an IDR picture (H.264) or an IRAP picture (HEVC)

ctypedef struct nal_cursor_t:
    const uint8_t* at        # the next length field
    const uint8_t* end
    uint32_t length_size     # 1, 2 or 4 bytes


cdef inline int next_nal(nal_cursor_t* cursor, const uint8_t** unit, size_t* size) noexcept nogil:
    """Step to the next NAL unit: 1 with unit and size (never 0) set, 0 at the end, -1 when a length runs over the end.

    Units of no bytes, which some encoders emit, are passed over.
    """
    cdef size_t left = <size_t>(cursor.end - cursor.at)
    cdef size_t n
    while left:
        if left < cursor.length_size:
            return -1
        if cursor.length_size == 4:
            n = get_u32(cursor.at)
        elif cursor.length_size == 2:
            n = get_u16(cursor.at)
        else:
            n = cursor.at[0]
        left -= cursor.length_size
        if n > left:
            return -1
        unit[0] = cursor.at + cursor.length_size
        size[0] = n
        cursor.at = unit[0] + n
        if n:
            return 1
    return 0


cdef inline uint32_t nal_type(uint32_t codec, const uint8_t* unit) noexcept nogil:
    """nal_unit_type of a unit of at least one byte: H.264 7.3.1, HEVC 7.3.1.2."""
    if codec == CODEC_HEVC:
        return (unit[0] >> 1) & 0x3F
    return unit[0] & 0x1F


cdef inline uint32_t nal_role(uint32_t codec, const uint8_t* unit) noexcept nogil:
    """NAL_* of a unit of at least one byte."""
    cdef uint32_t kind = nal_type(codec, unit)
    if codec == CODEC_HEVC:
        if 16 <= kind <= 21:
            return NAL_KEY
        if kind == 35:
            return NAL_AUD
        if 32 <= kind <= 34:
            return <uint32_t>NAL_VPS << (kind - 32)
        return NAL_OTHER
    if kind == 5:
        return NAL_KEY
    if kind == 9:
        return NAL_AUD
    if kind == 7:
        return NAL_SPS
    if kind == 8:
        return NAL_PPS
    return NAL_OTHER


cdef inline uint32_t parameter_sets(uint32_t codec) noexcept nogil:
    """The NAL_* that together make a decoder ready."""
    return NAL_VPS | NAL_SPS | NAL_PPS if codec == CODEC_HEVC else NAL_SPS | NAL_PPS


cdef inline const uint8_t* find_start_code(const uint8_t* p, const uint8_t* end) noexcept nogil:
    """The first 00 00 01 at or behind p; end when there is none.  H.264 Annex B, HEVC Annex B."""
    cdef const uint8_t* one
    while end - p >= 3:
        one = <const uint8_t*>memchr(p + 2, 1, <size_t>(end - p - 2))
        if one == NULL:
            return end
        if (one - 1)[0] == 0 and (one - 2)[0] == 0:
            return one - 2
        p = one - 1
    return end


# The checks below raise MediaError.
cdef dict CODEC_NAMES                # by pushcast.media.Codec: H.264 and HEVC as error texts call them
cdef int check_codec(uint32_t codec) except -1
cdef int check_length_size(uint32_t length_size) except -1
# A parameter set of `name` holds its NAL unit header and is of this NAL type.
cdef int check_unit(name, bytes unit, uint32_t codec, uint32_t kind) except -1
