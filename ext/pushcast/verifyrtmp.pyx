"""RTMP stream checker.

Follows the chunk stream of a publisher (RTMP 1.0, 5.3) and looks at the first bytes of each message: control messages
(5.4), tag headers (verifyflv), decoder configurations before frames, a keyframe first, time stamps that do not go back
on their chunk stream, and, through whole video messages, NAL unit lengths that end where the message ends.

The input is read in place.  Only a chunk header that lies across two inputs is put together, in ``carry``:
``rtmp_step`` takes one header or one piece of payload, or nothing when the header is not whole yet.
"""
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy, memmove, memset

from pushcast.verifyflv cimport (
    NAL_DECIDED, TAG_BAD, TAG_CONFIG, TAG_FRAME, TAG_KEY_FRAME, audio_needs_config, audio_tag, is_metadata, nal_begin,
    nal_length_size, nal_walk_t, video_needs_config, video_tag, walk_nal,
)
from pushcast.wire cimport get_u16, get_u24, get_u32, get_u32le

RTMP_ERRORS = (
    "handshake", "chunk_header", "too_many_csids", "chunk_size", "extended_timestamp", "message_type", "message_length",
    "message_unfinished", "message_stream", "control", "command", "no_publish", "media_before_publish", "timestamp_order",
    "tag_header", "frame_before_config", "first_frame", "nal_lengths", "not_reading",
)
if len(RTMP_ERRORS) != RTMP_ERROR_KINDS:
    raise SystemError("RTMP_ERRORS does not name every kind of error")

cdef enum:
    TYPE_CHUNK_SIZE = 1
    TYPE_ABORT = 2
    TYPE_ACKNOWLEDGEMENT = 3
    TYPE_USER_CONTROL = 4
    TYPE_WINDOW = 5
    TYPE_BANDWIDTH = 6
    TYPE_AUDIO = 8
    TYPE_VIDEO = 9
    TYPE_DATA_AMF3 = 15
    TYPE_COMMAND_AMF3 = 17
    TYPE_DATA = 18
    TYPE_COMMAND = 20
    TYPE_AGGREGATE = 22

cdef enum:
    TIME_EXTENDED = 0xFFFFFF
    DEFAULT_CHUNK_SIZE = 128
    MAX_MESSAGE = 8388608    # bytes: more than one access unit of any stream that is pushed live
    PING_REQUEST = 6


cdef void rtmp_check_init(rtmp_check_t* c) noexcept nogil:
    memset(c, 0, sizeof(rtmp_check_t))
    c.chunk_size = DEFAULT_CHUNK_SIZE
    c.first_ms = c.last_ms = -1


cdef void rtmp_check_publish(rtmp_check_t* c, uint32_t message_stream_id) noexcept nogil:
    c.publishing = 1
    c.message_stream_id = message_stream_id


cdef bint rtmp_check_is_cut(const rtmp_check_t* c) noexcept nogil:
    """True when the stream ends here in the middle of a message."""
    cdef uint32_t i
    for i in range(c.csids_used):
        if c.csids[i].left:
            return True
    return c.carried != 0


cdef uint64_t rtmp_check_errors(const rtmp_check_t* c) noexcept nogil:
    cdef uint64_t total = 0
    cdef int i
    for i in range(RTMP_ERROR_KINDS):
        total += c.errors[i]
    return total


# ---- media -----------------------------------------------------------------------------------------------------------

cdef void rtmp_clock(rtmp_check_t* c, uint32_t timestamp, bint video) noexcept nogil:
    """First and last time stamps: those of video once there is video."""
    cdef int64_t step
    if video != (c.clock_is_video != 0):
        if not video:
            return
        c.clock_is_video = 1
        c.first_ms = -1
        c.longest_step_ms = 0
    if c.first_ms < 0:
        c.first_ms = c.last_ms = timestamp
    else:
        step = <int32_t>(timestamp - c.clock_ms)
        c.last_ms += step
        if step > c.longest_step_ms:
            c.longest_step_ms = step
    c.clock_ms = timestamp


cdef void rtmp_order(rtmp_check_t* c, rtmp_csid_t* s, int what) noexcept nogil:
    if s.timed & (1u << what) and <int32_t>(s.timestamp - s.last[what]) < 0:
        c.errors[RTMP_TIMESTAMP_ORDER] += 1
    s.timed |= 1u << what
    s.last[what] = s.timestamp


