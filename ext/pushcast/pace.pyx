"""Pace: a cursor that spreads what it sends, by the clock of the sender's thread.

It counts what waits between the cursor and the head once for each span, and says at each turn how much of that may leave.

**At a constant rate.**  The muxer has laid out the bytes, null packets included, as they are to leave; here they leave as by a clock.  Frames come with the
jitter of their way, so first a stock of STOCK_MS gathers.  The encoder's clock is not ours, so a stock that shrinks or grows over seconds moves the
clock, by 50 us a second: 50 ppm, which is more than crystals differ by and less than anybody measures in a bit rate.  Clocks of virtual machines and cheap
encoders are worse: the further the stock is off, the more the clock moves, up to 400 ppm.  A stock that is used up is gathered again.

**By frame.**  The rate is such that all that waits leaves within the time from frame to frame.  It is not lowered before what it was made for has left, so
audio between two video frames does not draw a keyframe out.
"""
from libc.stdint cimport INT64_MIN, UINT64_MAX, int64_t, uint64_t
from libc.string cimport memset

from pushcast.ring cimport SPAN_KEY, Ring, Span, ring_span, ring_t

cdef enum:
    STOCK_MS = 200
    STARVED_MS = 100             # more behind than that, it gathers a new stock and does not catch up
    CLOCK_STEP_NS = 50000        # in each second
    STEP_PER_MS_NS = 5000        # ... for each ms that the stock is beyond its bounds, once that is more
    LARGEST_STEP_NS = 400000
    LONGEST_TURN_MS = 100        # what a thread that stood still for longer makes up for

cdef int64_t SECOND_NS = 1000000000
cdef int64_t FRAME_NS = 40000000          # until it is known
cdef int64_t LONGEST_FRAME_TICKS = 90000


cdef void pace_constant(pace_t* pace, uint64_t bits_per_s) noexcept nogil:
    memset(pace, 0, sizeof(pace_t))
    pace.kind = PACE_CONSTANT
    pace.bits_per_s = bits_per_s


cdef void pace_by_frame(pace_t* pace) noexcept nogil:
    memset(pace, 0, sizeof(pace_t))
    pace.kind = PACE_FRAME
    pace.frame_ns = FRAME_NS
    pace.frame_dts = INT64_MIN


cdef void pace_from(pace_t* pace, uint64_t seq) noexcept nogil:
    """The cursor stands before this span now, which is another place than that where it was."""
    pace.seen = seq
    pace.waiting_bytes = 0
    pace.batch_bytes = 0


cdef void count_waiting(pace_t* pace, const ring_t* ring, int64_t due_dts) noexcept nogil:
    """Count the spans that are new, and are due."""
    cdef Span span
    cdef int64_t ticks
    while ring_span(ring, pace.seen, &span) and span.dts <= due_dts:
        pace.seen += 1
        pace.waiting_bytes += span.size
        if span.flags & SPAN_KEY:
            pace.track = span.track
        if pace.kind == PACE_FRAME and span.track == pace.track:
            ticks = span.dts - pace.frame_dts if pace.frame_dts != INT64_MIN else 0
            if 0 < ticks <= LONGEST_FRAME_TICKS:
                pace.frame_ns = ticks * 100000 // 9
            pace.frame_dts = span.dts


cdef size_t pace_allows(pace_t* pace, const ring_t* ring, int64_t due_dts, int64_t now_ns) noexcept nogil:
    """Bytes that may leave now.  They may be more than there are."""
    count_waiting(pace, ring, due_dts)
    return at_constant_rate(pace, now_ns) if pace.kind == PACE_CONSTANT else within_frame(pace, now_ns)


