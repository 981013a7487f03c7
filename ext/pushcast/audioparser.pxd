"""AudioParser: audio frames out of PES packets that hold several, or parts of some.  Theory in audioparser.pyx."""
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from pushcast.esparser cimport EsParser

cdef enum:
    STAMPS_MOST = 8              # a frame is 8 KiB at the most, and packets that carry a time are longer than one

# One frame as its header describes it.
ctypedef struct audio_frame_t:
    size_t size              # bytes with header
    size_t header            # bytes that are not passed on
    uint32_t samples
    uint32_t sample_rate
    uint64_t signature       # of what the header says; another one means another configuration

# What look() finds where a frame should begin, if it is no header.
cdef enum:
    LOOK_MORE = 0            # too few bytes to tell
    LOOK_WRONG = -1          # no frame begins here
    LOOK_FRAME = 1


cdef class AudioParser(EsParser):
    cdef uint8_t* bytes_held             # what the packets before left, then the payload in hand
    cdef size_t held
    cdef size_t capacity
    cdef int64_t[STAMPS_MOST] stamps     # of packets whose first frame is not whole yet, oldest first
    cdef size_t[STAMPS_MOST] stamp_at    # from this byte of what is held on
    cdef int stamp_count
    cdef int64_t base                    # time of the frame that samples are counted from, NO_STAMP: unknown
    cdef uint64_t samples                # since then
    cdef uint32_t sample_rate
    cdef uint64_t signature              # of the configuration in force

    cdef int look(self, const uint8_t* data, size_t size, audio_frame_t* frame) noexcept nogil
    # Make the configuration of a frame with another signature; MediaError: frames of its kind cannot be passed on.
    cdef int learn(self, const uint8_t* data, const audio_frame_t* frame, int64_t dts) except -1
    cdef int emit(self, const uint8_t* data, const audio_frame_t* frame, int64_t dts) except -1
    cdef int64_t time(self) noexcept nogil
    cdef size_t parse(self) except? 0
    cdef void stamp(self, size_t at, int64_t pts) noexcept nogil
    cdef void take_stamp(self, size_t at) noexcept nogil
    cdef int one_frame(self, const uint8_t* data, const audio_frame_t* frame) except -1


cdef class AdtsParser(AudioParser):
    pass


cdef class LatmParser(AudioParser):
    cdef object mux                      # LatmConfig in force
    cdef uint8_t frame_room[8192]        # a frame moved to whole bytes


cdef class MpegAudioParser(AudioParser):
    pass


cdef class Ac3Parser(AudioParser):
    pass


cdef class OpusParser(AudioParser):
    cdef uint32_t channels
