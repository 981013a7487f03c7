"""A cursor on a ring and the socket behind it: what happens at one slot of one destination.

**Join.**  At the newest key span in the ring ("gop"), or at the next one ("next").  The key span's lead-in, made private for the peer, goes first.

**Slot.**  Private bytes first, then everything that is there, in one send.  A datagram transport gets whole datagrams; less than one
datagram waits one slot (40 of a paced one) for more, then goes out short.  The bytes of a slot are bounded by four times the feed's rate, so that a join
does not leave as one burst, and by eight times the rate for a cursor that has caught up: a keyframe should be out before the next frame comes.  A peer that
takes nothing is tried again at its next slot: no queue, no readiness poll.

**Delay.**  A cursor may stay behind the ring's head: what is younger is not there for it, neither to join nor to send.

**Pace.**  One that has a pace (pace.pyx) sends what that allows, in datagrams as full as ever.

**Fall behind.**  When the lag exceeds the bound, or the writer comes close, and a newer key span exists: finish the span in hand (byte streams), jump there, lead-in
again.  The rest of that span is set aside first, so that a peer may stand still for longer than the ring holds.  When there is no newer key span the cursor
goes on; when it was overwritten it waits for the next one.  Byte streams that were overwritten inside a span are lost, since the peer's framing is broken.

**Control.**  Replies of the protocol go out between spans, never inside one.

**Leave.**  Finish the span in hand; if the ring has ended, send up to its head; then the control bytes; then done.  A deadline bounds all that.

One thread runs a cursor.  Nothing here allocates, except at a join, at a jump and for control bytes.
"""
from libc.errno cimport ENOMEM, EOVERFLOW, ETIMEDOUT
from libc.stdint cimport INT64_MAX, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc, realloc
from libc.string cimport memcpy

from pushcast.atomics cimport add_relaxed, load_acquire, load_relaxed, store_relaxed
from pushcast.counters cimport count_sent
from pushcast.pace cimport PACE_NONE, pace_allows, pace_from, pace_took
from pushcast.ring cimport NO_SPAN, Span, ring_dts, ring_due, ring_due_key, ring_intact, ring_lag_ms, ring_span, ring_t, ring_walk
from pushcast.run cimport gather, run_t, shorten
from pushcast.transport cimport CLASS_SRT, iovec

cdef enum:
    RATE_HEADROOM = 4                # how much faster than the feed a destination may catch up
    FRAME_HEADROOM = 8               # and send once it has: a keyframe is out before the next frame comes
    SRT_LEAST_QUARTERS = 6           # the same in quarters for SRT, when many share its budget
    SRT_BYTES_PER_S = 50000000       # of all SRT destinations of a sender that catch up at once: libsrt's thread carries it with room
                                     # to spare; beyond that hundreds of joins at once cost each other packets
    FLOOR_DATAGRAMS = 16             # least budget of a slot: small feeds catch up in sensible runs
    UNKNOWN_DATAGRAMS = 64           # the same while the feed's rate is not known yet
    FLOOR_STREAM_BYTES = 262144
    HELD_SLOTS = 1                   # how many turns less than one datagram waits for more: receivers see no gap of three
    PACED_HELD_SLOTS = 40            # of a millisecond


cdef void cursor_slot(cursor_t* cursor, int64_t now_ns, int64_t interval_ns, uint32_t peers) noexcept nogil:
    """Do what is due at this slot.  Afterwards `state` may be CURSOR_DONE with `outcome` set.

    `peers`: destinations of the same class that this sender drives.
    """
    cdef int64_t elapsed_ns = now_ns - cursor.last_slot_ns
    cursor.last_slot_ns = now_ns
    if elapsed_ns < interval_ns:
        elapsed_ns = interval_ns
    elif elapsed_ns > 10 * interval_ns:
        elapsed_ns = 10 * interval_ns
    cursor.due_dts = ring_due(cursor.ring, now_ns, cursor.delay_ticks) if cursor.delay_ticks else INT64_MAX
    if cursor.state == CURSOR_DRAINING and now_ns >= cursor.drain_until_ns:
        finish(cursor, ETIMEDOUT)
        return
    if not send_private(cursor, now_ns):
        if cursor.state == CURSOR_RUNNING:
            note_lag(cursor)
        return
    if cursor.control != NULL and cursor.at == 0 and cursor.state != CURSOR_DRAINING:
        take_control(cursor)
        if not send_private(cursor, now_ns):
            return
    if cursor.state == CURSOR_WAITING and not join(cursor):
        return
    if cursor.state == CURSOR_RUNNING:
        if not keep_up(cursor):
            send_private(cursor, now_ns)
            return
        if cursor.state != CURSOR_RUNNING or not send_private(cursor, now_ns):
            return
        send_media(cursor, now_ns, budget_bytes(cursor, elapsed_ns, peers), NO_SPAN)
    elif cursor.state == CURSOR_DRAINING:
        drain(cursor, now_ns, budget_bytes(cursor, elapsed_ns, peers))


