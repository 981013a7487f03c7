"""One access unit as a borrowed view, and the codec numbers shared with pushcast.media.

All timestamps inside pushcast are signed 64-bit integers at 90 kHz on the engine's own time line: they never wrap.
Containers wrap them on output (33 bits in MPEG-TS, 32 bits of milliseconds in RTMP).

H.264 and HEVC access units are length-prefixed NAL units (the length size stands in the track's avcC/hvcC);
AAC access units are raw, without ADTS.
"""
from libc.stdint cimport int64_t, uint8_t, uint32_t

cdef enum:
    FRAME_KEY = 1            # random access point: IDR / IRAP picture
    FRAME_CONFIG = 2         # data is a new decoder configuration record of the track, not an access unit
    FRAME_DISCONTINUITY = 4  # time or content does not continue the frame before
    FRAME_METADATA = 8       # data describes the track's pictures (HDR colour), as the AMF of enhanced RTMP
    FRAME_DATA = 16          # data is an AMF message beside the tracks: cue points, captions
    FRAME_BESIDE = 26        # any of those that are no access unit: CONFIG, METADATA, DATA

# The numbers of pushcast.media.Codec (a test holds them equal).
cdef enum:
    CODEC_H264 = 1
    CODEC_HEVC = 2
    CODEC_AV1 = 3
    CODEC_VP9 = 4
    CODEC_AAC = 16
    CODEC_MP3 = 17
    CODEC_OPUS = 18
    CODEC_AC3 = 19
    CODEC_EAC3 = 20
    CODEC_FLAC = 21
    CODEC_MP2 = 22
    CODEC_ID3 = 32
    CODEC_SCTE35 = 33
    CODEC_KLV = 34
    CODEC_PRIVATE = 35
    CODEC_AMF = 36

ctypedef struct Frame:
    const uint8_t* data      # borrowed: valid during the call only
    size_t size              # bytes
    int64_t dts              # 90 kHz
    int64_t pts              # 90 kHz
    uint32_t track           # Track.id
    uint32_t flags           # FRAME_*


cdef inline Frame frame_of(uint32_t track, int64_t dts, int64_t pts, uint32_t flags, const uint8_t* data, size_t size) noexcept nogil:
    cdef Frame frame
    frame.data, frame.size = data, size
    frame.dts, frame.pts = dts, pts
    frame.track, frame.flags = track, flags
    return frame
