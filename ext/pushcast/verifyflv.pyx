"""FLV tag headers of an RTMP stream under check: what a message is, by its first bytes.

FLV 10.1, E.4, and Enhanced RTMP v2.  The functions keep nothing; walk_nal goes on from where the piece before it ended.
"""
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcmp


cdef bint is_four_cc(const uint8_t* p, const char* names) noexcept nogil:
    """True when the four bytes are one of the names, which stand one behind the other."""
    while names[0]:
        if memcmp(p, names, 4) == 0:
            return True
        names += 4
    return False


cdef int video_tag(const uint8_t* h, uint32_t length) noexcept nogil:
    """What a video message is, by its first bytes (FLV E.4.3, Enhanced RTMP "Enhanced Video")."""
    cdef uint32_t frame_type, packet_type
    if length < 1:
        return TAG_BAD
    frame_type = (h[0] >> 4) & 7
    if h[0] & 0x80:
        packet_type = h[0] & 15
        if packet_type == 6 or packet_type == 7:
            return TAG_KEY_FRAME if frame_type == 1 else TAG_FRAME
        if length < 5 or packet_type > 7 or not is_four_cc(h + 1, "avc1hvc1vvc1av01vp08vp09"):
            return TAG_BAD
        if packet_type == 0 or packet_type == 5:
            return TAG_CONFIG
        if packet_type == 2 or packet_type == 4 or frame_type == 5:
            return TAG_OTHER
    else:
        if h[0] & 15 == 7 or h[0] & 15 == 12:
            if frame_type != 5 and (length < 5 or h[1] > 2):
                return TAG_BAD
            if h[1] == 0 and frame_type != 5:
                return TAG_CONFIG
            if h[1] == 2:
                return TAG_OTHER
        elif h[0] & 15 < 2 or h[0] & 15 > 6:
            return TAG_BAD
        if frame_type == 5:
            return TAG_OTHER
    if frame_type < 1 or frame_type > 4:
        return TAG_BAD
    return TAG_KEY_FRAME if frame_type == 1 or frame_type == 4 else TAG_FRAME


cdef int audio_tag(const uint8_t* h, uint32_t length) noexcept nogil:
    """What an audio message is (FLV E.4.2, Enhanced RTMP "Enhanced Audio"); one without bytes means silence."""
    cdef uint32_t sound_format
    if length == 0:
        return TAG_OTHER
    sound_format = h[0] >> 4
    if sound_format == 9:
        if h[0] & 15 == 5 or h[0] & 15 == 7:
            return TAG_FRAME
        if length < 5 or not is_four_cc(h + 1, "mp4aOpusac-3ec-3.mp3fLaC"):
            return TAG_BAD
        return TAG_CONFIG if h[0] & 15 == 0 else TAG_FRAME if h[0] & 15 == 1 else TAG_OTHER
    if sound_format == 10:
        if length < 2 or h[1] > 1:
            return TAG_BAD
        return TAG_FRAME if h[1] == 1 else TAG_CONFIG
    return TAG_BAD if sound_format == 12 or sound_format == 13 else TAG_FRAME


cdef bint video_needs_config(const uint8_t* h) noexcept nogil:
    """True for codecs whose frames mean nothing without their decoder configuration."""
    if h[0] & 0x80:
        return h[0] & 15 < 6 and memcmp(h + 1, "vp0", 3) != 0
    return h[0] & 15 == 7 or h[0] & 15 == 12


cdef bint audio_needs_config(const uint8_t* h) noexcept nogil:
    """As video_needs_config."""
    return h[0] >> 4 == 10 or (h[0] >> 4 == 9 and memcmp(h + 1, "mp4a", 4) == 0)


cdef int nal_length_size(const uint8_t* h, uint32_t length) noexcept nogil:
    """lengthSizeMinusOne + 1 of the avcC (ISO/IEC 14496-15 5.3.3.1) or hvcC (8.3.3.1) behind the 5 bytes of tag header.

    0 for other codecs, -1 when the message ends before it.
    """
    cdef bint extended = h[0] & 0x80 != 0
    cdef uint32_t at = 0
    if (extended and memcmp(h + 1, "avc1", 4) == 0) or (not extended and h[0] & 15 == 7):
        at = 5 + 4
    elif (extended and memcmp(h + 1, "hvc1", 4) == 0) or (not extended and h[0] & 15 == 12):
        at = 5 + 21
    if at == 0:
        return 0
    return (h[at] & 3) + 1 if length > at else -1


cdef uint32_t nal_begin(const uint8_t* h) noexcept nogil:
    """Where the NAL units of a video message begin, 0 when it has none."""
    if not h[0] & 0x80:
        return 5 if (h[0] & 15 == 7 or h[0] & 15 == 12) and h[1] == 1 and h[0] >> 4 != 5 else 0
    if not is_four_cc(h + 1, "avc1hvc1"):
        return 0
    return 8 if h[0] & 15 == 1 else 5 if h[0] & 15 == 3 else 0


cdef uint32_t walk_nal(nal_walk_t* walk, const uint8_t* d, size_t size) noexcept nogil:
    """Follows the lengths through a piece of the message; units themselves are passed over.  Returns the lengths that
    are 0.
    """
    cdef size_t take
    cdef uint32_t empty = 0
    while size:
        if walk.left:
            take = walk.left if walk.left < size else size
            walk.left -= <uint32_t>take
            d += take
            size -= take
            continue
        walk.value = walk.value << 8 | d[0]
        walk.have += 1
        d += 1
        size -= 1
        if walk.have == walk.length_size:
            empty += walk.value == 0
            walk.left = walk.value
            walk.have = walk.value = 0
    return empty


cdef bint is_metadata(const uint8_t* h, uint32_t left, bint amf3) noexcept nogil:
    """``onMetaData``, with or without ``@setDataFrame`` in front, as AMF0 strings."""
    if amf3 and left:
        h += 1
        left -= 1
    if left >= 29 and memcmp(h, b"\x02\x00\x0d@setDataFrame", 16) == 0:
        h += 16
        left -= 16
    return left >= 13 and memcmp(h, b"\x02\x00\x0aonMetaData", 13) == 0