cdef void rtmp_media(rtmp_check_t* c, rtmp_csid_t* s) noexcept nogil:
    """A whole audio or video message."""
    cdef bint video = s.type == TYPE_VIDEO
    cdef uint32_t* configs = &c.video_config if video else &c.audio_config
    cdef int tag = video_tag(s.head, s.length) if video else audio_tag(s.head, s.length)
    cdef int length_size
    c.media_bytes += s.length
    rtmp_order(c, s, 1 if video else 0)
    if tag == TAG_BAD:
        c.errors[RTMP_TAG_HEADER] += 1
    elif tag == TAG_CONFIG:
        c.config_changes += configs[0] != 0
        configs[0] += 1
        if video:
            length_size = nal_length_size(s.head, s.length)
            c.errors[RTMP_TAG_HEADER] += length_size < 0
            c.nal_length_size = <uint32_t>max(length_size, 0)
    elif tag >= TAG_FRAME:
        if configs[0] == 0 and (video_needs_config(s.head) if video else audio_needs_config(s.head)):
            c.errors[RTMP_FRAME_BEFORE_CONFIG] += 1
        if not video:
            c.audio_frames += 1
        else:
            if c.video_frames == 0 and tag != TAG_KEY_FRAME:
                c.errors[RTMP_FIRST_FRAME] += 1
            c.video_frames += 1
            c.key_frames += tag == TAG_KEY_FRAME
            if s.nal_begin and (s.nals.left or s.nals.have):
                c.errors[RTMP_NAL_LENGTHS] += 1
        rtmp_clock(c, s.timestamp, video)


# ---- messages --------------------------------------------------------------------------------------------------------

cdef bint is_known_type(uint32_t type) noexcept nogil:
    return 1 <= type <= 6 or type == TYPE_AUDIO or type == TYPE_VIDEO or 15 <= type <= 20 or type == TYPE_AGGREGATE


cdef int rtmp_control(rtmp_check_t* c, rtmp_csid_t* s) noexcept nogil:
    """5.4 and 6.2: control messages, which stand on csid 2 and message stream 0."""
    cdef uint32_t value, i
    cdef uint32_t due = 5 if s.type == TYPE_BANDWIDTH else 4
    if s.csid != 2 or s.message_stream_id != 0 or (s.length < 6 if s.type == TYPE_USER_CONTROL else s.length != due):
        c.errors[RTMP_CONTROL] += 1
        return RTMP_MORE
    value = get_u32(s.head)
    if s.type == TYPE_CHUNK_SIZE:
        if value == 0 or value > 0x7FFFFFFF:
            c.errors[RTMP_CHUNK_SIZE] += 1
            return RTMP_BROKEN
        c.chunk_size = value
    elif s.type == TYPE_ABORT:
        for i in range(c.csids_used):
            if c.csids[i].csid == value:
                c.csids[i].left = 0
                if c.command_csid == i + 1:
                    c.command_csid = 0
    elif s.type == TYPE_ACKNOWLEDGEMENT:
        c.acknowledged = value
    elif s.type == TYPE_WINDOW:
        c.peer_window = value
    elif s.type == TYPE_USER_CONTROL and get_u16(s.head) == PING_REQUEST:
        c.ping = get_u32(s.head + 2)
        return RTMP_PING
    return RTMP_MORE


cdef int rtmp_message(rtmp_check_t* c, rtmp_csid_t* s) noexcept nogil:
    """A whole message came."""
    c.messages += 1
    if s.type <= TYPE_BANDWIDTH:
        return rtmp_control(c, s) if s.type else RTMP_MORE
    if s.type == TYPE_AUDIO or s.type == TYPE_VIDEO or s.type == TYPE_DATA or s.type == TYPE_DATA_AMF3:
        if not c.publishing:
            c.errors[RTMP_MEDIA_BEFORE_PUBLISH] += 1
        elif s.message_stream_id != c.message_stream_id:
            c.errors[RTMP_MESSAGE_STREAM] += 1
        if s.type == TYPE_AUDIO or s.type == TYPE_VIDEO:
            rtmp_media(c, s)
        else:
            rtmp_order(c, s, 2)
            c.metadata += is_metadata(s.head, s.head_size, s.type == TYPE_DATA_AMF3)
    elif c.command_csid == c.current + 1:
        c.command_csid = 0
        c.command_type = s.type
        return RTMP_COMMAND_READY
    return RTMP_MORE


