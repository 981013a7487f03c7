"""FLV tag headers of an RTMP stream under check: see verifyflv.pyx.

``h`` is the first bytes of a message, followed by zeros up to RTMP_HEAD of verifyrtmp; ``length`` is the message's own.
"""
from libc.stdint cimport uint8_t, uint32_t

cdef enum:
    TAG_BAD = -1
    TAG_OTHER = 0            # neither a frame nor a configuration
    TAG_CONFIG = 1
    TAG_FRAME = 2
    TAG_KEY_FRAME = 3

cdef enum:
    NAL_DECIDED = 8          # bytes of a video message that show where its NAL units begin

ctypedef struct nal_walk_t:
    uint32_t length_size     # of NAL units, not 0
    uint32_t left            # bytes of the NAL unit under way still to come
    uint32_t have            # bytes of the next NAL unit's length read
    uint32_t value

# TAG_*
cdef int video_tag(const uint8_t* h, uint32_t length) noexcept nogil
cdef int audio_tag(const uint8_t* h, uint32_t length) noexcept nogil
cdef bint video_needs_config(const uint8_t* h) noexcept nogil
cdef bint audio_needs_config(const uint8_t* h) noexcept nogil
# Of a TAG_CONFIG message.
cdef int nal_length_size(const uint8_t* h, uint32_t length) noexcept nogil
cdef uint32_t nal_begin(const uint8_t* h) noexcept nogil
cdef uint32_t walk_nal(nal_walk_t* walk, const uint8_t* d, size_t size) noexcept nogil
# Of a data message; `left` bytes of it are there, and an AMF3 one has a format byte in front.
cdef bint is_metadata(const uint8_t* h, uint32_t left, bint amf3) noexcept nogil