cdef size_t at_constant_rate(pace_t* pace, int64_t now_ns) noexcept nogil:
    cdef int64_t due_bytes
    if pace.zero_ns == 0:
        if pace.waiting_bytes == 0:
            pace.gathered_ns = 0
            return 0
        if pace.gathered_ns == 0:
            pace.gathered_ns = now_ns + <int64_t>STOCK_MS * 1000000
        if now_ns < pace.gathered_ns:
            return 0
        pace.zero_ns = now_ns
        pace.sent_bits = 0
        pace.least_bytes = UINT64_MAX
    pace.least_bytes = min(pace.least_bytes, pace.waiting_bytes)
    while now_ns - pace.zero_ns >= SECOND_NS:
        pace.zero_ns += SECOND_NS + clock_step(pace)
        pace.sent_bits -= <int64_t>pace.bits_per_s
    due_bytes = ((now_ns - pace.zero_ns) * <int64_t>pace.bits_per_s // SECOND_NS - pace.sent_bits) // 8
    if due_bytes - <int64_t>pace.waiting_bytes > <int64_t>stock_bytes(pace, STARVED_MS):
        pace.zero_ns = 0
        pace.gathered_ns = 0
        return 0
    return <size_t>max(due_bytes, 0)


cdef uint64_t stock_bytes(const pace_t* pace, uint64_t ms) noexcept nogil:
    return pace.bits_per_s * ms // 8000


cdef int64_t clock_step(pace_t* pace) noexcept nogil:
    """How much later, in ns, the next second begins, by the smallest stock of the one that is over."""
    cdef int64_t least_ms
    if pace.least_bytes == UINT64_MAX:
        return 0
    least_ms = <int64_t>(pace.least_bytes * 8000 // pace.bits_per_s)
    pace.least_bytes = UINT64_MAX
    if least_ms < STOCK_MS // 2:
        return step_ns(STOCK_MS // 2 - least_ms)
    return -step_ns(least_ms - STOCK_MS * 3 // 2) if least_ms > STOCK_MS * 3 // 2 else 0


cdef int64_t step_ns(int64_t beyond_ms) noexcept nogil:
    return min(max(beyond_ms * STEP_PER_MS_NS, <int64_t>CLOCK_STEP_NS), <int64_t>LARGEST_STEP_NS)


cdef size_t within_frame(pace_t* pace, int64_t now_ns) noexcept nogil:
    cdef int64_t elapsed_ns = min(now_ns - pace.last_ns, <int64_t>LONGEST_TURN_MS * 1000000)
    cdef uint64_t wanted
    pace.last_ns = now_ns
    if pace.waiting_bytes == 0:
        pace.credit = 0
        return 0
    if pace.waiting_bytes > pace.batch_bytes:
        wanted = pace.waiting_bytes * <uint64_t>SECOND_NS // <uint64_t>pace.frame_ns
        if pace.batch_bytes == 0 or wanted > pace.bytes_per_s:
            pace.bytes_per_s = wanted
            pace.batch_bytes = pace.waiting_bytes
    pace.credit += <int64_t>(pace.bytes_per_s * <uint64_t>(elapsed_ns // 1000) // 1000000)
    return <size_t>pace.credit


cdef void pace_took(pace_t* pace, size_t taken) noexcept nogil:
    """So many bytes have left."""
    pace.waiting_bytes -= min(taken, pace.waiting_bytes)
    pace.batch_bytes -= min(taken, pace.batch_bytes)
    pace.sent_bits += 8 * <int64_t>taken
    pace.credit -= <int64_t>taken


cdef class Pace:
    """Pace(ring, bits_per_s=0): the pace of a cursor on ``ring`` that takes all it may, by a clock of its own; 0: by frame."""

    cdef pace_t c
    cdef Ring ring

    def __cinit__(self, Ring ring not None, uint64_t bits_per_s=0):
        self.ring = ring
        if bits_per_s:
            pace_constant(&self.c, bits_per_s)
        else:
            pace_by_frame(&self.c)

    def take(self, int64_t now_ns):
        """Bytes that leave at this moment."""
        cdef size_t allowed = pace_allows(&self.c, &self.ring.c, 1 << 62, now_ns)
        cdef size_t taken = min(allowed, <size_t>self.c.waiting_bytes)
        pace_took(&self.c, taken)
        return taken
