"""Counters of all destinations: rows of numpy structured arrays that C writes without locks."""
cimport cython
from libc.stdint cimport int64_t, uint64_t

from pushcast.atomics cimport add_relaxed, add_shared, load_relaxed

ctypedef struct counters_t:     # every word stored and loaded relaxed; two cache lines, so that neighbours do not share one
    uint64_t sent_bytes          # taken by the transport: media, lead-ins and control
    uint64_t media_bytes         # of these, shared bytes of the ring
    uint64_t sends               # calls that took something
    uint64_t jumps               # moves to a keyframe because the destination fell behind
    uint64_t skipped_spans       # spans left out by jumps
    uint64_t damaged             # runs that were overwritten while they were sent (the writer lapped the cursor)
    uint64_t first_send_ns       # CLOCK_MONOTONIC of the first media send, 0 before
    uint64_t last_send_ns
    uint64_t max_gap_ns          # longest pause between two media sends
    uint64_t lag_ms              # media time between the cursor and the ring's head, at the last slot
    uint64_t refused             # UDP: ICMP refusals
    uint64_t short_sends         # sends that took less than was offered
    uint64_t dropped_packets     # SRT: given up because they had become too late
    uint64_t send_buffer_ms      # SRT: media time that waits for acknowledgement, looked at once a second
    uint64_t send_buffer_allowed_ms   # SRT: what waits longer comes too late for the peer
    uint64_t blocked_since_ns    # CLOCK_MONOTONIC since when the peer takes nothing, 0 while it takes something


cdef inline void count_sent(counters_t* row, uint64_t* tally, size_t taken) noexcept nogil:
    """``tally``: where else it counts, NULL for nowhere."""
    add_relaxed(&row.sent_bytes, taken)
    if tally != NULL:
        add_shared(tally, taken)


cdef inline int64_t blocked_ns(const counters_t* row, int64_t now_ns) noexcept nogil:
    """For how long the peer has taken nothing."""
    cdef int64_t since_ns = <int64_t>load_relaxed(&row.blocked_since_ns)
    return max(now_ns - since_ns, 0) if since_ns else 0


@cython.final
cdef class Tally:
    cdef uint64_t sent           # written by every sender thread that has one of its destinations
    cdef readonly size_t destinations


@cython.final
cdef class CounterTable:
    cdef list blocks             # numpy arrays; a block never moves, so a row's address holds as long as the table
    cdef list free_rows

    cdef counters_t* row(self, size_t index) except NULL
