"""Destination: where a feed goes, and how far it got: a cursor on a ring, the socket of a transport, a row of counters.

A destination belongs to its sender from attach() until events() has reported EVENT_RELEASED; until then the sender holds it, its ring and its transport,
and its thread alone touches what is in C, but for the letter and the counters.
"""
from libc.errno cimport ENOMEM
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memset

from pushcast.atomics cimport load_acquire, load_relaxed
from pushcast.counters cimport CounterTable, Tally, blocked_ns, counters_t
from pushcast.cursor cimport CURSOR_WAITING, cursor_free
from pushcast.mailbox cimport COMMAND_CONTROL, MAX_SAID_BYTES, letter_free, letter_init, post
from pushcast.monotonic cimport monotonic_ns
from pushcast.muxer cimport Muxer
from pushcast.pace cimport pace_by_frame, pace_constant
from pushcast.ring cimport Ring
from pushcast.transport cimport Transport

cdef extern from "<stdlib.h>" nogil:
    void* aligned_alloc(size_t alignment, size_t size)

TABLE = CounterTable()


cdef class Destination:
    """Destination(ring, muxer, transport, message_stream_id=0, start="gop", max_lag_ms=5000, stall_ms=10000, zero_ms=-1, delay_ms=0, pace=None,
    tally=None)

    A cursor on ``ring`` and the socket of ``transport``.  ``start``: "gop" joins at the newest key span, "next" waits
    for the next one.  ``max_lag_ms``: media time behind the head that makes it jump; ``stall_ms``: time without a taken
    byte that makes it lost (ETIMEDOUT).  ``zero_ms``: the peer's time zero, -1: its first frame is; see the property.
    ``delay_ms``: how far it stays behind the head, and max_lag_ms counts from there; the ring must keep() more than that.  ``pace``: None sends what is
    there, a number that many bits per second, which must be what the muxer makes, 0 each frame within the time until the next.
    ``tally``: what else counts the bytes that it sends.
    """

    def __cinit__(self, Ring ring not None, Muxer muxer not None, Transport transport not None, uint32_t message_stream_id=0,
                  str start="gop", int64_t max_lag_ms=5000, int64_t stall_ms=10000, int64_t zero_ms=-1, int64_t delay_ms=0,
                  pace=None, Tally tally=None):
        if start not in ("gop", "next"):
            raise ValueError(f"start: found {start!r}, expected 'gop' or 'next'")
        if max_lag_ms <= 0 or stall_ms <= 0:
            raise ValueError(f"max_lag_ms and stall_ms: found {max_lag_ms} and {stall_ms}, expected more than 0")
        if delay_ms < 0:
            raise ValueError(f"delay_ms: found {delay_ms}, expected 0 or more")
        if transport.closed:
            raise ValueError("a destination needs an open transport")
        self.c = <dest_t*>aligned_alloc(64, (sizeof(dest_t) + 63) & ~<size_t>63)
        if self.c == NULL:
            raise MemoryError("a destination")
        memset(self.c, 0, sizeof(dest_t))
        self.ring = ring
        self.transport = transport
        self.table = TABLE
        self.row = self.table.take()
        letter_init(&self.c.letter, self.c)
        self.c.cursor.ring = &ring.c
        self.c.cursor.transport = &transport.c
        self.c.cursor.lead_in = muxer.lead_in
        self.c.cursor.row = self.table.row(self.row)
        if tally is not None:
            self.tally = tally
            self.c.cursor.tally = &tally.sent
            tally.destinations += 1
        self.c.cursor.peer.message_stream_id = message_stream_id
        self.c.cursor.peer.zero_ms = zero_ms
        self.c.cursor.state = CURSOR_WAITING
        self.c.cursor.join_from = 0 if start == "gop" else load_acquire(&ring.c.head)
        self.c.cursor.max_lag_ticks = max_lag_ms * 90
        self.c.cursor.stall_ns = stall_ms * 1000000
        self.c.cursor.delay_ticks = delay_ms * 90
        if pace:
            pace_constant(&self.c.cursor.pace, pace)
        elif pace is not None:
            pace_by_frame(&self.c.cursor.pace)

    def __dealloc__(self):
        if self.c != NULL:
            cursor_free(&self.c.cursor)
            letter_free(&self.c.letter)
            free(self.c)
        if self.tally is not None:
            self.tally.destinations -= 1
        if self.table is not None:
            self.table.give(self.row)

    def control(self, const uint8_t[::1] data not None):
        """Say protocol bytes between two spans.  BufferError when the peer has not taken 64 KiB of earlier ones."""
        if self.sender is None:
            raise ValueError("control bytes for a destination that is not attached")
        cdef int code
        cdef size_t size = data.shape[0]
        if size == 0:
            return
        cdef const uint8_t* said = &data[0]
        with nogil:
            code = post(self.mail, &self.c.letter, COMMAND_CONTROL, 0, said, size)
        if code == ENOMEM:
            raise MemoryError("control bytes")
        if code:
            raise BufferError(f"more than {MAX_SAID_BYTES} bytes of replies wait for a peer that does not read")

    @property
    def zero_ms(self):
        """The time that the peer was told to be 0, -1 before it was told any: what another destination on its connection goes on from.  Right once
        this one was released.
        """
        return self.c.cursor.peer.zero_ms

    @property
    def sent_bytes(self):
        """What the socket has taken: one word of `counters`."""
        return load_relaxed(&self.c.cursor.row.sent_bytes)

    def counters(self):
        """This destination's row of the counter table, as a dict."""
        return self.table.read(self.row)

    def progress(self):
        """Of the counters what people ask for: (sent_bytes, sends, jumps, skipped_spans, lag_ms, max_gap_ms, refused, last_send_ns,
        blocked_ms).
        """
        cdef const counters_t* row = self.c.cursor.row
        return (
            load_relaxed(&row.sent_bytes), load_relaxed(&row.sends), load_relaxed(&row.jumps), load_relaxed(&row.skipped_spans),
            load_relaxed(&row.lag_ms), load_relaxed(&row.max_gap_ns) // 1000000, load_relaxed(&row.refused), load_relaxed(&row.last_send_ns),
            blocked_ns(row, monotonic_ns()) // 1000000,
        )

    def reset_gap(self):
        """Begin a new measurement of max_gap_ns."""
        self.table.reset_gap(self.row)
