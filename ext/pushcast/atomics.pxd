"""Words that one thread writes and others read without a lock.

Acquire and release: who reads a word sees what was written before it, and who sees what was written after a word sees the
word.  Relaxed: a figure of which nothing else hangs.  On x86 each of them is the plain mov that it looks like; saying it
keeps the compiler from splitting, repeating or inventing accesses, and tells the thread sanitizer what is meant.
"""
from libc.stdint cimport int64_t, uint32_t, uint64_t

cdef extern from *:
    """
    #define pushcast_load_acquire(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
    #define pushcast_store_release(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
    #define pushcast_load_relaxed(p) __atomic_load_n((p), __ATOMIC_RELAXED)
    #define pushcast_store_relaxed(p, v) __atomic_store_n((p), (v), __ATOMIC_RELAXED)
    #define pushcast_add_relaxed(p, n) __atomic_store_n((p), *(p) + (n), __ATOMIC_RELAXED)
    #define pushcast_add_shared(p, n) __atomic_fetch_add((p), (n), __ATOMIC_RELAXED)
    #define pushcast_fence_acquire() __atomic_thread_fence(__ATOMIC_ACQUIRE)
    #define pushcast_fence_release() __atomic_thread_fence(__ATOMIC_RELEASE)
    #define pushcast_fence_all() __atomic_thread_fence(__ATOMIC_SEQ_CST)
    """
    uint64_t load_acquire "pushcast_load_acquire"(const uint64_t* p) noexcept nogil
    uint32_t load_acquire_u32 "pushcast_load_acquire"(const uint32_t* p) noexcept nogil
    int64_t load_acquire_i64 "pushcast_load_acquire"(const int64_t* p) noexcept nogil
    void store_release "pushcast_store_release"(uint64_t* p, uint64_t v) noexcept nogil
    void store_release_u32 "pushcast_store_release"(uint32_t* p, uint32_t v) noexcept nogil
    void store_release_i64 "pushcast_store_release"(int64_t* p, int64_t v) noexcept nogil
    uint64_t load_relaxed "pushcast_load_relaxed"(const uint64_t* p) noexcept nogil
    uint32_t load_relaxed_u32 "pushcast_load_relaxed"(const uint32_t* p) noexcept nogil
    void store_relaxed "pushcast_store_relaxed"(uint64_t* p, uint64_t v) noexcept nogil
    void store_relaxed_u32 "pushcast_store_relaxed"(uint32_t* p, uint32_t v) noexcept nogil
    # Adds to a figure that this thread alone writes: a load and a store, no locked instruction.
    void add_relaxed "pushcast_add_relaxed"(uint64_t* p, uint64_t n) noexcept nogil
    # ... that several threads write.
    void add_shared "pushcast_add_shared"(uint64_t* p, uint64_t n) noexcept nogil
    # Between accesses that cannot be atomic themselves: bytes that are copied by the kernel or the C library.
    void fence_acquire "pushcast_fence_acquire"() noexcept nogil
    void fence_release "pushcast_fence_release"() noexcept nogil
    void fence_all "pushcast_fence_all"() noexcept nogil
