"""RTMP messages (RTMP 1.0, 5.3 and 7), and who takes those that hold media.

A message is of one type, on one message stream, at one time.  Those that are few are objects; audio and video go to a MediaSink by pointer.
"""
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint32_t


cdef class MediaSink:
    """Where a ChunkReader leaves audio and video messages."""

    cdef int message(self, uint32_t type, uint32_t message_stream_id, uint32_t timestamp_ms, const uint8_t* data,
                     size_t size) except -1:
        self.take(new_message(type, message_stream_id, timestamp_ms, data, size))
        return 0

    def take(self, Message message not None):
        """One audio or video message, for a sink written in Python; a sink in C overrides ``message`` instead."""
        raise NotImplementedError("a MediaSink overrides take (in Python) or message (in C)")

    def receive(self, Message message not None):
        """Hands over a message that the reader returned before it knew the sink."""
        cdef const uint8_t* data = <const uint8_t*>PyBytes_AS_STRING(message.payload)
        self.message(message.type, message.message_stream_id, message.timestamp_ms, data, <size_t>len(message.payload))


cdef class Message:
    """One RTMP message: its type, message stream, time in ms (mod 2**32) and payload.  repr shows no payload: keys stand in it."""

    def __cinit__(self, uint32_t type, uint32_t message_stream_id, uint32_t timestamp_ms, bytes payload not None):
        self.type = type
        self.message_stream_id = message_stream_id
        self.timestamp_ms = timestamp_ms
        self.payload = payload

    def __eq__(self, other):
        cdef Message that
        if not isinstance(other, Message):
            return NotImplemented
        that = other
        return (
            self.type == that.type
            and self.message_stream_id == that.message_stream_id
            and self.timestamp_ms == that.timestamp_ms
            and self.payload == that.payload
        )

    def __hash__(self):
        return hash((self.type, self.message_stream_id, self.timestamp_ms, self.payload))

    def __repr__(self):
        return (
            f"Message(type={self.type}, message_stream_id={self.message_stream_id}, "
            f"timestamp_ms={self.timestamp_ms}, {len(self.payload)} bytes)"
        )


cdef Message new_message(uint32_t type, uint32_t message_stream_id, uint32_t timestamp_ms, const uint8_t* data, size_t size):
    return Message(type, message_stream_id, timestamp_ms, PyBytes_FromStringAndSize(<const char*>data, size))
