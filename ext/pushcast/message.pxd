"""RTMP messages, and who takes those that hold media: theory in message.pyx."""
cimport cython
from libc.stdint cimport uint8_t, uint32_t


cdef class MediaSink:
    # Takes one whole message of type 8 (audio) or 9 (video).  data is borrowed: valid during the call only.
    # The base hands it to the Python method take(); a sink in C overrides message.
    cdef int message(self, uint32_t type, uint32_t message_stream_id, uint32_t timestamp_ms, const uint8_t* data,
                     size_t size) except -1


@cython.final
cdef class Message:
    cdef readonly uint32_t type
    cdef readonly uint32_t message_stream_id
    cdef readonly uint32_t timestamp_ms
    cdef readonly bytes payload


cdef Message new_message(uint32_t type, uint32_t message_stream_id, uint32_t timestamp_ms, const uint8_t* data, size_t size)
