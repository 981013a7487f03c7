"""Sink of RTMP publishers.

The handshake (RTMP 1.0, 5.2), acknowledgements and ping replies are made here.  Only commands, a handful for each
connection, go to a Python object: ``answer(type, message_stream_id, payload) -> (reply, publishing, stream, ended)``.
"""
cimport cython
from libc.errno cimport EAGAIN, errno
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc
from libc.string cimport memcpy, memset

from pushcast.chunk cimport put_fmt0
from pushcast.sinks cimport arrived
from pushcast.verifyrtmp cimport (
    RTMP_BAD_COMMAND, RTMP_BROKEN, RTMP_COMMAND_READY, RTMP_HANDSHAKE, RTMP_NO_PUBLISH, RTMP_NOT_READING, RTMP_PING,
    rtmp_check, rtmp_check_error_counts, rtmp_check_errors, rtmp_check_figures, rtmp_check_init, rtmp_check_is_cut,
    rtmp_check_publish,
)
from pushcast.wire cimport put_u16, put_u32

from pushcast.errors import EngineError

cdef extern from "<sys/socket.h>" nogil:
    int MSG_DONTWAIT
    int MSG_NOSIGNAL
    ssize_t send(int fd, const void* buffer, size_t size, int flags)

cdef extern from *:
    """
    #define PUSHCAST_PUBLISH_NS ((int64_t)10 * 1000000000)
    """
    const int64_t PUBLISH_NS "PUSHCAST_PUBLISH_NS"   # from accept to publish

cdef enum:
    ACK_WINDOW = 2500000     # bytes; for publishers that announce none

cdef enum:
    TYPE_ACKNOWLEDGEMENT = 3
    TYPE_USER_CONTROL = 4
    PING_RESPONSE = 7


cdef inline rtmp_check_t* check_of(const conn_t* conn) noexcept nogil:
    return &(<publisher_t*>conn.state).check


