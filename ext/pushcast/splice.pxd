"""The head of a splice_info_section: SCTE 35, 9.6.

pts_adjustment is there for those who give a stream new times: it is added to every time in the section.  Inside
pushcast it counts from the PTS of the section's frame, so that it is right wherever that frame goes.
"""
from libc.stdint cimport int64_t, uint8_t, uint32_t

from pushcast.wire cimport get_u32, put_u32

cdef enum:
    SPLICE_HEAD = 14         # up to splice_command_type


cdef inline int64_t get_pts_adjustment(const uint8_t* section) noexcept nogil:
    return <int64_t>(section[4] & 1) << 32 | get_u32(section + 5)


cdef inline void put_pts_adjustment(uint8_t* section, int64_t ticks) noexcept nogil:
    """Modulo 33 bits."""
    section[4] = (section[4] & 0xFE) | <uint8_t>(ticks >> 32 & 1)
    put_u32(section + 5, <uint32_t>ticks)
