"""Audio and video messages of RTMP, taken apart: FLV 10.1 E.4 and Enhanced RTMP v2.  Theory in flvtag.pyx."""
from libc.stdint cimport int32_t, uint8_t, uint32_t

cdef enum:
    AVC1 = 0x61766331            # FourCCs, big endian
    HVC1 = 0x68766331
    VVC1 = 0x76766331
    AV01 = 0x61763031
    VP08 = 0x76703038
    VP09 = 0x76703039
    MP4A = 0x6D703461
    OPUS = 0x4F707573
    FLAC = 0x664C6143
    AC_3 = 0x61632D33
    EC_3 = 0x65632D33
    MP3_ = 0x2E6D7033

# What a tag is.  The numbers are those of VideoPacketType and AudioPacketType, where these agree.
cdef enum:
    TAG_SEQUENCE_START = 0       # its body is the decoder configuration
    TAG_CODED_FRAMES = 1
    TAG_SEQUENCE_END = 2
    TAG_CODED_FRAMES_X = 3       # video: composition time 0
    TAG_METADATA = 4             # video: AMF; audio: the order of its channels
    TAG_TS_SEQUENCE_START = 5    # video: an AV1 video descriptor
    TAG_MULTITRACK = 6           # of video; of audio it is 5
    AUDIO_MULTITRACK = 5
    TAG_MOD_EX = 7
    TAG_COMMAND = 16             # for players: nothing to carry

cdef enum:
    ONE_TRACK = 0
    MANY_TRACKS = 1
    MANY_CODECS = 2

ctypedef struct flv_tag_t:
    uint32_t fourcc
    uint32_t track_id
    uint32_t kind                # TAG_*
    bint key
    int32_t composition_ms
    uint32_t nanos               # to be added to the presentation time
    const uint8_t* body
    size_t size

ctypedef struct flv_cursor_t:
    const uint8_t* at
    const uint8_t* end
    bint video
    bint plain                   # of FLV 10.1
    bint multitrack
    uint32_t multitrack_type
    flv_tag_t tag                # what all tracks of the message have in common
    uint32_t refused             # the codec number of FLV that is not known, plus 1


# A message, not empty: 0, or -1 when it is malformed or (refused is set) of an unknown codec.
cdef int begin_tags(flv_cursor_t* cursor, bint video, const uint8_t* data, size_t size) noexcept nogil
# The next track of it: 1 with *tag set, 0 behind the last one, -1 when it is malformed.
cdef int next_tag(flv_cursor_t* cursor, flv_tag_t* tag) noexcept nogil