@cython.final
cdef class RtmpSink(StreamSink):
    """Receives RTMP publishers.  ``new_dialogue()`` makes what answers the commands of one connection."""

    def __init__(self, listeners, new_dialogue, *, uint32_t max_senders=4096):
        self.new_dialogue = new_dialogue
        self.dialogues = {}
        self.streams = {}
        self.ended = set()

    cdef int begin(self, conn_t* conn) except -1:
        cdef publisher_t* publisher = <publisher_t*>calloc(1, sizeof(publisher_t))
        conn.state = publisher
        if publisher == NULL:
            raise MemoryError
        rtmp_check_init(&publisher.check)
        self.dialogues[conn.slot] = self.new_dialogue()
        return 0

    cdef int take(self, conn_t* conn, const uint8_t* data, size_t size, int64_t now_ns) except? -2 nogil:
        cdef publisher_t* publisher = <publisher_t*>conn.state
        cdef int shaken
        if publisher.check.publishing:
            arrived(&conn.arrival, size, now_ns)
        elif publisher.shaken < 1 + 2 * C1:
            shaken = self.shake(conn, data, size)
            if shaken < 0:
                return -1
            data += shaken
            size -= shaken
        return self.chunks(conn, data, size)

    cdef int shake(self, conn_t* conn, const uint8_t* data, size_t size) noexcept nogil:
        """C0, C1, C2 (RTMP 1.0, 5.2): returns the bytes taken, -1 when it is not RTMP.  C2 is not compared with S1."""
        cdef publisher_t* publisher = <publisher_t*>conn.state
        cdef uint8_t answer[1 + 2 * C1]
        cdef size_t taken = 0, part
        if publisher.shaken < 1 + C1:
            taken = 1 + C1 - publisher.shaken
            if taken > size:
                taken = size
            memcpy(publisher.hello + publisher.shaken, data, taken)
            publisher.shaken += <uint32_t>taken
            if publisher.hello[0] != 3:
                publisher.check.errors[RTMP_HANDSHAKE] += 1
                return -1
            if publisher.shaken < 1 + C1:
                return <int>taken
            answer[0] = 3
            memset(answer + 1, 0, C1)
            memcpy(answer + 1 + C1, publisher.hello + 1, C1)
            if not sent(conn, answer, sizeof(answer)):
                return -1
        part = 1 + 2 * C1 - publisher.shaken
        if part > size - taken:
            part = size - taken
        publisher.shaken += <uint32_t>part
        return <int>(taken + part)

    cdef int chunks(self, conn_t* conn, const uint8_t* data, size_t size) except? -2 nogil:
        cdef publisher_t* publisher = <publisher_t*>conn.state
        cdef rtmp_check_t* c = &publisher.check
        cdef uint8_t reply[32]
        cdef uint8_t* end
        cdef size_t used = 0
        cdef int wanted, answered
        cdef uint64_t window
        while size:
            wanted = rtmp_check(c, data, size, &used)
            data += used
            size -= used
            if wanted == RTMP_BROKEN:
                return -1
            if wanted == RTMP_PING:
                end = put_u16(put_fmt0(reply, 2, 0, 6, TYPE_USER_CONTROL, 0), PING_RESPONSE)
                end = put_u32(end, c.ping)
                if not sent(conn, reply, end - reply):
                    return -1
            elif wanted == RTMP_COMMAND_READY:
                with gil:
                    answered = self.command(conn)
                if answered < 0:
                    return -1
        window = c.peer_window if c.peer_window else ACK_WINDOW
        if conn.received - publisher.acknowledged >= window:
            publisher.acknowledged = conn.received
            end = put_u32(put_fmt0(reply, 2, 0, 4, TYPE_ACKNOWLEDGEMENT, 0), <uint32_t>conn.received)
            if not sent(conn, reply, end - reply):
                return -1
        return 0

    cdef int command(self, conn_t* conn) except? -2:
        """Lets the dialogue answer a command; -1 when it cannot go on."""
        cdef rtmp_check_t* c = check_of(conn)
        cdef bytes reply
        cdef uint32_t message_stream_id = c.csids[c.current].message_stream_id
        try:
            reply, publishing, stream, ended = self.dialogues[conn.slot].answer(
                int(c.command_type), message_stream_id, bytes(c.command[:c.command_size])
            )
        except EngineError:
            c.errors[RTMP_BAD_COMMAND] += 1
            return -1
        if publishing:
            rtmp_check_publish(c, message_stream_id)
            self.streams[conn.slot] = stream
        if ended:
            self.ended.add(conn.slot)
        return 0 if not reply or sent(conn, reply, len(reply)) else -1

    cdef bint overdue(self, conn_t* conn, int64_t now_ns) noexcept nogil:
        return not check_of(conn).publishing and now_ns - conn.opened_ns > PUBLISH_NS

    cdef uint64_t errors_of(self, conn_t* conn) noexcept nogil:
        return rtmp_check_errors(check_of(conn))

    cdef dict describe(self, conn_t* conn):
        cdef const rtmp_check_t* c = check_of(conn)
        figures = rtmp_check_figures(c)
        figures["cut"] = rtmp_check_is_cut(c)
        figures["ended"] = conn.slot in self.ended
        errors = rtmp_check_error_counts(c)
        return self.row(
            &conn.arrival, self.peers[conn.slot], conn.port, self.streams.get(conn.slot, ""), errors, figures
        )

    cdef int end(self, conn_t* conn) except -1:
        cdef rtmp_check_t* c = check_of(conn)
        # One that was closed for another fault has its error already.
        if not c.publishing and conn.received and rtmp_check_errors(c) == 0:
            c.errors[RTMP_NO_PUBLISH] += 1
        return 0

    cdef int drop(self, conn_t* conn) except -1:
        slot = conn.slot
        StreamSink.drop(self, conn)
        del self.dialogues[slot]
        self.streams.pop(slot, None)
        self.ended.discard(slot)
        return 0


cdef bint sent(conn_t* conn, const uint8_t* data, size_t size) noexcept nogil:
    """Replies are small against a socket buffer: one that does not fit comes from a peer that never reads, and is
    counted.
    """
    cdef ssize_t taken = send(conn.fd, data, size, MSG_DONTWAIT | MSG_NOSIGNAL)
    if taken == <ssize_t>size:
        return True
    if taken >= 0 or errno == EAGAIN:
        check_of(conn).errors[RTMP_NOT_READING] += 1
    return False
