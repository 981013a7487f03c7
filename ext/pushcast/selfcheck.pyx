"""SelfCheck: the transport stream of a feed, held against ETSI TR 101 290 while it is sent.

It reads the spans of the feed's ring where they lie, about once a second, and counts what a monitor at a receiver without loss would count: the errors of
priority 1 and 2 of tables 5.0a and 5.0b.  The rules themselves are those of the stream checker (verifyts), with the limits of TR 101 290; beside them
it looks for PIDs that are listed and do not come, and, at a constant rate, whether each PCR is the time of its place.

A second of 2.5 Mbit/s takes some 35 us.  Bytes that the writer has come round to meanwhile are not held against anybody: the check begins anew behind them.
"""
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc

from pushcast.monotonic cimport monotonic_ns
from pushcast.ring cimport Ring, Span, ring_intact, ring_span
from pushcast.tscheck cimport (
    CLOCK_WRAP, KIND_VIDEO, PID_LISTED, TS_CONTINUITY, TS_PACKET, TS_PAT_INTERVAL, TS_PCR_INTERVAL, TS_PCR_ORDER, TS_PIDS, TS_PMT_INTERVAL,
    TS_PROGRAMS, TS_PSI_CRC, TS_SCRAMBLED, TS_SYNC, TS_TRANSPORT_ERROR, get_pcr, ts_check_t, wrapped,
)
from pushcast.verifyts cimport ts_check_datagram, ts_check_init, ts_lost
from pushcast.wire cimport get_u16

cdef enum:
    LOOK_MS = 900                # at the most so often
    LOOK_BYTES = 8388608         # at one look: some 3 ms
    ABSENT_MS = 5000             # of a PID that is listed
    TABLE_LIMIT = 500 * 27000    # 27 MHz: TR 101 290 1.3 and 1.5
    ACCURACY = 14                # 27 MHz: 500 ns, and half a unit for each of two roundings: 2.4


cdef class SelfCheck:
    """SelfCheck(ring, mux_bits_per_s=0): of the spans that come from now on; with a rate, PCRs are held against their places."""

    def __cinit__(self, Ring ring not None, uint64_t mux_bits_per_s=0):
        self.c = <ts_check_t*>malloc(sizeof(ts_check_t))
        if self.c == NULL:
            raise MemoryError("the check of a transport stream")
        ts_check_init(self.c)
        self.c.table_limit = TABLE_LIMIT
        self.ring = ring
        self.bits_per_s = mux_bits_per_s
        self.seq = ring.c.head
        self.clock = -1

    def __dealloc__(self):
        free(self.c)

    def look(self, int64_t now_ns=0):
        """Check what has come since the last look, if that was long enough ago.  ``now_ns``: of any clock, 0: the monotonic one."""
        now_ns = now_ns or monotonic_ns()
        if now_ns - self.looked_ns < <int64_t>LOOK_MS * 1000000:
            return
        with nogil:
            self.read()
        self.look_for_absent((now_ns - self.looked_ns) // 1000000 if self.looked_ns else 0)
        self.looked_ns = now_ns

    cdef void read(self) noexcept nogil:
        cdef Span span
        cdef size_t left = LOOK_BYTES
        if not ring_intact(&self.ring.c, self.seq):
            self.begin_anew()
        while left and ring_span(&self.ring.c, self.seq, &span):
            ts_check_datagram(self.c, self.ring.c.arena + span.offset, span.size)
            if self.bits_per_s:
                self.check_clock(self.ring.c.arena + span.offset, span.size)
            if not ring_intact(&self.ring.c, self.seq):
                self.begin_anew()
                return
            self.seq += 1
            left -= min(left, <size_t>span.size)

    cdef void begin_anew(self) noexcept nogil:
        """Somewhere else: what lies between was not seen."""
        ts_lost(self.c)
        self.clock = -1
        self.seq = self.ring.c.head

    cdef void check_clock(self, const uint8_t* p, size_t size) noexcept nogil:
        """Hold each PCR against that before it and the packets between them."""
        cdef int64_t clock
        cdef int64_t off
        while size >= TS_PACKET:
            if p[3] & 0x20 and p[4] >= 7 and p[5] & 0x10 and get_u16(p + 1) & 0x1FFF == self.c.programs[0].pcr_pid:
                clock = get_pcr(p)
                if self.clock >= 0 and not p[5] & 0x80:
                    off = self.packets * TS_PACKET * 8 * 27000000 // <int64_t>self.bits_per_s - wrapped(clock - self.clock, CLOCK_WRAP)
                    self.inaccurate += not -ACCURACY <= off <= ACCURACY
                self.clock = clock
                self.packets = 0
            self.packets += 1
            p += TS_PACKET
            size -= TS_PACKET

    cdef void look_for_absent(self, int64_t elapsed_ms) noexcept nogil:
        """A PID of the PMT that has brought no PES packet for too long: TR 101 290 1.6."""
        cdef uint32_t i
        for i in range(self.c.pids_used):
            if self.c.pids[i].kind < KIND_VIDEO or not self.c.pids[i].flags & PID_LISTED or self.c.pids[i].units != self.units[i]:
                self.units[i] = self.c.pids[i].units
                self.absent_ms[i] = 0
                continue
            if self.absent_ms[i] < ABSENT_MS <= self.absent_ms[i] + elapsed_ms:
                self.absences += 1
            self.absent_ms[i] += elapsed_ms

    def counts(self):
        """Errors by the names of TR 101 290, `packets`, and the longest distances in ms."""
        cdef uint32_t i
        cdef uint64_t late = 0
        cdef int64_t pcr = 0, pat = 0, pmt = 0
        for i in range(self.c.pids_used):
            late += self.c.pids[i].late_stamps
        for i in range(TS_PROGRAMS):
            pcr = max(pcr, self.c.programs[i].longest_pcr)
            pat = max(pat, self.c.programs[i].pat.longest)
            pmt = max(pmt, self.c.programs[i].pmt.longest)
        cdef const uint32_t* errors = self.c.errors
        return {
            "ts_sync_loss": errors[TS_SYNC],
            "pat_error": errors[TS_PAT_INTERVAL],
            "continuity_count_error": errors[TS_CONTINUITY],
            "pmt_error": errors[TS_PMT_INTERVAL],
            "pid_error": self.absences,
            "transport_error": errors[TS_TRANSPORT_ERROR],
            "crc_error": errors[TS_PSI_CRC],
            "pcr_repetition_error": errors[TS_PCR_INTERVAL],
            "pcr_discontinuity_indicator_error": errors[TS_PCR_ORDER],
            "pcr_accuracy_error": self.inaccurate,
            "pts_error": late,
            "cat_error": errors[TS_SCRAMBLED],
            "packets": self.c.packets,
            "longest_pcr_ms": round(pcr / 27000.0, 3),
            "longest_pat_ms": round(pat / 27000.0, 3),
            "longest_pmt_ms": round(pmt / 27000.0, 3),
        }
