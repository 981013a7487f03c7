"""Sections from packets: what PAT, PMT and splice information are sent in.  ISO/IEC 13818-1 2.4.4, CRC_32: annex A.

0xFF where a table_id would stand means stuffing up to the end of the packet (2.4.4.1).
"""
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcpy

from pushcast.wire cimport get_u16

cdef uint32_t CRC_TABLE[256]


cdef void _fill_crc_table() noexcept nogil:
    cdef uint32_t i, k, value
    cdef uint32_t polynomial = 0x04C11DB7
    for i in range(256):
        value = i << 24
        for k in range(8):
            value = (value << 1) ^ (polynomial if value >> 31 else 0u)
        CRC_TABLE[i] = value


_fill_crc_table()


cdef uint32_t crc32_mpeg(const uint8_t* p, size_t size) noexcept nogil:
    cdef uint32_t crc = 0xFFFFFFFF
    cdef size_t i
    for i in range(size):
        crc = (crc << 8) ^ CRC_TABLE[(crc >> 24) ^ p[i]]
    return crc


cdef int next_section(section_t* section, const uint8_t** data, size_t* left, uint32_t most) noexcept nogil:
    cdef size_t take
    while left[0]:
        if section.filled == 0:
            if data[0][0] == 0xFF:
                left[0] = 0
                return SECTION_MORE
            section.size = 0
        take = (3 if section.size == 0 else section.size) - section.filled
        if take > left[0]:
            take = left[0]
        memcpy(section.data + section.filled, data[0], take)
        section.filled += <uint32_t>take
        data[0] += take
        left[0] -= take
        if section.size == 0 and section.filled == 3:
            section.size = 3 + (get_u16(section.data + 1) & 0xFFFu)
            if section.size > most or section.size == 3:
                section.filled = 0
                left[0] = 0
                return SECTION_BAD
        elif section.size and section.filled == section.size:
            section.filled = 0
            return SECTION_WHOLE
    return SECTION_MORE


def crc32(const uint8_t[::1] data not None):
    return crc32_mpeg(&data[0], data.shape[0]) if data.shape[0] else 0xFFFFFFFF


def sections(packets, uint32_t most=SECTION_BYTES):
    """The whole sections of payloads (bytes, whether a section starts in it), and how many were bad."""
    cdef section_t section
    cdef const uint8_t* data
    cdef size_t left, before = 0
    cdef const uint8_t[::1] view
    cdef int step
    found, bad = [], 0
    section.filled = section.size = 0
    for payload, starts in packets:
        view = payload
        parts = [(0, view.shape[0])]
        if starts:
            if view.shape[0] == 0 or not split_pointer(&view[0], view.shape[0], &before):
                bad += 1
                section.filled = 0
                continue
            parts = [(1, 1 + before), (1 + before, view.shape[0])]
        for number, (begin, end) in enumerate(parts):
            if starts and number == 1:
                section.filled = 0
            elif section.filled == 0:
                continue
            if begin == end:
                continue
            data = &view[begin]
            left = end - begin
            while left:
                step = next_section(&section, &data, &left, most)
                if step == SECTION_WHOLE:
                    found.append(section.data[:section.size])
                elif step == SECTION_BAD:
                    bad += 1
    return found, bad
