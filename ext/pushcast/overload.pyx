"""Overload of a transport that queues by itself, which is libsrt: its send call takes everything, whatever becomes of it.

Two figures give it away: packets that were dropped because they had become too late, and media in the send buffer that is older than the peer will
wait for.  They are looked at once a second for each destination, at its own turn: three microseconds that never come for all of them at once.
"""
from libc.stdint cimport int64_t, uint32_t

from pushcast.atomics cimport store_relaxed
from pushcast.counters cimport counters_t
from pushcast.transport cimport backlog_t, transport_t

cdef enum:
    LOOK_NS = 1000000000
    STRAINED_LOOKS = 2           # a full buffer seen once may have been one late acknowledgement
    EASY_LOOKS = 5


cdef int look_for_overload(overload_t* overload, transport_t* transport, counters_t* row, int64_t now_ns) noexcept nogil:
    """Look if it is time to, and keep the figures in the row; returns LOAD_*."""
    cdef backlog_t backlog
    cdef bint dropped
    if now_ns < overload.look_at_ns or transport.look == NULL:
        return LOAD_AS_BEFORE
    overload.look_at_ns = now_ns + LOOK_NS
    if not transport.look(transport, &backlog):
        return LOAD_AS_BEFORE
    dropped = backlog.dropped_packets > row.dropped_packets
    store_relaxed(&row.dropped_packets, backlog.dropped_packets)
    store_relaxed(&row.send_buffer_ms, backlog.buffer_ms)
    store_relaxed(&row.send_buffer_allowed_ms, backlog.allowed_ms)
    if dropped or backlog.buffer_ms > backlog.allowed_ms:
        overload.strained_looks += 1
        overload.easy_looks = 0
    else:
        overload.strained_looks = 0
        overload.easy_looks += 1
    if not overload.overloaded and (dropped or overload.strained_looks >= STRAINED_LOOKS):
        overload.overloaded = True
        return LOAD_TOO_MUCH
    if overload.overloaded and overload.easy_looks >= EASY_LOOKS:
        overload.overloaded = False
        return LOAD_EASY_AGAIN
    return LOAD_AS_BEFORE
