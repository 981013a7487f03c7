"""Stream checkers for Python: bytes in, counts out.

The checks themselves are in verifyts and verifyrtmp, and run in the receiving loops of ``pushcast sink`` without
Python.
"""
cimport cython
from libc.stdint cimport uint8_t, uint32_t

from pushcast.verifyrtmp cimport (
    RTMP_BROKEN, RTMP_COMMAND_READY, RTMP_PING, rtmp_check, rtmp_check_error_counts, rtmp_check_figures,
    rtmp_check_init, rtmp_check_is_cut, rtmp_check_publish,
)
from pushcast.verifyts cimport (
    ts_check_datagram, ts_check_error_counts, ts_check_figures, ts_check_init, ts_check_stream,
)

from pushcast.verifyrtmp import RTMP_ERRORS
from pushcast.verifyts import TS_ERRORS

__all__ = ["RTMP_ERRORS", "TS_ERRORS", "RtmpChecker", "TsChecker"]


@cython.final
cdef class TsChecker:
    """Checks one MPEG-TS: feed a byte stream with ``feed``, or whole datagrams with ``feed_datagram``, never both."""

    def __cinit__(self):
        ts_check_init(&self.c)

    def feed(self, const uint8_t[::1] data not None):
        if data.shape[0] and not self.garbage:
            self.garbage = ts_check_stream(&self.c, &data[0], data.shape[0]) < 0

    def feed_datagram(self, const uint8_t[::1] data not None):
        ts_check_datagram(&self.c, &data[0] if data.shape[0] else NULL, data.shape[0])

    def errors(self):
        return ts_check_error_counts(&self.c)

    def stats(self):
        return ts_check_figures(&self.c)

    @property
    def cut(self):
        return self.c.carried != 0


@cython.final
cdef class RtmpChecker:
    """Checks what an RTMP publisher sends behind the handshake; with message_stream_id 0 media must wait for
    ``publish``.
    """

    def __cinit__(self, uint32_t message_stream_id=1):
        rtmp_check_init(&self.c)
        if message_stream_id:
            rtmp_check_publish(&self.c, message_stream_id)

    def publish(self, uint32_t message_stream_id):
        rtmp_check_publish(&self.c, message_stream_id)

    def feed(self, const uint8_t[::1] data not None):
        cdef size_t at = 0, used = 0
        cdef size_t size = data.shape[0]
        cdef int wanted
        cdef list messages = []
        while at < size and not self.broken:
            wanted = rtmp_check(&self.c, &data[at], size - at, &used)
            at += used
            if wanted == RTMP_COMMAND_READY:
                messages.append((int(self.c.command_type), bytes(self.c.command[:self.c.command_size])))
            elif wanted == RTMP_PING:
                messages.append((4, b"\x00\x06" + int(self.c.ping).to_bytes(4, "big")))
            elif wanted == RTMP_BROKEN:
                self.broken = True
        return messages

    def errors(self):
        return rtmp_check_error_counts(&self.c)

    def stats(self):
        return rtmp_check_figures(&self.c)

    @property
    def cut(self):
        return rtmp_check_is_cut(&self.c)
