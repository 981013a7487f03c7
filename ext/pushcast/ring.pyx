"""Ring: container bytes of one feed, written once, read by every cursor.

The arena is one stretch of address space; pages are touched as the writer reaches them.  Spans lie in it one behind the other and never wrap, so
neighbouring spans are one contiguous run, except where the writer wrapped and where a key span's lead-in material stands between.

The writer never waits.  Before it overwrites bytes, or a place in the index, it moves `tail` past every span that it will damage.  A reader therefore
copies a span by `ring_span`, which looks at `tail` again at the end, and asks `ring_intact` once it is done with the bytes; if the answer is no, what it
read may be damaged.  The words of the index are atomic, so that a copy is right or known to be wrong.  The bytes of the arena are not: the kernel reads
them while the writer may have come round, and that is the one data race there is, on bytes that are thrown away.

The arena starts small.  When the writer reaches its end and less media is held than `keep_ms` (or two GOPs, whichever is longer), the end moves
outwards instead of wrapping, until the reserved space is used up.  So a ring costs the memory that its bitrate needs.  The index is made of blocks, and
one that `tail` has left is where the next numbers stand: it costs what its spans need, and stays in the caches.

One thread writes (the event loop); any thread reads.  `head`, `tail`, `last_key`, `ended`, `bytes_per_s` and the index are stored with release order.
"""
cimport cython
from libc.stdint cimport INT64_MIN, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from pushcast.atomics cimport fence_all, fence_release, store_release, store_release_i64, store_release_u32
from pushcast.monotonic cimport monotonic_ns

from pushcast.errors import MediaError

cdef extern from "<sys/mman.h>" nogil:
    void* mmap(void* addr, size_t length, int prot, int flags, int fd, long offset)
    int munmap(void* addr, size_t length)
    enum:
        PROT_READ
        PROT_WRITE
        MAP_PRIVATE
        MAP_ANONYMOUS
        MAP_NORESERVE

cdef extern from *:
    """
    #define PUSHCAST_MAP_FAILED(p) ((p) == MAP_FAILED)
    """
    bint map_failed "PUSHCAST_MAP_FAILED"(void* p) noexcept nogil

cdef extern from *:
    """
    #if defined(__SANITIZE_THREAD__)
    void AnnotateBenignRaceSized(const char* file, int line, const volatile void* first, unsigned long size, const char* why);
    #else
    #define AnnotateBenignRaceSized(file, line, first, size, why) ((void)0)
    #endif
    static void pushcast_bytes_used_again(const uint8_t* first, size_t size) {
        AnnotateBenignRaceSized(__FILE__, __LINE__, first, size, "a reader throws away what was overwritten: ring_intact");
    }
    """
    # For the thread sanitizer alone.  Until then it checks the bytes too: that they are written before they are published.
    void bytes_used_again "pushcast_bytes_used_again"(const uint8_t* first, size_t size) noexcept nogil

cdef enum:
    MOST_BYTES = 67108864    # of an arena that nobody asked to keep more: 26 s of 20 Mbit/s
    STREAMED_BYTES = 262144  # the C library may copy more than this with streaming stores, which overtake earlier ones

cdef int64_t TICKS_PER_SECOND = 90000


