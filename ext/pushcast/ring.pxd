"""Ring: a byte arena and an index of spans; one writer, many cursors.  See ring.pyx for the theory."""
cimport cython
from libc.stdint cimport INT64_MIN, int64_t, uint8_t, uint32_t, uint64_t

from pushcast.atomics cimport fence_acquire, load_acquire, load_acquire_i64, load_acquire_u32

cdef enum:
    SPAN_KEY = 1             # a cursor may join here
    SPAN_CONFIG = 2          # carries a decoder configuration
    SPAN_DISCONTINUITY = 4
    BLOCK_BITS = 6           # of a sequence number: its place in a block of the index
    BLOCK_SPANS = 1 << BLOCK_BITS

cdef extern from *:
    """
    #define PUSHCAST_NO_SPAN UINT64_MAX
    """
    const uint64_t NO_SPAN "PUSHCAST_NO_SPAN"

ctypedef struct Span:           # in the index stored with release order: its place is used again
    uint64_t offset          # first shared byte, from the start of the arena
    uint32_t size            # shared bytes
    uint32_t lead            # bytes of lead-in material standing right before offset (key spans), for joining cursors only
    int64_t dts              # 90 kHz
    uint32_t track
    uint32_t flags           # SPAN_*

ctypedef struct ring_t:
    uint8_t* arena
    uint64_t reserved        # bytes of address space
    uint64_t most            # of them, what the arena may grow to
    uint64_t limit           # where the writer wraps; grows up to most
    uint64_t write           # next free byte
    Span* spans              # all blocks of the index
    uint64_t* blocks         # by the numbers that stand in it: where a block begins in spans; stored with release order
    uint64_t block_mask      # number of blocks - 1
    uint64_t most_held       # how many spans are held at the most
    uint64_t head            # next sequence number; stored with release order
    uint64_t tail            # oldest sequence number whose bytes are whole; stored before they are overwritten
    uint64_t last_key        # newest key span, NO_SPAN when there is none
    uint64_t head_ns         # CLOCK_MONOTONIC when the newest span was written, 0 while nobody stays behind; stored with release order
    uint64_t ended           # 1 when the writer will write no more
    uint64_t bytes_per_s     # shared bytes per second of media, smoothed; 0 until known
    uint64_t keep_ticks      # media time to keep, 90 kHz: the arena grows until that much fits


cdef inline Span* ring_place(const ring_t* ring, uint64_t seq) noexcept nogil:
    """Where the span with this number stands in the index, or once stood."""
    return &ring.spans[load_acquire(&ring.blocks[seq >> BLOCK_BITS & ring.block_mask]) + (seq & (BLOCK_SPANS - 1))]


cdef inline bint ring_span(const ring_t* ring, uint64_t seq, Span* span) noexcept nogil:
    """Copies the span with this number; False when it is gone or not yet written.

    Its place in the index may be given to a later span meanwhile.  Whoever reads a word of that one sees the tail that was moved before.
    """
    cdef const Span* place = ring_place(ring, seq)
    if seq >= load_acquire(&ring.head) or seq < load_acquire(&ring.tail):
        return False
    span.offset = load_acquire(&place.offset)
    span.size = load_acquire_u32(&place.size)
    span.lead = load_acquire_u32(&place.lead)
    span.dts = load_acquire_i64(&place.dts)
    span.track = load_acquire_u32(&place.track)
    span.flags = load_acquire_u32(&place.flags)
    return seq >= load_acquire(&ring.tail)


cdef inline bint ring_intact(const ring_t* ring, uint64_t seq) noexcept nogil:
    """True when nothing at or behind seq was overwritten up to now: ask after the bytes, or the index, were used."""
    fence_acquire()
    return seq >= load_acquire(&ring.tail)


cdef inline void ring_walk(const ring_t* ring, uint64_t* seq, uint32_t* at, size_t size) noexcept nogil:
    """Go so many bytes on.  Where that leads is right only if ring_intact says afterwards that the span it began in is still there."""
    cdef uint32_t rest
    while size:
        rest = load_acquire_u32(&ring_place(ring, seq[0]).size) - at[0]
        if size < rest:
            at[0] += <uint32_t>size
            return
        size -= rest
        seq[0] += 1
        at[0] = 0


cdef inline int64_t ring_dts(const ring_t* ring, uint64_t seq) noexcept nogil:
    """Of span seq; `ring_intact` tells whether it was still there."""
    return load_acquire_i64(&ring_place(ring, seq).dts)


cdef inline uint64_t ring_lag_ms(const ring_t* ring, uint64_t seq) noexcept nogil:
    """Media time between span seq, or the oldest one when seq is gone, and the head."""
    cdef uint64_t head
    cdef uint64_t oldest
    cdef int64_t lag_ticks
    while True:
        head = load_acquire(&ring.head)
        oldest = max(seq, load_acquire(&ring.tail))
        if oldest >= head:
            return 0
        lag_ticks = ring_dts(ring, head - 1) - ring_dts(ring, oldest)
        if ring_intact(ring, oldest):
            return <uint64_t>(lag_ticks // 90) if lag_ticks > 0 else 0


cdef inline int64_t ring_due(const ring_t* ring, int64_t now_ns, int64_t delay_ticks) noexcept nogil:
    """The DTS up to which spans are due to somebody who stays so far behind: media time goes on with the clock from the newest span on, if that is known.

    So a reader comes to the end of what a stream that is gone has left, and follows the clock of the stream while it lasts.
    """
    cdef uint64_t head = load_acquire(&ring.head)
    if head == 0:
        return INT64_MIN
    cdef int64_t head_ns = <int64_t>load_acquire(&ring.head_ns)
    cdef int64_t since_ns = now_ns - head_ns if head_ns else 0
    cdef int64_t newest = ring_dts(ring, head - 1)
    return newest + max(since_ns, 0) * 9 // 100000 - delay_ticks


cdef inline uint64_t ring_due_key(const ring_t* ring, int64_t due_dts) noexcept nogil:
    """The newest key span that is due, NO_SPAN when none is."""
    cdef uint64_t seq = load_acquire(&ring.last_key)
    cdef Span span
    while seq != NO_SPAN and ring_span(ring, seq, &span):
        if span.flags & SPAN_KEY and span.dts <= due_dts:
            return seq
        if seq == 0:
            break
        seq -= 1
    return NO_SPAN


@cython.final
cdef class Ring:
    cdef ring_t c
    cdef uint32_t reserved_bytes   # size of the reservation under way
    cdef int64_t newest_dts        # INT64_MIN until the first span
    cdef int64_t key_dts           # of the newest key span, INT64_MIN until there is one
    cdef int64_t gop_ticks         # longest distance of two key spans
    cdef int64_t window_dts        # where the byte rate's window began
    cdef uint64_t window_bytes
    cdef uint64_t first_block      # oldest block of numbers that has memory of its own
    cdef uint64_t places_used      # of the index's memory, from its beginning

    cdef uint8_t* reserve(self, size_t size) except NULL
    cdef uint64_t commit(self, uint32_t lead, uint32_t size, int64_t dts, uint32_t flags, uint32_t track) except? 0xFFFFFFFFFFFFFFFF
    cdef bint _short_of_media(self) noexcept
    cdef void _begin_block(self, uint64_t number) noexcept
    cdef size_t _index_bytes(self) noexcept
    cdef void _measure(self, uint32_t size, int64_t dts, uint32_t flags) noexcept
    cdef Span _at(self, uint64_t seq) except *
