"""Audio and video messages of RTMP, taken apart.

FLV 10.1, E.4.2 and E.4.3: one byte says codec and frame type, H.264 and AAC have a packet type behind it.  Enhanced RTMP
v2 ("Enhanced Video", "Enhanced Audio"): FourCCs, several tracks in one message, and ModEx, which adds nanoseconds to
the time of a message.  Both come out as the same tags, plain codecs under their FourCCs as track 0.
"""
from libc.stdint cimport int32_t, uint8_t, uint32_t

from pushcast.wire cimport get_u16, get_u24, get_u32

cdef enum:
    NANO_OFFSET = 0              # ModEx type TimestampOffsetNano
    NANOS_MOST = 999999


cdef int begin_tags(flv_cursor_t* cursor, bint video, const uint8_t* data, size_t size) noexcept nogil:
    cdef flv_tag_t* tag = &cursor.tag
    cursor.at = data + 1
    cursor.end = data + size
    cursor.video = video
    cursor.multitrack = False
    cursor.plain = not data[0] & 0x80 if video else data[0] >> 4 != 9
    cursor.refused = 0
    tag.fourcc = tag.track_id = tag.nanos = 0
    tag.composition_ms = 0
    tag.body = data + 1
    tag.size = size - 1
    if video:
        tag.key = data[0] >> 4 & 7 in (1, 4)
        if cursor.plain:
            return begin_plain_video(cursor, data, size)
        tag.kind = data[0] & 15
        if data[0] >> 4 & 7 == 5 and tag.kind != TAG_METADATA:
            tag.kind = TAG_COMMAND
            return 0
    else:
        tag.key = True
        if cursor.plain:
            return begin_plain_audio(cursor, data, size)
        tag.kind = data[0] & 15
    return begin_enhanced(cursor)


cdef int begin_plain_video(flv_cursor_t* cursor, const uint8_t* data, size_t size) noexcept nogil:
    cdef flv_tag_t* tag = &cursor.tag
    if data[0] & 15 != 7:
        cursor.refused = 1 + (data[0] & 15)
        return -1
    tag.fourcc = AVC1
    if data[0] >> 4 == 5:
        tag.kind = TAG_COMMAND
        return 0
    if size < 5 or data[1] > 2:
        return -1
    tag.kind = data[1]
    tag.composition_ms = <int32_t>(get_u24(data + 2) << 8) >> 8
    tag.body = data + 5
    tag.size = size - 5
    return 0


cdef int begin_plain_audio(flv_cursor_t* cursor, const uint8_t* data, size_t size) noexcept nogil:
    cdef flv_tag_t* tag = &cursor.tag
    cdef uint32_t format = data[0] >> 4
    if format in (2, 14):        # MP3, MP3 at 8 kHz
        tag.fourcc = MP3_
        tag.kind = TAG_CODED_FRAMES
        return 0
    if format != 10:
        cursor.refused = 1 + format
        return -1
    tag.fourcc = MP4A
    if size < 2:
        tag.kind = TAG_COMMAND
        return 0
    tag.kind = TAG_SEQUENCE_START if data[1] == 0 else TAG_CODED_FRAMES
    tag.body = data + 2
    tag.size = size - 2
    return 0


cdef int begin_enhanced(flv_cursor_t* cursor) noexcept nogil:
    """What stands before the tracks: ModEx, the kind of multitrack, the FourCC that all have in common."""
    cdef flv_tag_t* tag = &cursor.tag
    cdef size_t size
    while tag.kind == TAG_MOD_EX:
        if cursor.at >= cursor.end:
            return -1
        size = <size_t>cursor.at[0] + 1
        cursor.at += 1
        if size == 256:
            if cursor.end - cursor.at < 2:
                return -1
            size = <size_t>get_u16(cursor.at) + 1
            cursor.at += 2
        if <size_t>(cursor.end - cursor.at) < size + 1:
            return -1
        if cursor.at[size] >> 4 == NANO_OFFSET and size >= 3:
            tag.nanos = min(get_u24(cursor.at), <uint32_t>NANOS_MOST)
        tag.kind = cursor.at[size] & 15
        cursor.at += size + 1
    if tag.kind == <uint32_t>(TAG_MULTITRACK if cursor.video else AUDIO_MULTITRACK):
        if cursor.at >= cursor.end:
            return -1
        cursor.multitrack = True
        cursor.multitrack_type = cursor.at[0] >> 4
        tag.kind = cursor.at[0] & 15
        cursor.at += 1
        if cursor.multitrack_type > MANY_CODECS or tag.kind >= TAG_MULTITRACK or (tag.kind == AUDIO_MULTITRACK and not cursor.video):
            return -1
        if cursor.multitrack_type == MANY_CODECS:
            return 0
    if cursor.end - cursor.at < 4:
        return -1
    tag.fourcc = get_u32(cursor.at)
    cursor.at += 4
    tag.body = cursor.at
    tag.size = <size_t>(cursor.end - cursor.at)
    return 0


cdef int next_tag(flv_cursor_t* cursor, flv_tag_t* tag) noexcept nogil:
    cdef size_t left
    if cursor.at == NULL:
        return 0
    tag[0] = cursor.tag
    if not cursor.multitrack:
        cursor.at = NULL
        return finish_tag(cursor, tag)
    if cursor.at >= cursor.end:
        return 0
    if cursor.multitrack_type == MANY_CODECS:
        if cursor.end - cursor.at < 4:
            return -1
        tag.fourcc = get_u32(cursor.at)
        cursor.at += 4
    if cursor.at >= cursor.end:
        return -1
    tag.track_id = cursor.at[0]
    cursor.at += 1
    left = <size_t>(cursor.end - cursor.at)
    if cursor.multitrack_type != ONE_TRACK:
        if left < 3 or get_u24(cursor.at) > left - 3:
            return -1
        left = get_u24(cursor.at)
        cursor.at += 3
    tag.body = cursor.at
    tag.size = left
    cursor.at += left
    return finish_tag(cursor, tag)


cdef int finish_tag(flv_cursor_t* cursor, flv_tag_t* tag) noexcept nogil:
    """The composition time, which only some codecs have."""
    if cursor.plain:
        return 1
    if cursor.video and tag.kind == TAG_CODED_FRAMES and tag.fourcc in (AVC1, HVC1, VVC1):
        if tag.size < 3:
            return -1
        tag.composition_ms = <int32_t>(get_u24(tag.body) << 8) >> 8
        tag.body += 3
        tag.size -= 3
    elif tag.kind == TAG_CODED_FRAMES_X:
        tag.kind = TAG_CODED_FRAMES
    return 1


def tags(bint video, const uint8_t[::1] data not None):
    """Each track of a message as a dict of flv_tag_t; None for what is malformed, an int for an unknown plain codec."""
    cdef flv_cursor_t cursor
    cdef flv_tag_t tag
    cdef int step
    found = []
    if data.shape[0] == 0:
        return found
    if begin_tags(&cursor, video, &data[0], <size_t>data.shape[0]) < 0:
        return cursor.refused - 1 if cursor.refused else None
    step = next_tag(&cursor, &tag)
    while step == 1:
        found.append({
            "fourcc": int(tag.fourcc).to_bytes(4, "big"),
            "track_id": tag.track_id,
            "kind": tag.kind,
            "key": tag.key,
            "composition_ms": tag.composition_ms,
            "nanos": tag.nanos,
            "body": (<const char*>tag.body)[:tag.size],
        })
        step = next_tag(&cursor, &tag)
    return None if step < 0 else found
