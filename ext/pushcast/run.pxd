"""A run: bytes of a ring that leave in one send, in pieces that lie apart."""
from libc.stdint cimport int64_t, uint32_t, uint64_t

from pushcast.ring cimport ring_t
from pushcast.transport cimport MAX_PIECES, iovec

ctypedef struct run_t:
    iovec pieces[MAX_PIECES]
    uint32_t count
    size_t size                  # of all pieces, bytes
    bint final                   # it ends where the reader wanted to stop, and nothing is to come

cdef void gather(
    run_t* run, const ring_t* ring, uint64_t seq, uint32_t at, size_t most, uint64_t until, int64_t due_dts
) noexcept nogil
cdef void shorten(run_t* run, size_t less) noexcept nogil