cdef void rtmp_begin(rtmp_check_t* c, rtmp_csid_t* s) noexcept nogil:
    """A message begins on this csid."""
    if not is_known_type(s.type):
        c.errors[RTMP_MESSAGE_TYPE] += 1
    if s.length > MAX_MESSAGE:
        c.errors[RTMP_MESSAGE_LENGTH] += 1
    memset(s.head, 0, RTMP_HEAD)
    s.left = s.length
    s.head_size = s.nal_begin = 0
    memset(&s.nals, 0, sizeof(nal_walk_t))
    if s.type == TYPE_COMMAND or s.type == TYPE_COMMAND_AMF3:
        if s.length > RTMP_COMMAND or c.command_csid:
            c.errors[RTMP_BAD_COMMAND] += 1
        else:
            c.command_csid = c.current + 1
            c.command_size = 0


# ---- chunks ----------------------------------------------------------------------------------------------------------

cdef size_t rtmp_payload(rtmp_check_t* c, const uint8_t* d, size_t size, int* wanted) noexcept nogil:
    """A piece of the chunk under way; returns the bytes taken."""
    cdef rtmp_csid_t* s = &c.csids[c.current]
    cdef uint32_t done = s.length - s.left
    cdef size_t take
    if size > c.chunk_left:
        size = c.chunk_left
    if s.head_size < RTMP_HEAD:
        take = RTMP_HEAD - s.head_size
        if take > size:
            take = size
        memcpy(s.head + s.head_size, d, take)
        s.head_size += <uint32_t>take
    if s.type == TYPE_VIDEO:
        if s.nal_begin:
            c.errors[RTMP_NAL_LENGTHS] += walk_nal(&s.nals, d, size)
        elif done < NAL_DECIDED <= done + size and c.nal_length_size:
            s.nal_begin = nal_begin(s.head)
            s.nals.length_size = c.nal_length_size
            if s.nal_begin:
                c.errors[RTMP_NAL_LENGTHS] += walk_nal(&s.nals, s.head + s.nal_begin, NAL_DECIDED - s.nal_begin)
                c.errors[RTMP_NAL_LENGTHS] += walk_nal(&s.nals, d + (NAL_DECIDED - done), size - (NAL_DECIDED - done))
    elif c.command_csid == c.current + 1:
        memcpy(c.command + c.command_size, d, size)
        c.command_size += <uint32_t>size
    s.left -= <uint32_t>size
    c.chunk_left -= <uint32_t>size
    if s.left == 0:
        c.chunk_left = 0
        wanted[0] = rtmp_message(c, s)
    return size


cdef rtmp_csid_t* rtmp_find_csid(rtmp_check_t* c, uint32_t csid) noexcept nogil:
    """The state of a csid, NULL when none has been seen; ``current`` is its index."""
    cdef uint32_t i
    for i in range(c.csids_used):
        if c.csids[i].csid == csid:
            c.current = i
            return &c.csids[i]
    return NULL


cdef rtmp_csid_t* rtmp_add_csid(rtmp_check_t* c, uint32_t csid) noexcept nogil:
    cdef rtmp_csid_t* s
    if c.csids_used == RTMP_CSIDS:
        c.errors[RTMP_TOO_MANY_CSIDS] += 1
        return NULL
    c.current = c.csids_used
    s = &c.csids[c.csids_used]
    c.csids_used += 1
    memset(s, 0, sizeof(rtmp_csid_t))
    s.csid = csid
    return s