cdef class Ring:
    """Ring(reserve_bytes=67108864, start_bytes=1048576, spans=8192, keep_ms=4000)

    ``reserve_bytes``: upper bound of the arena, of which it takes 64 MiB at the most before keep() asks for more; ``start_bytes``: its first size;
    ``spans``: how many it holds at the most, a power of two (a block of the index is given up at once: at times 63 fewer); ``keep_ms``: media time that the arena grows to hold.
    """

    def __cinit__(self, size_t reserve_bytes=64 << 20, size_t start_bytes=1 << 20, size_t spans=8192, int64_t keep_ms=4000):
        if spans < 2 or spans & (spans - 1):
            raise ValueError(f"spans: found {spans}, expected a power of two")
        if not 4096 <= start_bytes <= reserve_bytes:
            raise ValueError(f"start_bytes: found {start_bytes}, expected 4096 to reserve_bytes ({reserve_bytes})")
        if keep_ms < 0:
            raise ValueError(f"keep_ms: found {keep_ms}, expected 0 or more")
        self.c.last_key = NO_SPAN
        self.c.most_held = spans
        self.c.block_mask = max(spans >> BLOCK_BITS, 2) - 1
        self.c.reserved = reserve_bytes
        self.c.most = min(reserve_bytes, MOST_BYTES)
        self.c.limit = start_bytes
        self.c.keep_ticks = keep_ms * 90
        self.window_dts = INT64_MIN
        self.newest_dts = INT64_MIN
        self.key_dts = INT64_MIN
        self.c.blocks = <uint64_t*>calloc(self.c.block_mask + 1, sizeof(uint64_t))
        cdef void* index = mmap(NULL, self._index_bytes(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
        self.c.spans = NULL if map_failed(index) else <Span*>index
        if self.c.blocks == NULL or self.c.spans == NULL:
            raise MemoryError("the index of a ring")
        cdef void* arena = mmap(NULL, reserve_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)
        if map_failed(arena):
            raise MemoryError(f"{reserve_bytes} bytes of address space for a ring")
        self.c.arena = <uint8_t*>arena

    def __dealloc__(self):
        if self.c.arena != NULL:
            munmap(self.c.arena, self.c.reserved)
        if self.c.spans != NULL:
            munmap(self.c.spans, self._index_bytes())
        free(self.c.blocks)

    cdef size_t _index_bytes(self) noexcept:
        return ((self.c.block_mask + 1) << BLOCK_BITS) * sizeof(Span)

    cdef uint8_t* reserve(self, size_t size) except NULL:
        """Room for at most `size` bytes at one stretch.  The reservation ends with the next reserve or commit.

        MediaError when a single frame would need more than a quarter of the ring: it would leave no room for anybody's lag.
        """
        cdef ring_t* ring = &self.c
        if size > ring.most // 4:
            raise MediaError(f"a frame of {size} bytes: at most {ring.most // 4} fit this ring")
        cdef uint64_t start = ring.write
        cdef uint64_t oldest_start
        cdef const Span* oldest
        if start + size > ring.limit and self._short_of_media():
            while ring.limit < start + size + 1 and ring.limit < ring.most:
                ring.limit = min(ring.limit * 2, ring.most)
        cdef bint wrapped = start + size > ring.limit
        if wrapped:
            if ring.limit < size:
                ring.limit = min(max(ring.limit * 2, size), ring.most)
            start = 0
        cdef uint64_t tail = ring.tail
        while tail < ring.head:
            oldest = ring_place(ring, tail)
            oldest_start = oldest.offset - oldest.lead
            if (wrapped and oldest_start >= ring.write) or start <= oldest_start < start + size:
                tail += 1
            else:
                break
        if tail != ring.tail:
            store_release(&ring.tail, tail)
            # No byte may change before every reader can see that it is gone.
            if size < STREAMED_BYTES:
                fence_release()
            else:
                fence_all()
            bytes_used_again(ring.arena, ring.reserved)
        if wrapped:
            ring.write = 0
        self.reserved_bytes = <uint32_t>size
        return ring.arena + start

    cdef void _begin_block(self, uint64_t number) noexcept:
        """Give a block of numbers its place: where those stood whose spans are gone, or memory that nothing has used yet.

        A reader that is late finds spans there that came later, and then that the tail has moved.
        """
        cdef ring_t* ring = &self.c
        cdef uint64_t first = self.first_block
        cdef uint64_t begin = self.places_used
        if number - first > ring.block_mask and ring.tail < (first + 1) << BLOCK_BITS:
            store_release(&ring.tail, (first + 1) << BLOCK_BITS)
        if (first + 1) << BLOCK_BITS <= ring.tail:
            begin = ring.blocks[first & ring.block_mask]
            self.first_block = first + 1
        else:
            self.places_used += BLOCK_SPANS
        store_release(&ring.blocks[number & ring.block_mask], begin)

    cdef bint _short_of_media(self) noexcept:
        """True when wrapping now would leave less than keep_ms, or less than two GOPs, for readers."""
        cdef ring_t* ring = &self.c
        if ring.limit >= ring.most or ring.tail == ring.head:
            return ring.limit < ring.most
        cdef int64_t held = self.newest_dts - ring_place(ring, ring.tail).dts
        cdef int64_t gop = self.gop_ticks
        if self.key_dts != INT64_MIN and self.newest_dts - self.key_dts > gop:
            gop = self.newest_dts - self.key_dts
        return held < max(<int64_t>ring.keep_ticks, 2 * gop)

    cdef uint64_t commit(self, uint32_t lead, uint32_t size, int64_t dts, uint32_t flags, uint32_t track) except? 0xFFFFFFFFFFFFFFFF:
        """Publish the reservation's first lead + size bytes as the next span; returns its sequence number."""
        cdef ring_t* ring = &self.c
        if <uint64_t>lead + size > self.reserved_bytes:
            raise ValueError(f"commit of {lead} + {size} bytes into a reservation of {self.reserved_bytes}")
        self.reserved_bytes = 0
        cdef uint64_t seq = ring.head
        if seq - ring.tail >= ring.most_held:
            store_release(&ring.tail, seq - ring.most_held + 1)
        if seq & (BLOCK_SPANS - 1) == 0:
            self._begin_block(seq >> BLOCK_BITS)
        cdef Span* span = ring_place(ring, seq)
        store_release(&span.offset, ring.write + lead)
        store_release_u32(&span.size, size)
        store_release_u32(&span.lead, lead)
        store_release_i64(&span.dts, dts)
        store_release_u32(&span.track, track)
        store_release_u32(&span.flags, flags)
        ring.write += lead + size
        self._measure(size, dts, flags)
        if ring.head_ns:
            store_release(&ring.head_ns, <uint64_t>monotonic_ns())
        store_release(&ring.head, seq + 1)
        if flags & SPAN_KEY:
            store_release(&ring.last_key, seq)
        return seq

    cdef void _measure(self, uint32_t size, int64_t dts, uint32_t flags) noexcept:
        """Keep the byte rate (per second of media, smoothed over about four seconds) and the longest GOP seen."""
        if self.window_dts == INT64_MIN:
            self.window_dts = dts
            self.newest_dts = dts
        if dts > self.newest_dts:
            self.newest_dts = dts
        if flags & SPAN_KEY:
            if self.key_dts != INT64_MIN and dts - self.key_dts > self.gop_ticks:
                self.gop_ticks = min(dts - self.key_dts, 60 * TICKS_PER_SECOND)
            self.key_dts = dts
        cdef int64_t elapsed = self.newest_dts - self.window_dts
        cdef uint64_t rate
        if elapsed >= TICKS_PER_SECOND:
            rate = self.window_bytes * <uint64_t>TICKS_PER_SECOND // <uint64_t>elapsed
            store_release(&self.c.bytes_per_s, rate if self.c.bytes_per_s == 0 else (3 * self.c.bytes_per_s + rate) // 4)
            self.window_dts = self.newest_dts
            self.window_bytes = 0
        self.window_bytes += size

    def end(self):
        """No more spans will come; cursors that reach the head are done."""
        store_release(&self.c.ended, 1)

    @property
    def head(self):
        return self.c.head

    @property
    def tail(self):
        return self.c.tail

    @property
    def last_key(self):
        """Sequence number of the newest key span, None when there is none."""
        return None if self.c.last_key == NO_SPAN else self.c.last_key

    @property
    def bytes_per_s(self):
        return self.c.bytes_per_s

    @property
    def capacity_bytes(self):
        """The arena's size now; it grows up to reserve_bytes."""
        return self.c.limit

    def keep(self, int64_t ms):
        """Hold at least so much media from now on, in all the space that is reserved, and know how old it is, for those who stay behind.  Less than
        before changes nothing.
        """
        if ms * 90 > <int64_t>self.c.keep_ticks:
            self.c.keep_ticks = ms * 90
            self.c.most = self.c.reserved
            store_release(&self.c.head_ns, <uint64_t>monotonic_ns())

    def due_in_ms(self, int64_t delay_ms):
        """How long until the oldest key span is so far behind the newest span; 0 when it is, None while there is none."""
        cdef int64_t due = ring_due(&self.c, monotonic_ns(), delay_ms * 90)
        cdef Span span
        cdef uint64_t seq = self.c.tail
        while ring_span(&self.c, seq, &span):
            if span.flags & SPAN_KEY:
                return max(span.dts - due, 0) // 90
            seq += 1
        return None

    @property
    def idle_ms(self):
        """How long nothing was written, of a ring that was asked to keep() more; 0 of others."""
        return (monotonic_ns() - <int64_t>self.c.head_ns) // 1000000 if self.c.head_ns else 0

    def write(self, const uint8_t[::1] data not None, int64_t dts, uint32_t flags=0, uint32_t track=0, const uint8_t[::1] lead=None):
        """Write one span from bytes; returns its sequence number."""
        cdef size_t lead_size = 0 if lead is None else lead.shape[0]
        cdef size_t size = data.shape[0]
        cdef uint8_t* room = self.reserve(max(lead_size + size, 1))
        if lead_size:
            memcpy(room, &lead[0], lead_size)
        if size:
            memcpy(room + lead_size, &data[0], size)
        return self.commit(<uint32_t>lead_size, <uint32_t>size, dts, flags, track)

    def span(self, uint64_t seq):
        """(offset, size, lead, dts, flags, track) of a span; IndexError when it is gone or not yet there."""
        cdef Span span = self._at(seq)
        return span.offset, span.size, span.lead, span.dts, span.flags, span.track

    def read(self, uint64_t seq):
        """The shared bytes of a span."""
        cdef Span span = self._at(seq)
        return (<const char*>self.c.arena)[span.offset:span.offset + span.size]

    def read_lead(self, uint64_t seq):
        """The lead-in material of a span, as the muxer stored it."""
        cdef Span span = self._at(seq)
        return (<const char*>self.c.arena)[span.offset - span.lead:span.offset]

    cdef Span _at(self, uint64_t seq) except *:
        cdef Span span
        if not ring_span(&self.c, seq, &span):
            raise IndexError(f"span {seq}: the ring holds {self.c.tail} to {self.c.head}")
        return span
