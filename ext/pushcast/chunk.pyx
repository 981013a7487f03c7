"""RTMP chunk streams (RTMP 1.0, 5.3): bytes in, whole messages out, and the other way round.

A chunk is a header and up to chunk_size payload bytes of one message; messages on different chunk stream ids (csid) interleave.
ChunkReader takes the bytes in any pieces.  It applies what concerns the chunk layer itself (Set Chunk Size, Abort), splits
aggregate messages, and hands audio and video to a MediaSink in C, so a read of a socket is one call from Python.  A message
that lies whole in one chunk of the input is passed on by pointer; others are put together in a buffer of their csid that grows
with the bytes that really came, never with the length that a header announces.

Peers bend the rules in known ways, and these are taken: a fmt 3 chunk with or without the extended timestamp (and with the
absolute time in it where the delta belongs), and a csid that begins with fmt 1.  Anything else ends the reader.
"""
cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport uint8_t, uint32_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy

from pushcast.message cimport MediaSink, new_message
from pushcast.wire cimport get_u24, get_u32, get_u32le

from pushcast.errors import LocalProtocolError, RemoteProtocolError

cdef enum:
    DEFAULT_CHUNK_SIZE = 128     # 5.4.1
    SET_CHUNK_SIZE = 1
    ABORT = 2
    AUDIO = 8
    VIDEO = 9
    AGGREGATE = 22
    TAG_HEADER = 11              # of a part of an aggregate: type, length, time, stream id
    TAG_TRAILER = 4              # back pointer
    FIRST_PARTIAL = 4096         # bytes first allocated for a message in pieces
    KEEP_MAX = 256 * 1024        # larger buffers go back after their message: only a burst needs them


