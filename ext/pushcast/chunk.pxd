"""RTMP chunks (RTMP 1.0, 5.3): header writers for muxers, and the reader that puts messages together.  Theory in chunk.pyx."""
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from pushcast.message cimport MediaSink
from pushcast.wire cimport put_u8, put_u24, put_u32, put_u32le

cdef enum:
    CSID_MIN = 2
    CSID_MAX = 65599
    LENGTH_MAX = 0xFFFFFF    # bytes of a message: its length has 24 bits, and so no larger chunk size is of use
    HEADER_MAX = 18          # longest chunk header: 3 basic + 11 message + 4 extended timestamp
    TIME_EXTENDED = 0xFFFFFF # in the 3-byte field: the time stands in 4 bytes behind the message header


cdef inline uint8_t* put_basic(uint8_t* p, uint32_t fmt, uint32_t csid) noexcept nogil:
    """Basic header of 1 to 3 bytes (5.3.1.1)."""
    if csid < 64:
        return put_u8(p, (fmt << 6) | csid)
    if csid < 320:
        p = put_u8(p, fmt << 6)
        return put_u8(p, csid - 64)
    p = put_u8(p, (fmt << 6) | 1)
    p = put_u8(p, (csid - 64) & 0xFF)
    return put_u8(p, (csid - 64) >> 8)


cdef inline uint8_t* put_fmt0(uint8_t* p, uint32_t csid, uint32_t timestamp_ms, uint32_t length, uint32_t type,
                              uint32_t message_stream_id) noexcept nogil:
    """First chunk of a message with everything spelled out; at most HEADER_MAX bytes.  Returns where the payload goes."""
    cdef bint extended = timestamp_ms >= TIME_EXTENDED
    p = put_basic(p, 0, csid)
    p = put_u24(p, TIME_EXTENDED if extended else timestamp_ms)
    p = put_u24(p, length)
    p = put_u8(p, type)
    p = put_u32le(p, message_stream_id)
    return put_u32(p, timestamp_ms) if extended else p


cdef inline uint8_t* put_fmt1(uint8_t* p, uint32_t csid, uint32_t delta_ms, uint32_t length, uint32_t type) noexcept nogil:
    """First chunk of a message on the csid's message stream, delta_ms after the csid's message before; at most 14 bytes."""
    cdef bint extended = delta_ms >= TIME_EXTENDED
    p = put_basic(p, 1, csid)
    p = put_u24(p, TIME_EXTENDED if extended else delta_ms)
    p = put_u24(p, length)
    p = put_u8(p, type)
    return put_u32(p, delta_ms) if extended else p


cdef inline uint8_t* put_fmt3(uint8_t* p, uint32_t csid, uint32_t timestamp_or_delta) noexcept nogil:
    """Continuation chunk; at most 7 bytes.  The time is the one that the message's fmt 0 or fmt 1 header carried."""
    p = put_basic(p, 3, csid)
    return put_u32(p, timestamp_or_delta) if timestamp_or_delta >= TIME_EXTENDED else p


ctypedef struct chunk_stream_t:
    uint32_t csid
    uint32_t timestamp_ms    # of the message under way, or the last one
    uint32_t delta_ms        # what a fmt 3 that begins a message adds
    uint32_t length          # bytes of the message under way, or the last one
    uint32_t type
    uint32_t message_stream_id
    bint extended            # the last fmt 0, 1 or 2 carried an extended timestamp, whose value is delta_ms
    bint underway            # a message has begun and is not whole
    uint8_t* partial         # the bytes that had to be kept; NULL until the first one
    size_t filled
    size_t capacity          # kept after a message for the next one, while it is small


cdef class ChunkReader:
    cdef public MediaSink media            # when set, audio and video go there instead of being returned
    cdef public size_t max_message_bytes
    cdef public size_t max_partial_bytes   # of all messages under way together
    cdef readonly size_t partial_bytes     # allocated for them now
    cdef readonly uint64_t bytes_received  # never wraps; the 32 bits of an acknowledgement do
    cdef readonly uint32_t chunk_size      # of the peer's direction, as its last Set Chunk Size said
    cdef size_t max_csids
    cdef chunk_stream_t* streams
    cdef size_t stream_count
    cdef size_t stream_capacity
    cdef uint8_t header[HEADER_MAX]        # a chunk header that the end of the input cut
    cdef size_t header_filled
    cdef Py_ssize_t current                # index of the chunk stream whose payload comes next; -1: a chunk header does
    cdef size_t chunk_left                 # payload bytes of that chunk still to come
    cdef Py_ssize_t cut                    # index of the chunk stream whose message the last chunk left unfinished
    cdef int continuation                  # the one byte that goes on with it; -1 when it takes more than one to tell
    cdef bint failed

    cpdef list receive(self, data)
    cdef list receive_bytes(self, const uint8_t* p, size_t size)
    cdef int consume(self, const uint8_t* p, size_t size, list messages) except -1
    cdef bint between_messages(self) noexcept nogil
    cdef Py_ssize_t find(self, uint32_t csid) noexcept nogil
    cdef Py_ssize_t add(self, uint32_t csid) except -1
    cdef size_t header_size(self, const uint8_t* p, size_t size) noexcept nogil
    cdef int begin_chunk(self, const uint8_t* p, size_t size, list messages) except -1
    cdef Py_ssize_t take_payload(self, const uint8_t* p, size_t size, list messages) except -1
    cdef int keep(self, chunk_stream_t* s, const uint8_t* p, size_t size) except -1
    cdef void drop(self, chunk_stream_t* s) noexcept nogil
    cdef int deliver(self, const chunk_stream_t* s, const uint8_t* data, list messages) except -1
    cdef int split_aggregate(self, const chunk_stream_t* s, const uint8_t* data, list messages) except -1
    cdef int hand_over(self, uint32_t type, uint32_t message_stream_id, uint32_t timestamp_ms, const uint8_t* data,
                       size_t size, list messages) except -1