cdef void note_lag(cursor_t* cursor) noexcept nogil:
    """How far it is behind where it should be."""
    cdef uint64_t lag_ms = ring_lag_ms(cursor.ring, cursor.seq)
    if cursor.delay_ticks:
        lag_ms -= min(lag_ms, <uint64_t>cursor.delay_ticks // 90)
    store_relaxed(&cursor.row.lag_ms, lag_ms)


cdef void finish(cursor_t* cursor, int outcome) noexcept nogil:
    cursor.state = CURSOR_DONE
    cursor.outcome = outcome


cdef void drain(cursor_t* cursor, int64_t now_ns, size_t budget) noexcept nogil:
    """The way out.  One that was still waiting joins now if the ring has ended: what is there is all there will be.  What is not due is not waited for."""
    cdef uint64_t until = cursor.seq + 1 if cursor.at else cursor.seq
    cdef bint ended = load_acquire(&cursor.ring.ended) != 0 and all_due(cursor)
    if not cursor.joined and ended and join(cursor):
        cursor.state = CURSOR_DRAINING
        if not send_private(cursor, now_ns):
            return
    if cursor.joined:
        if ended:
            until = load_acquire(&cursor.ring.head)
        if cursor.seq < until:
            send_media(cursor, now_ns, budget, until)
            if cursor.state != CURSOR_DRAINING or cursor.seq < until:
                return
    if cursor.control != NULL:
        take_control(cursor)
    if send_private(cursor, now_ns):
        finish(cursor, 0)


cdef bint all_due(const cursor_t* cursor) noexcept nogil:
    """No span of the ring is still too young for it."""
    cdef uint64_t head = load_acquire(&cursor.ring.head)
    return head == 0 or ring_dts(cursor.ring, head - 1) <= cursor.due_dts


cdef uint64_t newest_key(const cursor_t* cursor) noexcept nogil:
    """The newest key span that is there for it."""
    return ring_due_key(cursor.ring, cursor.due_dts) if cursor.delay_ticks else load_acquire(&cursor.ring.last_key)


cdef bint join(cursor_t* cursor) noexcept nogil:
    """Begin at the newest key span if it will do; True when the cursor runs."""
    cdef uint64_t key = newest_key(cursor)
    if key == NO_SPAN or key < cursor.join_from or not ring_intact(cursor.ring, key):
        return False
    begin_at(cursor, key)
    return cursor.state == CURSOR_RUNNING


cdef void begin_at(cursor_t* cursor, uint64_t key) noexcept nogil:
    """Stand before this key span with its lead-in as private bytes."""
    cdef Span span
    cdef uint8_t* made
    cdef Py_ssize_t size
    if not ring_span(cursor.ring, key, &span):
        wait_for_next(cursor)
        return
    cursor.seq = key
    cursor.at = 0
    cursor.held_slots = 0
    cursor.caught_up = False
    cursor.joined = True
    cursor.state = CURSOR_RUNNING
    pace_from(&cursor.pace, key)
    if span.lead == 0:
        return
    made = <uint8_t*>malloc(2 * <size_t>span.lead + 64)
    if made == NULL:
        finish(cursor, ENOMEM)
        return
    if cursor.lead_in == NULL:
        memcpy(made, cursor.ring.arena + span.offset - span.lead, span.lead)
        size = span.lead
    else:
        size = cursor.lead_in(cursor.ring.arena + span.offset - span.lead, span.lead, &cursor.peer, made, 2 * <size_t>span.lead + 64)
    if size < 0 or not ring_intact(cursor.ring, key):
        free(made)
        wait_for_next(cursor)
        return
    cursor.private_bytes = made
    cursor.private_size = <size_t>size
    cursor.private_at = 0


cdef void wait_for_next(cursor_t* cursor) noexcept nogil:
    cursor.join_from = load_acquire(&cursor.ring.head)
    cursor.at = 0
    cursor.joined = False
    store_relaxed(&cursor.row.lag_ms, 0)
    if cursor.state != CURSOR_DRAINING:
        cursor.state = CURSOR_WAITING


cdef bint keep_up(cursor_t* cursor) noexcept nogil:
    """Measure the lag; jump when it is too large and a newer key span exists.  False: no more media at this slot, for a jump is due at the next."""
    cdef uint64_t head = load_acquire(&cursor.ring.head)
    cdef uint64_t tail = load_acquire(&cursor.ring.tail)
    cdef uint64_t key
    cdef bint late
    if cursor.seq < tail:
        overwritten(cursor, cursor.at != 0)
        return True
    note_lag(cursor)
    late = cursor.row.lag_ms * 90 > <uint64_t>cursor.max_lag_ticks
    if cursor.seq >= head or (not late and cursor.seq - tail > (head - tail) // 8):
        return True
    key = newest_key(cursor)
    if key == NO_SPAN or key <= cursor.seq or (not late and tail == 0):
        return True
    if cursor.at and cursor.transport.datagram == 0:
        keep_rest(cursor)
        return False
    add_relaxed(&cursor.row.jumps, 1)
    add_relaxed(&cursor.row.skipped_spans, key - cursor.seq)
    begin_at(cursor, key)
    return True


cdef void keep_rest(cursor_t* cursor) noexcept nogil:
    """Make what the peer lacks of the span in hand private bytes: a byte stream can be jumped in behind it, however long the peer takes for it."""
    cdef Span span
    cdef size_t rest
    if not ring_span(cursor.ring, cursor.seq, &span):
        overwritten(cursor, True)
        return
    rest = span.size - cursor.at
    cursor.private_bytes = <uint8_t*>malloc(rest)
    if cursor.private_bytes == NULL:
        finish(cursor, ENOMEM)
        return
    memcpy(cursor.private_bytes, cursor.ring.arena + span.offset + cursor.at, rest)
    cursor.private_size = rest
    cursor.private_at = 0
    if not ring_intact(cursor.ring, cursor.seq):
        overwritten(cursor, True)
        return
    cursor.seq += 1
    cursor.at = 0
    pace_from(&cursor.pace, cursor.seq)


cdef void overwritten(cursor_t* cursor, bint inside) noexcept nogil:
    """The writer lapped the cursor; `inside`: the peer has, or lacks, a part of a span."""
    add_relaxed(&cursor.row.damaged, 1)
    if inside and cursor.transport.datagram == 0:
        finish(cursor, EOVERFLOW)
        return
    add_relaxed(&cursor.row.jumps, 1)
    add_relaxed(&cursor.row.skipped_spans, load_acquire(&cursor.ring.head) - cursor.seq)
    wait_for_next(cursor)


cdef size_t budget_bytes(const cursor_t* cursor, int64_t elapsed_ns, uint32_t peers) noexcept nogil:
    """How much may leave at this slot."""
    cdef uint64_t rate = load_acquire(&cursor.ring.bytes_per_s)
    cdef uint64_t quarters = 4 * RATE_HEADROOM
    cdef size_t floor = FLOOR_STREAM_BYTES
    cdef size_t by_rate
    if cursor.caught_up:
        quarters = 4 * FRAME_HEADROOM
    elif cursor.transport.class_ == CLASS_SRT and rate:
        quarters = 4 * <uint64_t>SRT_BYTES_PER_S // (rate * max(peers, 1))
        quarters = min(max(quarters, SRT_LEAST_QUARTERS), 4 * RATE_HEADROOM)
    by_rate = <size_t>(quarters * rate // 4 * <uint64_t>(elapsed_ns // 1000) // 1000000)
    if cursor.transport.datagram:
        floor = FLOOR_DATAGRAMS * quarters // (4 * RATE_HEADROOM) if rate else UNKNOWN_DATAGRAMS
        floor *= cursor.transport.datagram
        by_rate -= by_rate % cursor.transport.datagram
    return by_rate if by_rate > floor else floor


cdef void send_media(cursor_t* cursor, int64_t now_ns, size_t budget, uint64_t until) noexcept nogil:
    """Send what the ring holds up to (not including) span `until`, within the budget, in one send."""
    cdef run_t run
    cdef size_t datagram = cursor.transport.datagram
    cdef size_t rest = 0
    cdef Py_ssize_t taken
    if cursor.pace.kind != PACE_NONE:
        budget = paced(cursor, budget, now_ns)
        if budget == 0:
            return
    gather(&run, cursor.ring, cursor.seq, cursor.at, budget, until, cursor.due_dts)
    cdef size_t there = run.size
    if datagram and not run.final:
        rest = run.size % datagram
        if rest == run.size:
            if cursor.held_slots < (HELD_SLOTS if cursor.pace.kind == PACE_NONE else PACED_HELD_SLOTS):
                cursor.held_slots += run.size != 0
                return
            rest = 0
        if rest:
            shorten(&run, rest)
    if run.size == 0:
        return
    taken = cursor.transport.send(cursor.transport, run.pieces, run.count, run.size)
    if taken <= 0:
        blocked(cursor, <int>-taken, now_ns)
        return
    cursor.held_slots = 0
    if <size_t>taken == run.size and there < budget:
        cursor.caught_up = True
    took_media(cursor, <size_t>taken, now_ns)


cdef size_t paced(cursor_t* cursor, size_t budget, int64_t now_ns) noexcept nogil:
    """What of the budget the pace allows, in whole datagrams unless less than one waits; 0: nothing yet."""
    cdef size_t datagram = cursor.transport.datagram
    cdef size_t allowed = min(budget, pace_allows(&cursor.pace, cursor.ring, cursor.due_dts, now_ns))
    if datagram == 0 or allowed == 0:
        return allowed
    if allowed >= datagram:
        return allowed - allowed % datagram
    return datagram if cursor.pace.waiting_bytes <= allowed else 0


cdef void took_media(cursor_t* cursor, size_t taken, int64_t now_ns) noexcept nogil:
    """Count, and move the cursor if the bytes were still whole when they left."""
    cdef counters_t* row = cursor.row
    cdef uint64_t seq = cursor.seq
    cdef uint32_t at = cursor.at
    cdef int64_t gap_ns
    ring_walk(cursor.ring, &seq, &at, taken)
    if cursor.pace.kind != PACE_NONE:
        pace_took(&cursor.pace, taken)
    if row.last_send_ns:
        gap_ns = now_ns - <int64_t>row.last_send_ns
        if gap_ns > <int64_t>load_relaxed(&row.max_gap_ns):
            store_relaxed(&row.max_gap_ns, <uint64_t>gap_ns)
    else:
        store_relaxed(&row.first_send_ns, <uint64_t>now_ns)
    store_relaxed(&row.last_send_ns, <uint64_t>now_ns)
    count_sent(row, cursor.tally, taken)
    add_relaxed(&row.media_bytes, taken)
    add_relaxed(&row.sends, 1)
    store_relaxed(&row.refused, cursor.transport.refused)
    store_relaxed(&row.short_sends, cursor.transport.short_sends)
    store_relaxed(&cursor.row.blocked_since_ns, 0)
    if not ring_intact(cursor.ring, cursor.seq):
        overwritten(cursor, True)
        return
    cursor.seq = seq
    cursor.at = at


cdef void blocked(cursor_t* cursor, int code, int64_t now_ns) noexcept nogil:
    """The transport took nothing: lost (code is an errno), or full (0)."""
    store_relaxed(&cursor.row.refused, cursor.transport.refused)
    store_relaxed(&cursor.row.short_sends, cursor.transport.short_sends)
    if code:
        finish(cursor, code)
    elif cursor.row.blocked_since_ns == 0:
        store_relaxed(&cursor.row.blocked_since_ns, <uint64_t>now_ns)
    elif now_ns - <int64_t>cursor.row.blocked_since_ns > cursor.stall_ns:
        finish(cursor, ETIMEDOUT)


cdef bint send_private(cursor_t* cursor, int64_t now_ns) noexcept nogil:
    """Send private bytes; True when none are left."""
    cdef iovec rest
    cdef Py_ssize_t taken
    if cursor.private_bytes == NULL:
        return cursor.state != CURSOR_DONE
    rest.iov_base = cursor.private_bytes + cursor.private_at
    rest.iov_len = cursor.private_size - cursor.private_at
    taken = cursor.transport.send(cursor.transport, &rest, 1, rest.iov_len)
    if taken <= 0:
        blocked(cursor, <int>-taken, now_ns)
        return False
    store_relaxed(&cursor.row.blocked_since_ns, 0)
    cursor.private_at += <size_t>taken
    count_sent(cursor.row, cursor.tally, <size_t>taken)
    if cursor.private_at < cursor.private_size:
        return False
    free(cursor.private_bytes)
    cursor.private_bytes = NULL
    return True


cdef bint cursor_say(cursor_t* cursor, uint8_t* said, size_t said_bytes) noexcept nogil:
    """Take over control bytes (NULL: none) to be said.  One that is done says nothing more.  False when there is no memory."""
    cdef uint8_t* made
    if said == NULL:
        return True
    if cursor.state == CURSOR_DONE:
        free(said)
        return True
    if cursor.control == NULL:
        cursor.control = said
        cursor.control_bytes = said_bytes
        return True
    made = <uint8_t*>realloc(cursor.control, cursor.control_bytes + said_bytes)
    if made != NULL:
        memcpy(made + cursor.control_bytes, said, said_bytes)
        cursor.control = made
        cursor.control_bytes += said_bytes
    free(said)
    return made != NULL


cdef void take_control(cursor_t* cursor) noexcept nogil:
    """Make all waiting control bytes private bytes."""
    cursor.private_bytes = cursor.control
    cursor.private_size = cursor.control_bytes
    cursor.private_at = 0
    cursor.control = NULL
    cursor.control_bytes = 0


cdef void cursor_free(cursor_t* cursor) noexcept nogil:
    """Free what a cursor owns; nobody may run it any more."""
    free(cursor.control)
    cursor.control = NULL
    free(cursor.private_bytes)
    cursor.private_bytes = NULL
