"""Runs: what a ring holds from a place on, as pieces for one send.

Neighbours in the arena make one piece; a new one begins behind each lead-in and where the writer wrapped.
"""
from libc.stdint cimport INT64_MAX, int64_t, uint32_t, uint64_t

from pushcast.atomics cimport load_acquire, load_acquire_i64, load_acquire_u32
from pushcast.ring cimport NO_SPAN, Ring, Span, ring_intact, ring_place, ring_t


cdef void gather(
    run_t* run, const ring_t* ring, uint64_t seq, uint32_t at, size_t most, uint64_t until, int64_t due_dts
) noexcept nogil:
    """At most `most` bytes, before span `until` and of spans whose DTS is not later than due_dts; nothing when span seq is gone."""
    cdef uint64_t last = min(until, load_acquire(&ring.head))
    cdef uint64_t first = seq
    cdef uint64_t end = NO_SPAN
    cdef const Span* place
    cdef uint64_t offset
    cdef size_t size
    run.count = 0
    run.size = 0
    while seq < last and run.size < most:
        place = ring_place(ring, seq)
        if due_dts != INT64_MAX and load_acquire_i64(&place.dts) > due_dts:
            break
        offset = load_acquire(&place.offset)
        size = load_acquire_u32(&place.size)
        if offset == end:
            run.pieces[run.count - 1].iov_len += size
        elif run.count == MAX_PIECES:
            break
        else:
            run.pieces[run.count].iov_base = ring.arena + offset + at
            run.pieces[run.count].iov_len = size - at
            run.count += 1
        end = offset + size
        run.size += size - at
        at = 0
        seq += 1
    run.final = seq >= until
    if not ring_intact(ring, first):
        run.size = 0
        run.final = False
    elif run.size > most:
        shorten(run, run.size - most)
        run.final = False


cdef void shorten(run_t* run, size_t less) noexcept nogil:
    """Take so many bytes off the end."""
    run.size -= less
    while less >= run.pieces[run.count - 1].iov_len:
        less -= run.pieces[run.count - 1].iov_len
        run.count -= 1
    run.pieces[run.count - 1].iov_len -= less


def gathered(Ring ring not None, uint64_t seq, uint32_t at=0, size_t most=1 << 30, until=None, int64_t due_dts=INT64_MAX):
    """The pieces of a run as bytes, and whether it is final: for who has no socket."""
    cdef run_t run
    gather(&run, &ring.c, seq, at, most, NO_SPAN if until is None else until, due_dts)
    cdef uint32_t index
    pieces = [(<const char*>run.pieces[index].iov_base)[:run.pieces[index].iov_len] for index in range(run.count)] if run.size else []
    return pieces, bool(run.final)