cdef size_t rtmp_header(rtmp_check_t* c, const uint8_t* p, size_t size, int* wanted) noexcept nogil:
    """A chunk header (5.3.1); returns its bytes, 0 when it is not whole (and then nothing has changed)."""
    cdef uint32_t fmt = p[0] >> 6
    cdef uint32_t csid = p[0] & 0x3F
    cdef size_t basic = 3 if csid == 1 else 2 if csid == 0 else 1
    cdef size_t header = basic + (11 if fmt == 0 else 7 if fmt == 1 else 3 if fmt == 2 else 0)
    cdef uint32_t field = 0
    cdef bint extended
    cdef rtmp_csid_t* s
    if size < header:
        return 0
    if csid == 0:
        csid = 64 + p[1]
    elif csid == 1:
        csid = 64 + p[1] + (<uint32_t>p[2] << 8)
    s = rtmp_find_csid(c, csid)
    if s == NULL and fmt != 0:
        c.errors[RTMP_CHUNK_HEADER] += 1
        wanted[0] = RTMP_BROKEN
        return header
    extended = get_u24(p + basic) == TIME_EXTENDED if fmt < 3 else s.extended != 0
    if extended:
        if size < header + 4:
            return 0
        field = get_u32(p + header)
        if fmt == 3 and field != s.field:
            c.errors[RTMP_EXTENDED_TIMESTAMP] += 1   # left out by the sender: these four bytes are payload
        else:
            header += 4
    elif fmt < 3:
        field = get_u24(p + basic)
    if s == NULL:
        s = rtmp_add_csid(c, csid)
        if s == NULL:
            wanted[0] = RTMP_BROKEN
            return header
    if fmt == 3 and s.left:
        c.chunk_left = s.left if s.left < c.chunk_size else c.chunk_size
        return header
    if s.left:
        c.errors[RTMP_MESSAGE_UNFINISHED] += 1
        if c.command_csid == c.current + 1:
            c.command_csid = 0
    if fmt < 3:
        s.field = field
        s.extended = extended
    if fmt < 2:
        s.length = get_u24(p + basic + 3)
        s.type = p[basic + 6]
    if fmt == 0:
        s.message_stream_id = get_u32le(p + basic + 7)
    s.timestamp = field if fmt == 0 else s.timestamp + s.field
    rtmp_begin(c, s)
    c.chunk_left = s.left if s.left < c.chunk_size else c.chunk_size
    if s.left == 0:
        wanted[0] = rtmp_message(c, s)
    return header


cdef inline size_t rtmp_step(rtmp_check_t* c, const uint8_t* p, size_t size, int* wanted) noexcept nogil:
    return rtmp_payload(c, p, size, wanted) if c.chunk_left else rtmp_header(c, p, size, wanted)


cdef int rtmp_check(rtmp_check_t* c, const uint8_t* data, size_t size, size_t* used) noexcept nogil:
    cdef size_t done = 0, take, got
    cdef int wanted = RTMP_MORE
    while wanted == RTMP_MORE and done < size:
        if c.carried == 0:
            got = rtmp_step(c, data + done, size - done, &wanted)
            if got == 0:
                c.carried = <uint32_t>(size - done)
                memcpy(c.carry, data + done, size - done)
                got = size - done
            done += got
            continue
        take = RTMP_CARRY - c.carried
        if take > size - done:
            take = size - done
        memcpy(c.carry + c.carried, data + done, take)
        got = rtmp_step(c, c.carry, c.carried + take, &wanted)
        if got == 0:
            c.carried += <uint32_t>take
            done += take
        elif got >= c.carried:
            done += got - c.carried
            c.carried = 0
        else:
            c.carried -= <uint32_t>got
            memmove(c.carry, c.carry + got, c.carried)
    c.bytes += done
    used[0] = done
    return wanted


# ---- as Python -------------------------------------------------------------------------------------------------------

cdef dict rtmp_check_error_counts(const rtmp_check_t* c):
    return {RTMP_ERRORS[i]: c.errors[i] for i in range(RTMP_ERROR_KINDS) if c.errors[i]}


cdef dict rtmp_check_figures(const rtmp_check_t* c):
    return {
        "messages": c.messages,
        "media_bytes": c.media_bytes,
        "video_frames": c.video_frames,
        "audio_frames": c.audio_frames,
        "key_frames": c.key_frames,
        "config_changes": c.config_changes,
        "metadata": c.metadata,
        "chunk_size": c.chunk_size,
        "first_dts": c.first_ms * 90 if c.first_ms >= 0 else None,
        "last_dts": c.last_ms * 90 if c.first_ms >= 0 else None,
        "max_dts_step_ms": c.longest_step_ms,
    }
