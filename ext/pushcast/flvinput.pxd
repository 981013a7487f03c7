"""FlvInput: a publisher's media messages to frames."""
cimport cython
from libc.stdint cimport int64_t, uint8_t, uint32_t

from pushcast.chunk cimport MediaSink
from pushcast.source cimport Source


@cython.final
cdef class FlvInput(MediaSink):
    cdef readonly Source source
    cdef readonly tuple tracks                 # what was announced so far
    cdef object expected                       # kinds that onMetaData promised, None when it did not say
    cdef dict metadata_values
    cdef int64_t last_ms                       # unwrapped; INT64_MIN before the first message
    cdef int64_t first_ms
    cdef readonly bint frozen                  # the stream was announced: its tracks are fixed
    cdef readonly int late_tracks              # kinds of media that came after that

    cdef int64_t _unwrap(self, uint32_t timestamp_ms) noexcept
    cdef int _video(self, int64_t ms, const uint8_t* data, size_t size) except -1
    cdef int _audio(self, int64_t ms, const uint8_t* data, size_t size) except -1
    cdef int _publish(self, uint32_t track, int64_t ms, int64_t pts_ms, uint32_t flags, const uint8_t* data, size_t size) except -1
