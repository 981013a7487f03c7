"""Pulse: one look at what a destination has sent and its peer has confirmed, against the look before.

Hundreds of sessions are looked at each second, and between two looks everything that belongs to one has left the caches: so
a look touches one object, one row of counters and one socket, and says in one number what it found.  The sentences are health.py's.
"""
cimport cython
from libc.stdint cimport int64_t, uint64_t
from libc.string cimport memset
from posix.time cimport CLOCK_REALTIME, clock_gettime, timespec

from pushcast.atomics cimport load_relaxed
from pushcast.counters cimport blocked_ns, counters_t
from pushcast.monotonic cimport monotonic_ns
from pushcast.destination cimport Destination
from pushcast.transport cimport seen_t, transport_t

cdef enum:
    WELL = 0
    TAKES_NOTHING                # figure: for how many seconds
    CONFIRMS_NOTHING             # figure: for how many seconds
    OVERLOADED
    BEHIND                       # figure: how many seconds
    JUMPED
    DROPPED                      # figure: how many packets
    REFUSED
    RESENT                       # figure: percent of what was sent
    SILENT                       # figure: for how many seconds

    RESENT_PERCENT = 5           # a path that loses more than that is on its edge

FOUND_WELL = WELL
FOUND_TAKES_NOTHING = TAKES_NOTHING
FOUND_CONFIRMS_NOTHING = CONFIRMS_NOTHING
FOUND_OVERLOADED = OVERLOADED
FOUND_BEHIND = BEHIND
FOUND_JUMPED = JUMPED
FOUND_DROPPED = DROPPED
FOUND_REFUSED = REFUSED
FOUND_RESENT = RESENT
FOUND_SILENT = SILENT

cdef int64_t LAG_MS = 1000
cdef int64_t SILENT_NS = 5000000000
cdef int64_t TROUBLE_NS = 30000000000    # how long what was lost shows, so that somebody can see it

TROUBLE_S = TROUBLE_NS / 1e9


