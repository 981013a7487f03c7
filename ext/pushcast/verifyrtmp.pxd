"""RTMP stream checker: chunks, messages and their media, from the first byte behind the handshake on.

Sans-IO and of fixed size.  Payloads are passed over in place; only the first bytes of a message and whole commands are
kept.
"""
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from pushcast.verifyflv cimport nal_walk_t

cdef enum:
    RTMP_CSIDS = 16          # publishers use 3 to 6
    RTMP_HEAD = 40           # bytes kept of each message: tag headers, lengthSizeMinusOne in hvcC, a data message's name
    RTMP_COMMAND = 4096      # bytes of a command: connect with a long tcUrl is about 1000
    RTMP_HEADER = 18         # longest chunk header: 3 basic + 11 message + 4 extended timestamp
    RTMP_CARRY = 32

# The order of RTMP_ERRORS in verifyrtmp.pyx.
cdef enum:
    RTMP_HANDSHAKE
    RTMP_CHUNK_HEADER
    RTMP_TOO_MANY_CSIDS
    RTMP_CHUNK_SIZE
    RTMP_EXTENDED_TIMESTAMP
    RTMP_MESSAGE_TYPE
    RTMP_MESSAGE_LENGTH
    RTMP_MESSAGE_UNFINISHED
    RTMP_MESSAGE_STREAM
    RTMP_CONTROL
    RTMP_BAD_COMMAND
    RTMP_NO_PUBLISH
    RTMP_MEDIA_BEFORE_PUBLISH
    RTMP_TIMESTAMP_ORDER
    RTMP_TAG_HEADER
    RTMP_FRAME_BEFORE_CONFIG
    RTMP_FIRST_FRAME
    RTMP_NAL_LENGTHS
    RTMP_NOT_READING
    RTMP_ERROR_KINDS

# What rtmp_check wants from its caller after a message.
cdef enum:
    RTMP_MORE = 0            # the input is used up
    RTMP_COMMAND_READY = 1   # c.command[:c.command_size], of the type c.command_type
    RTMP_PING = 2            # answer c.ping
    RTMP_BROKEN = -1         # the chunk stream cannot be followed any further

ctypedef struct rtmp_csid_t:
    uint32_t csid
    uint32_t field           # timestamp or delta as the last header of fmt 0, 1 or 2 gave it
    uint32_t extended        # 1 when that header had an extended timestamp
    uint32_t timestamp       # ms, of the message under way or of the last one
    uint32_t length          # bytes
    uint32_t left            # bytes of the message under way still to come
    uint32_t type
    uint32_t message_stream_id
    uint32_t head_size
    uint32_t last[3]         # ms: last timestamps of audio, video and data on this csid
    uint32_t timed           # bit i: last[i] is known
    uint32_t nal_begin       # where the NAL units of the message under way begin, 0 when it is not looked into
    nal_walk_t nals
    uint8_t head[RTMP_HEAD]

ctypedef struct rtmp_check_t:
    uint64_t bytes           # received
    uint64_t messages
    uint64_t media_bytes     # of audio and video messages
    uint64_t audio_frames
    uint64_t video_frames
    uint64_t key_frames
    uint64_t config_changes  # decoder configurations after the first one of each kind
    int64_t first_ms         # timestamps of coded frames, unwrapped; -1 until the first
    int64_t last_ms
    int64_t longest_step_ms  # between video frames, or audio frames when there is no video
    uint32_t chunk_size
    uint32_t chunk_left      # payload bytes of the chunk under way still to come
    uint32_t current         # index of its csid
    uint32_t csids_used
    uint32_t carried
    uint32_t publishing      # 1 once publish was accepted on message_stream_id
    uint32_t message_stream_id
    uint32_t peer_window     # bytes after which the peer wants an acknowledgement, 0 when it did not say
    uint32_t acknowledged    # the peer's last acknowledgement
    uint32_t ping
    uint32_t metadata        # onMetaData messages
    uint32_t audio_config    # decoder configurations seen
    uint32_t video_config
    uint32_t nal_length_size # of the last avcC or hvcC
    uint32_t clock_ms        # timestamp that last_ms stands for
    uint32_t clock_is_video
    uint32_t command_size    # bytes collected
    uint32_t command_csid    # csid index + 1 that fills command, 0 when it is free
    uint32_t command_type
    uint32_t errors[RTMP_ERROR_KINDS]
    rtmp_csid_t csids[RTMP_CSIDS]
    uint8_t carry[RTMP_CARRY]
    uint8_t command[RTMP_COMMAND]

cdef void rtmp_check_init(rtmp_check_t* c) noexcept nogil
# Publish was accepted: media may come on this message stream now.
cdef void rtmp_check_publish(rtmp_check_t* c, uint32_t message_stream_id) noexcept nogil
# Takes bytes up to the first thing the caller must know; *used of them are done.  Call again with the rest.
cdef int rtmp_check(rtmp_check_t* c, const uint8_t* data, size_t size, size_t* used) noexcept nogil
cdef bint rtmp_check_is_cut(const rtmp_check_t* c) noexcept nogil
cdef uint64_t rtmp_check_errors(const rtmp_check_t* c) noexcept nogil
cdef dict rtmp_check_error_counts(const rtmp_check_t* c)
cdef dict rtmp_check_figures(const rtmp_check_t* c)
