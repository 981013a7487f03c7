"""Ring: a byte arena and an index of spans; one writer, many cursors.  See ring.pyx for the theory."""
cimport cython
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

cdef extern from *:
    """
    #include <stdatomic.h>
    #define pushcast_load(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
    #define pushcast_store(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
    #define pushcast_fence_acquire() __atomic_thread_fence(__ATOMIC_ACQUIRE)
    #define pushcast_fence_release() __atomic_thread_fence(__ATOMIC_RELEASE)
    #define pushcast_fence_all() __atomic_thread_fence(__ATOMIC_SEQ_CST)
    """
    uint64_t load_acquire "pushcast_load"(const uint64_t* p) noexcept nogil
    void store_release "pushcast_store"(uint64_t* p, uint64_t v) noexcept nogil
    void fence_acquire "pushcast_fence_acquire"() noexcept nogil
    void fence_release "pushcast_fence_release"() noexcept nogil
    void fence_all "pushcast_fence_all"() noexcept nogil

cdef enum:
    SPAN_KEY = 1             # a cursor may join here
    SPAN_CONFIG = 2          # carries a decoder configuration
    SPAN_DISCONTINUITY = 4

cdef extern from *:
    """
    #define PUSHCAST_NO_SPAN UINT64_MAX
    """
    const uint64_t NO_SPAN "PUSHCAST_NO_SPAN"

ctypedef struct Span:
    uint64_t offset          # first shared byte, from the start of the arena
    uint32_t size            # shared bytes
    uint32_t lead            # bytes of lead-in material standing right before offset (key spans), for joining cursors only
    int64_t dts              # 90 kHz
    uint32_t track
    uint32_t flags           # SPAN_*

ctypedef struct ring_t:
    uint8_t* arena
    uint64_t reserved        # bytes of address space
    uint64_t limit           # where the writer wraps; grows up to reserved
    uint64_t write           # next free byte
    Span* spans
    uint64_t mask            # number of spans - 1
    uint64_t head            # next sequence number; stored with release order
    uint64_t tail            # oldest sequence number whose bytes are whole; stored before they are overwritten
    uint64_t last_key        # newest key span, NO_SPAN when there is none
    uint64_t ended           # 1 when the writer will write no more
    uint64_t bytes_per_s     # shared bytes per second of media, smoothed; 0 until known
    uint64_t keep_ticks      # media time to keep, 90 kHz: the arena grows until that much fits


cdef inline const Span* ring_at(const ring_t* ring, uint64_t seq) noexcept nogil:
    """The span with this number; NULL when it is gone or not yet written."""
    if seq >= load_acquire(&ring.head) or seq < load_acquire(&ring.tail):
        return NULL
    return &ring.spans[seq & ring.mask]


cdef inline bint ring_intact(const ring_t* ring, uint64_t seq) noexcept nogil:
    """True when nothing at or behind seq was overwritten up to now: ask after the bytes were used."""
    fence_acquire()
    return seq >= load_acquire(&ring.tail)


@cython.final
cdef class Ring:
    cdef ring_t c
    cdef uint32_t reserved_bytes   # size of the reservation under way
    cdef int64_t newest_dts        # INT64_MIN until the first span
    cdef int64_t key_dts           # of the newest key span, INT64_MIN until there is one
    cdef int64_t gop_ticks         # longest distance of two key spans
    cdef int64_t window_dts        # where the byte rate's window began
    cdef uint64_t window_bytes

    cdef uint8_t* reserve(self, size_t size) except NULL
    cdef uint64_t commit(self, uint32_t lead, uint32_t size, int64_t dts, uint32_t flags, uint32_t track) except? 0xFFFFFFFFFFFFFFFF
    cdef bint _short_of_media(self) noexcept
    cdef void _measure(self, uint32_t size, int64_t dts, uint32_t flags) noexcept
    cdef const Span* _at(self, uint64_t seq) except NULL