@cython.final
cdef class Pulse:
    """Pulse(destination, now_ns, stalled_ms)

    Made when the session begins, with the monotonic time of that.  ``destination``: None for who only weighs figures;
    ``stalled_ms``: how long a peer may take or confirm nothing.

    ``bits_per_s``: between the last two looks; ``confirmed_time``: seconds since the epoch at the latest look that saw
    something newly confirmed, 0 before; ``figure``: belongs to what the last look found.
    """

    def __cinit__(self, Destination destination, int64_t now_ns, int64_t stalled_ms):
        self.destination = destination
        self.stalled_ns = stalled_ms * 1000000
        self.at_ns = self.confirmed_ns = now_ns
        memset(&self.figures, 0, sizeof(figures_t))
        memset(&self.seen, 0, sizeof(seen_t))

    def look(self, bint overloaded=False):
        """One of FOUND_*; ``overloaded``: the sender says so of its queue."""
        if self.destination is None:
            raise ValueError("a pulse without a destination has nothing to look at")
        cdef const counters_t* row = self.destination.c.cursor.row
        cdef transport_t* transport = &self.destination.transport.c
        cdef bint may_see = transport.see != NULL and not self.destination.transport.closed
        cdef int64_t now_ns = monotonic_ns()
        cdef figures_t figures
        cdef seen_t seen
        cdef int found
        figures.sent_bytes = load_relaxed(&row.sent_bytes)
        figures.jumps = load_relaxed(&row.jumps)
        figures.refused = load_relaxed(&row.refused)
        figures.lag_ms = load_relaxed(&row.lag_ms)
        figures.last_send_ns = <int64_t>load_relaxed(&row.last_send_ns)
        figures.blocked_ns = blocked_ns(row, now_ns)
        with nogil:                  # libsrt may have us wait for what its own threads hold
            found = self.weigh(&figures, &seen if may_see and transport.see(transport, &seen) else NULL, overloaded, now_ns)
        return found

    def weigh_figures(self, int64_t now_ns, *, uint64_t sent_bytes=0, uint64_t jumps=0, uint64_t refused=0, uint64_t lag_ms=0,
                      int64_t last_send_ns=0, int64_t blocked_ms=0, seen=None, bint overloaded=False):
        """The same of figures that are given; ``seen``: (confirmed, sent, sent again, dropped, whether it owes a confirmation)."""
        cdef figures_t figures
        cdef seen_t known
        figures.sent_bytes, figures.jumps, figures.refused = sent_bytes, jumps, refused
        figures.lag_ms, figures.last_send_ns, figures.blocked_ns = lag_ms, last_send_ns, blocked_ms * 1000000
        if seen is not None:
            known.confirmed, known.sent, known.resent, known.dropped, known.waits = seen
        return self.weigh(&figures, NULL if seen is None else &known, overloaded, now_ns)

    cdef int weigh(self, const figures_t* figures, const seen_t* seen, bint overloaded, int64_t now_ns) noexcept nogil:
        cdef double waits_s
        cdef double silent_s
        if now_ns > self.at_ns:
            self.bits_per_s = <double>(figures.sent_bytes - self.figures.sent_bytes) * 8e9 / <double>(now_ns - self.at_ns)
        waits_s = self.waits_s(seen, now_ns)
        self.note_trouble(figures, seen, now_ns)
        self.at_ns = now_ns
        self.figures = figures[0]
        if seen != NULL:
            self.seen = seen[0]
        self.figure = 0.0
        if figures.blocked_ns >= self.stalled_ns:
            self.figure = <double>figures.blocked_ns / 1e9
            return TAKES_NOTHING
        if waits_s * 1e9 >= <double>self.stalled_ns:
            self.figure = waits_s
            return CONFIRMS_NOTHING
        if overloaded:
            return OVERLOADED
        if <int64_t>figures.lag_ms > LAG_MS:
            self.figure = <double>figures.lag_ms / 1000
            return BEHIND
        if self.trouble:
            self.figure = self.trouble_figure
            return self.trouble
        if figures.last_send_ns and now_ns - figures.last_send_ns >= SILENT_NS:
            self.figure = <double>(now_ns - figures.last_send_ns) / 1e9
            return SILENT
        return WELL

    cdef double waits_s(self, const seen_t* seen, int64_t now_ns) noexcept nogil:
        """For how long the peer owes a confirmation."""
        cdef timespec now
        cdef bint news
        if seen == NULL:
            return 0.0
        news = not self.confirms or seen.confirmed != self.seen.confirmed
        if news:
            clock_gettime(CLOCK_REALTIME, &now)
            self.confirmed_time = <double>now.tv_sec + <double>now.tv_nsec / 1e9
        if news or not seen.waits:
            self.confirms = True
            self.confirmed_ns = now_ns
        return <double>(now_ns - self.confirmed_ns) / 1e9

    cdef void note_trouble(self, const figures_t* figures, const seen_t* seen, int64_t now_ns) noexcept nogil:
        """What was lost since the look before, or a while ago."""
        cdef int64_t sent = 0
        cdef int64_t resent = 0
        cdef int64_t dropped = 0
        cdef int trouble = WELL
        cdef double figure = 0.0
        if seen != NULL:
            sent = <int64_t>(seen.sent - self.seen.sent)
            resent = <int64_t>(seen.resent - self.seen.resent)
            dropped = <int64_t>(seen.dropped - self.seen.dropped)
        if figures.jumps > self.figures.jumps:
            trouble = JUMPED
        elif dropped > 0:
            trouble, figure = DROPPED, <double>dropped
        elif figures.refused > self.figures.refused:
            trouble = REFUSED
        elif sent > 0 and resent * 100 > RESENT_PERCENT * sent:
            trouble, figure = RESENT, min(100.0 * <double>resent / <double>sent, 100.0)
        if trouble:
            self.trouble, self.trouble_figure, self.trouble_ns = trouble, figure, now_ns
        elif self.trouble and now_ns - self.trouble_ns > TROUBLE_NS:
            self.trouble = WELL
