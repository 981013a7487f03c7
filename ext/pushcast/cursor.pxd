"""A destination's cursor: the rules of joining, sending, falling behind and leaving.  Theory in cursor.pyx."""
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from pushcast.counters cimport counters_t
from pushcast.muxer cimport lead_in_t, peer_t
from pushcast.pace cimport pace_t
from pushcast.ring cimport ring_t
from pushcast.transport cimport transport_t

cdef enum:
    CURSOR_WAITING = 0           # for a key span to begin with
    CURSOR_RUNNING = 1
    CURSOR_DRAINING = 2          # asked to leave: finish, say the final bytes, be released
    CURSOR_DONE = 3              # lost or released: nothing is sent any more

ctypedef struct cursor_t:
    ring_t* ring                 # owned by the Destination's Ring object
    transport_t* transport       # owned by the Destination's Transport object
    lead_in_t lead_in
    counters_t* row
    uint64_t* tally              # counts what all that share it have sent; NULL when nobody asks
    peer_t peer
    uint64_t seq                 # span the cursor stands in
    uint64_t join_from           # WAITING: the first key span that will do
    uint32_t at                  # bytes of that span already taken
    uint32_t state               # CURSOR_*
    bint joined                  # seq and at stand somewhere; False while waiting for a key span
    bint caught_up               # has had everything that there was, since it joined or jumped
    uint32_t held_slots          # datagrams: slots that less than one datagram has waited since the last send
    int64_t max_lag_ticks        # 90 kHz
    int64_t delay_ticks          # 90 kHz: how far it stays behind the ring's head
    int64_t due_dts              # what has a later DTS is not due yet, at this slot
    int64_t stall_ns
    int64_t last_slot_ns
    int64_t drain_until_ns
    uint8_t* private_bytes       # lead-in, control bytes or the rest of a span, to go before anything else; NULL when there are none
    size_t private_size
    size_t private_at
    uint8_t* control             # to be said at the next span boundary; NULL when there is nothing
    size_t control_bytes
    int outcome                  # CURSOR_DONE: 0 released in order, else an errno
    pace_t pace

cdef bint cursor_say(cursor_t* cursor, uint8_t* said, size_t said_bytes) noexcept nogil
cdef void cursor_slot(cursor_t* cursor, int64_t now_ns, int64_t interval_ns, uint32_t peers) noexcept nogil
cdef void cursor_free(cursor_t* cursor) noexcept nogil