@cython.final
cdef class ChunkReader:
    """Puts the messages of one direction of one connection together.

    ``max_message_bytes``: longest message taken (24 bits of length allow 16 MiB, more than a raw keyframe at 8K needs).
    ``max_partial_bytes``: memory for all messages under way; twice the longest message lets audio interleave with the largest picture.
    ``max_csids``: chunk streams remembered; peers use 3 to 8, so 64 is generous, and small enough to search in order.
    """

    def __cinit__(self, size_t max_message_bytes=LENGTH_MAX, size_t max_partial_bytes=32 * 1024 * 1024, size_t max_csids=64):
        self.current = self.continuation = -1
        self.chunk_size = DEFAULT_CHUNK_SIZE
        self.max_message_bytes = max_message_bytes
        self.max_partial_bytes = max_partial_bytes
        self.max_csids = max_csids

    def __dealloc__(self):
        cdef size_t i
        for i in range(self.stream_count):
            free(self.streams[i].partial)
        free(self.streams)

    cpdef list receive(self, data):
        """Messages that these bytes complete, in order; audio and video go to ``media`` instead when it is set.

        Raises RemoteProtocolError when the bytes break the protocol or a limit, and whatever the sink raises.  After an error
        the place in the chunk stream is lost: another call is a LocalProtocolError.
        """
        cdef Py_buffer view
        PyObject_GetBuffer(data, &view, PyBUF_SIMPLE)
        try:
            return self.receive_bytes(<const uint8_t*>view.buf, <size_t>view.len)
        finally:
            PyBuffer_Release(&view)

    cdef list receive_bytes(self, const uint8_t* p, size_t size):
        """The same for those who have the bytes in C."""
        cdef list messages = []
        if self.failed:
            raise LocalProtocolError("RTMP chunk reader: expected no more bytes after an error")
        self.failed = True
        self.bytes_received += size
        self.consume(p, size, messages)
        self.failed = False
        return messages

    cdef int consume(self, const uint8_t* p, size_t size, list messages) except -1:
        cdef const uint8_t* end = p + size
        cdef size_t taken, left
        cdef uint8_t rest[HEADER_MAX]
        while p < end:
            if self.current >= 0:
                p += self.take_payload(p, <size_t>(end - p), messages)
                continue
            if p[0] == self.continuation and self.header_filled == 0:
                # Most chunks of a peer whose chunks are small: nothing to look up, nothing to read.
                self.current = self.cut
                self.chunk_left = min(self.streams[self.cut].length - self.streams[self.cut].filled, <size_t>self.chunk_size)
                p += 1
                continue
            if self.header_filled == 0:
                taken = self.header_size(p, <size_t>(end - p))
                if taken == 0:
                    # A whole header has at most HEADER_MAX bytes, so what is left of the input fits.
                    self.header_filled = <size_t>(end - p)
                    memcpy(self.header, p, self.header_filled)
                    return 0
                self.begin_chunk(p, taken, messages)
                p += taken
                continue
            self.header[self.header_filled] = p[0]
            self.header_filled += 1
            p += 1
            taken = self.header_size(self.header, self.header_filled)
            if taken == 0:
                continue
            # Bytes put aside as a possible extended timestamp may turn out to be payload: they go through the same loop.
            left = self.header_filled - taken
            memcpy(rest, self.header + taken, left)
            self.header_filled = 0
            self.begin_chunk(self.header, taken, messages)
            self.consume(rest, left, messages)
        return 0

    cdef bint between_messages(self) noexcept nogil:
        """Nothing is under way: what comes next begins with a chunk header that begins a message."""
        cdef size_t i
        if self.current >= 0 or self.header_filled:
            return False
        for i in range(self.stream_count):
            if self.streams[i].underway:
                return False
        return True

    cdef Py_ssize_t find(self, uint32_t csid) noexcept nogil:
        cdef size_t i
        for i in range(self.stream_count):
            if self.streams[i].csid == csid:
                return <Py_ssize_t>i
        return -1

    cdef Py_ssize_t add(self, uint32_t csid) except -1:
        cdef size_t capacity
        cdef void* grown
        if self.stream_count == self.max_csids:
            raise RemoteProtocolError(f"RTMP chunk: expected at most {self.max_csids} chunk stream ids, got one more: {csid}")
        if self.stream_count == self.stream_capacity:
            capacity = self.stream_capacity * 2 if self.stream_capacity else 4
            grown = realloc(self.streams, capacity * sizeof(chunk_stream_t))
            if grown == NULL:
                raise MemoryError
            self.streams = <chunk_stream_t*>grown
            self.stream_capacity = capacity
        self.streams[self.stream_count] = chunk_stream_t(
            csid=csid, timestamp_ms=0, delta_ms=0, length=0, type=0, message_stream_id=0, extended=False,
            underway=False, partial=NULL, filled=0, capacity=0,
        )
        self.stream_count += 1
        return <Py_ssize_t>(self.stream_count - 1)

    cdef size_t header_size(self, const uint8_t* p, size_t size) noexcept nogil:
        """Bytes of the chunk header at p; 0 when size bytes do not tell."""
        cdef size_t basic = basic_size(p), whole
        cdef uint32_t fmt = p[0] >> 6
        cdef Py_ssize_t index
        if size < basic:
            return 0
        whole = basic + message_header_size(fmt)
        if size < whole:
            return 0
        if fmt < 3:
            if get_u24(p + basic) == TIME_EXTENDED:
                whole += 4
            return whole if size >= whole else 0
        index = self.find(basic_csid(p))
        if index < 0 or not self.streams[index].extended:
            return whole
        return extended_size(&self.streams[index], p + basic, size - basic, basic)

    cdef int begin_chunk(self, const uint8_t* p, size_t size, list messages) except -1:
        cdef uint32_t fmt = p[0] >> 6
        cdef uint32_t csid = basic_csid(p)
        cdef uint32_t time
        cdef Py_ssize_t index = self.find(csid)
        cdef chunk_stream_t* s
        if index < 0:
            if fmt > 1:
                raise RemoteProtocolError(f"RTMP chunk stream {csid}: expected fmt 0 in its first chunk, got fmt {fmt}")
            index = self.add(csid)
        s = &self.streams[index]
        if s.underway and fmt != 3:
            raise RemoteProtocolError(
                f"RTMP chunk stream {csid}: expected fmt 3 with the {s.length - s.filled} bytes left of a message, got fmt {fmt}"
            )
        if fmt < 3:
            p += basic_size(p)
            s.extended = get_u24(p) == TIME_EXTENDED
            time = get_u32(p + message_header_size(fmt)) if s.extended else get_u24(p)
            if fmt < 2:
                s.length = get_u24(p + 3)
                s.type = p[6]
            if fmt == 0:
                s.message_stream_id = get_u32le(p + 7)
                s.timestamp_ms = 0
            s.delta_ms = time  # after fmt 0 too: a fmt 3 that begins the next message adds the time again (5.3.1.2.4)
        if not s.underway:
            s.timestamp_ms += s.delta_ms
            if s.length > self.max_message_bytes:
                raise RemoteProtocolError(
                    f"RTMP chunk stream {csid}: expected a message of at most {self.max_message_bytes} bytes, got {s.length}"
                )
            if s.length == 0:
                return self.deliver(s, NULL, messages)
            s.underway = True
        self.current = index
        self.chunk_left = min(<size_t>(s.length - s.filled), <size_t>self.chunk_size)
        return 0

    cdef Py_ssize_t take_payload(self, const uint8_t* p, size_t size, list messages) except -1:
        """Returns the bytes taken, at least one."""
        cdef chunk_stream_t* s = &self.streams[self.current]
        cdef const uint8_t* whole = NULL
        if size > self.chunk_left:
            size = self.chunk_left
        if size == s.length:
            whole = p
        else:
            self.keep(s, p, size)
            if s.filled == s.length:
                whole = s.partial
        self.chunk_left -= size
        if self.chunk_left == 0:
            self.cut = self.current
            self.continuation = <int>(0xC0 | s.csid) if s.csid < 64 and not s.extended else -1
            self.current = -1
        if whole != NULL:
            self.deliver(s, whole, messages)
            self.drop(s)
        return <Py_ssize_t>size

    cdef int keep(self, chunk_stream_t* s, const uint8_t* p, size_t size) except -1:
        cdef size_t needed = s.filled + size, capacity
        cdef void* grown
        if needed > s.capacity:
            capacity = min(<size_t>s.length, max(needed, max(2 * s.capacity, <size_t>FIRST_PARTIAL)))
            if self.partial_bytes - s.capacity + capacity > self.max_partial_bytes:
                raise RemoteProtocolError(
                    f"RTMP chunk stream {s.csid}: expected at most {self.max_partial_bytes} bytes of unfinished messages, "
                    f"got a message of {s.length} bytes beside {self.partial_bytes - s.capacity}"
                )
            grown = realloc(s.partial, capacity)
            if grown == NULL:
                raise MemoryError
            self.partial_bytes += capacity - s.capacity
            s.partial = <uint8_t*>grown
            s.capacity = capacity
        memcpy(s.partial + s.filled, p, size)
        s.filled = needed
        return 0

    cdef void drop(self, chunk_stream_t* s) noexcept nogil:
        """The message under way is done with.  Its buffer stays for the next one unless the idle ones could fill half the limit."""
        s.underway = False
        s.filled = 0
        self.continuation = -1
        if s.capacity > min(<size_t>KEEP_MAX, self.max_partial_bytes // (2 * self.max_csids)):
            self.partial_bytes -= s.capacity
            free(s.partial)
            s.partial = NULL
            s.capacity = 0

    cdef int deliver(self, const chunk_stream_t* s, const uint8_t* data, list messages) except -1:
        cdef uint32_t value
        cdef Py_ssize_t index
        if s.type == AGGREGATE:
            return self.split_aggregate(s, data, messages)
        self.hand_over(s.type, s.message_stream_id, s.timestamp_ms, data, s.length, messages)
        if s.type != SET_CHUNK_SIZE and s.type != ABORT:
            return 0
        if s.length < 4:
            raise RemoteProtocolError(f"RTMP message type {s.type}: expected 4 bytes, got {s.length}")
        value = get_u32(data)
        if s.type == SET_CHUNK_SIZE:
            if value == 0 or value > 0x7FFFFFFF:
                raise RemoteProtocolError(f"RTMP Set Chunk Size: expected 1 to 2147483647, got {value}")
            self.chunk_size = min(value, <uint32_t>LENGTH_MAX)
        else:
            # Last: the csid may be this message's own, whose bytes go.
            index = self.find(value)
            if index >= 0:
                self.drop(&self.streams[index])
        return 0

    cdef int split_aggregate(self, const chunk_stream_t* s, const uint8_t* data, list messages) except -1:
        """Parts laid out as FLV tags; their times count from the first part, which has the aggregate's own time (7.1.6)."""
        cdef size_t left = s.length
        cdef uint32_t size, time, first = 0
        cdef bint any_part = False
        while left:
            size = get_u24(data + 1) if left >= TAG_HEADER else 0
            # The last back pointer is missing in some aggregates.
            if left < TAG_HEADER or left - TAG_HEADER < size:
                raise RemoteProtocolError(f"RTMP aggregate: expected a part of {TAG_HEADER + size} bytes, got {left}")
            time = get_u24(data + 4) | (<uint32_t>data[7] << 24)
            if not any_part:
                first = time
                any_part = True
            self.hand_over(data[0], s.message_stream_id, s.timestamp_ms + (time - first), data + TAG_HEADER, size, messages)
            size = min(TAG_HEADER + size + TAG_TRAILER, <uint32_t>left)
            data += size
            left -= size
        return 0

    cdef int hand_over(self, uint32_t type, uint32_t message_stream_id, uint32_t timestamp_ms, const uint8_t* data,
                       size_t size, list messages) except -1:
        if self.media is not None and (type == AUDIO or type == VIDEO):
            self.media.message(type, message_stream_id, timestamp_ms, data, size)
        else:
            messages.append(new_message(type, message_stream_id, timestamp_ms, data, size))
        return 0


cdef inline size_t basic_size(const uint8_t* p) noexcept nogil:
    cdef uint32_t marker = p[0] & 0x3F
    return 2 if marker == 0 else 3 if marker == 1 else 1


cdef inline uint32_t basic_csid(const uint8_t* p) noexcept nogil:
    cdef uint32_t marker = p[0] & 0x3F
    if marker == 0:
        return <uint32_t>p[1] + 64
    if marker == 1:
        return <uint32_t>p[1] + (<uint32_t>p[2] << 8) + 64
    return marker


cdef inline size_t message_header_size(uint32_t fmt) noexcept nogil:
    return 11 if fmt == 0 else 7 if fmt == 1 else 3 if fmt == 2 else 0


cdef size_t extended_size(const chunk_stream_t* s, const uint8_t* p, size_t size, size_t basic) noexcept nogil:
    """Header bytes of a fmt 3 chunk after an extended timestamp, basic or basic + 4; 0 when size bytes at p do not tell.

    Only a repeated time is taken as one; the first byte that differs from both possible times decides, so that the last
    bytes of a message are not held back until four more come.
    """
    cdef uint8_t field[4]
    cdef uint8_t absolute[4]
    cdef size_t i, known = min(size, <size_t>4)
    cdef bint is_field = True, is_absolute = True
    put_u32(field, s.delta_ms)
    put_u32(absolute, s.timestamp_ms)
    for i in range(known):
        is_field = is_field and p[i] == field[i]
        is_absolute = is_absolute and p[i] == absolute[i]
        if not is_field and not is_absolute:
            return basic
    return basic + 4 if known == 4 else 0


def write_message(uint32_t csid, uint32_t type, uint32_t message_stream_id, uint32_t timestamp_ms, payload, uint32_t chunk_size):
    """One message as chunks: fmt 0, then fmt 3 for every further chunk_size bytes of payload.

    csid 2 to 65599, chunk_size 1 to 16777215, payload up to 16777215 bytes; otherwise LocalProtocolError.
    """
    cdef Py_buffer view
    cdef const uint8_t* data
    cdef uint8_t header[HEADER_MAX]
    cdef uint8_t* p
    cdef size_t left, part, first, further
    cdef bytes written
    if not CSID_MIN <= csid <= CSID_MAX or not 1 <= chunk_size <= LENGTH_MAX or type > 255:
        raise LocalProtocolError(f"RTMP message: csid {csid}, type {type} or chunk size {chunk_size} out of range")
    PyObject_GetBuffer(payload, &view, PyBUF_SIMPLE)
    try:
        left = <size_t>view.len
        if left > LENGTH_MAX:
            raise LocalProtocolError(f"RTMP message: expected at most {LENGTH_MAX} bytes, got {left}")
        data = <const uint8_t*>view.buf
        first = <size_t>(put_fmt0(header, csid, timestamp_ms, <uint32_t>left, type, message_stream_id) - header)
        further = <size_t>(put_fmt3(header, csid, timestamp_ms) - header)
        written = PyBytes_FromStringAndSize(NULL, first + left + (left - 1) // chunk_size * further if left else first)
        p = put_fmt0(<uint8_t*>PyBytes_AS_STRING(written), csid, timestamp_ms, <uint32_t>left, type, message_stream_id)
        while left:
            part = min(left, <size_t>chunk_size)
            memcpy(p, data, part)
            p += part
            data += part
            left -= part
            if left:
                p = put_fmt3(p, csid, timestamp_ms)
    finally:
        PyBuffer_Release(&view)
    return written
