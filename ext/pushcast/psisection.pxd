"""section_t: sections put together from the packets of one PID.  ISO/IEC 13818-1 2.4.4, CRC_32: annex A."""
from libc.stdint cimport uint8_t, uint32_t

from pushcast.wire cimport get_u16

cdef enum:
    SECTION_BYTES = 4096     # 3 + 4093, the longest private section: 2.4.4.11
    TABLE_SECTION_BYTES = 1024   # of a PAT or PMT: 2.4.4.5, 2.4.4.9

cdef enum:
    SECTION_MORE = 0         # all bytes were taken
    SECTION_WHOLE = 1        # a section lies in data[:size]; there may be more bytes
    SECTION_BAD = -1         # its length cannot be; the rest of the packet is passed over

ctypedef struct section_t:
    uint32_t filled          # bytes of the section under way, 0 between sections
    uint32_t size            # its whole size, 0 until the first three bytes are there
    uint8_t data[SECTION_BYTES]

# The bytes behind a pointer_field, or of a packet without one; *data and *left move on.  At most `most` bytes a section.
cdef int next_section(section_t* section, const uint8_t** data, size_t* left, uint32_t most) noexcept nogil
# 0 over a section that ends with its own CRC.
cdef uint32_t crc32_mpeg(const uint8_t* p, size_t size) noexcept nogil


cdef inline bint split_pointer(const uint8_t* data, size_t size, size_t* before) noexcept nogil:
    """A payload that begins with a pointer_field (2.4.4.2): how many bytes behind that field end the section before;
    False when it points behind the payload.
    """
    before[0] = data[0] if size else 0
    return 1 + before[0] <= size
