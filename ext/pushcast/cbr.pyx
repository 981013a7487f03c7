"""CbrMuxer: frames to MPEG-TS packets at a constant rate.  ISO/IEC 13818-1 2.4.2.

Packet n begins n * 1504 / muxrate seconds after packet 0.  The clock of the stream is that count and nothing else: a PCR is the time of its own place, to a
27 MHz unit, and the rate is exact over any length.

A frame is written when it comes, at its DTS on that clock: until then null packets pass.  One that comes while the clock is already past its DTS, because a
keyframe before it was large, is written at once; it has the decode delay to arrive in.  PCRs and tables are written when they are due, also inside a PES packet.
So a muxrate must carry the stream's largest frames within the decode delay.  Frames that arrive too late for their decoding are counted; a stream that is
a second too late needs a higher rate, and ends its feed with a sentence that says so.

What the ring then holds is to leave at just that rate: see pace.pyx.  A gap in the input of more than 1.5 s is not filled: the clock begins anew behind it.
"""
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memset

from pushcast.frame cimport FRAME_DISCONTINUITY, Frame
from pushcast.mpegts cimport KEY_AFTER, NEVER, TICK, TsMuxer, put_table
from pushcast.pes cimport (
    AF_DISCONTINUITY, AF_RANDOM_ACCESS, PACKET_BYTES, PAYLOAD_BYTES, PAYLOAD_ONLY, SYNC_BYTE, es_t, put_pes_rest, put_pes_start,
    scatter_t,
)
from pushcast.ring cimport SPAN_DISCONTINUITY, SPAN_KEY, Ring
from pushcast.wire cimport put_u32

from pushcast.errors import MediaError

cdef enum:
    PACKET_BITS = 8 * PACKET_BYTES
    BASE_BYTES = 10              # of a packet, before the byte with the last bit of program_clock_reference_base: 2.4.2.2
    NULL_PID = 0x1FFF
    NULL_TRACK = 0xFFFFFFFF
    FILL_PACKETS = 2048          # of null packets in one span

cdef int64_t CLOCK_HZ = 27000000
cdef int64_t CLOCK_JUMP = 1500 * 27000
cdef int64_t TOO_LATE = 1000 * 27000


cdef uint8_t* put_null(uint8_t* out) noexcept nogil:
    memset(put_u32(out, <uint32_t>SYNC_BYTE << 24 | <uint32_t>NULL_PID << 8 | PAYLOAD_ONLY), 0xFF, PAYLOAD_BYTES)
    return out + PACKET_BYTES


cdef class CbrMuxer(TsMuxer):
    """CbrMuxer(ring, tracks, options): like TsMuxer, at options.mux_bits_per_s.

    ``null_packets``: written so far; ``late``: access units whose last byte left after their time of decoding.
    """

    def __cinit__(self, Ring ring not None, tracks, options):
        if options.mux_bits_per_s <= 0:
            raise ValueError(f"mux_bits_per_s: found {options.mux_bits_per_s}, expected more than 0")
        self.bits_per_s = options.mux_bits_per_s
        self.packet_time = PACKET_BITS * CLOCK_HZ // <int64_t>self.bits_per_s
        self.packet_rest = <uint64_t>(PACKET_BITS * CLOCK_HZ) % self.bits_per_s
        self.base_delay = 8 * BASE_BYTES * CLOCK_HZ // <int64_t>self.bits_per_s
        self.clock = NEVER
        self.tables_after += self.pcr_step      # they are due by themselves, and not with the next clock
        # At a join point the tables come before the clock, whenever that is due.
        self.pcr_step = max(self.pcr_step - (1 + self.pat.count + self.pmt.count) * self.packet_time, self.packet_time)

    cdef int _write_span(self, const Frame* frame, es_t* es, scatter_t* scatter, size_t pes_bytes, bint random_access) except -1:
        """Null packets up to the frame's time, then all that goes out with its PES packet."""
        cdef bint key = self._makes_key(frame, es, random_access)
        cdef int64_t earliest = TICK * frame.dts
        cdef uint32_t flags = AF_RANDOM_ACCESS if random_access or key else 0
        cdef size_t left = pes_bytes
        cdef size_t packets
        cdef uint8_t* room
        cdef uint8_t* shared
        cdef uint8_t* out
        if self.clock == NEVER or earliest - self.clock > CLOCK_JUMP:
            self.clock_jumped = self.clock != NEVER
            self.clock, self.clock_rest = earliest, 0
            self.first_dts, self.media_bytes = frame.dts, 0
            self.pcr = self.tables_due = self.sdt_due = NEVER
        self._fill(earliest)
        packets = pes_bytes // PAYLOAD_BYTES + 3
        # Between two of them a packet of ours passes at least, so that this bounds what a clock and tables may add.
        packets += (packets * <size_t>(self.packet_time + 1) // <size_t>min(self.pcr_step, self.tables_after + 1) + 4) * (
            1 + self.pat.count + self.pmt.count + self.sdt.count)
        room = self.ring.reserve((packets + 3 + self.es_count) * PACKET_BYTES)
        shared = out = self._put_lead(room) if key else room
        es.dts = frame.dts
        if key:
            self.tables_due = self.pcr = NEVER
        out = put_pes_start(self._put_due(out), es, scatter, &left, flags, 0)
        self._pass(1)
        while left:
            out = self._put_due(out)
            packets = min(self._packets_until(self.pcr + self.pcr_step), self._packets_until(self.tables_due))
            packets = min(max(packets, 1), (left + PAYLOAD_BYTES - 1) // PAYLOAD_BYTES)
            out = put_pes_rest(out, es, scatter, &left, packets)
            self._pass(packets)
        if key:
            self.key_due = frame.dts + KEY_AFTER
        flags = (SPAN_KEY if key else 0) | (SPAN_DISCONTINUITY if frame.flags & FRAME_DISCONTINUITY else 0)
        self.ring.commit(<uint32_t>(shared - room), <uint32_t>(out - shared), frame.dts, flags, frame.track)
        self.media_bytes += pes_bytes
        return self._judge(frame)

    cdef void _pass(self, uint64_t packets) noexcept nogil:
        """So many packets were written."""
        self.clock_rest += packets * self.packet_rest
        self.clock += <int64_t>packets * self.packet_time + <int64_t>(self.clock_rest // self.bits_per_s)
        self.clock_rest %= self.bits_per_s

    cdef size_t _packets_until(self, int64_t due) noexcept nogil:
        """Whole packets that pass before something is due which may be early, but not late."""
        return <size_t>((due - self.clock) // (self.packet_time + 1)) if due > self.clock else 0

    cdef uint8_t* _put_due(self, uint8_t* out) noexcept nogil:
        """Tables and the clock, if they cannot wait until another packet has passed."""
        # Two clocks and an SDT may come before them, and then another packet.
        cdef bint tables = self.clock + (3 + self.sdt.count) * self.packet_time >= self.tables_due
        cdef bint begins = self.pcr == NEVER
        cdef bint names = not begins and self.clock >= self.sdt_due
        cdef uint32_t ahead = 1 + (self.pat.count + self.pmt.count if tables else 0) + (self.sdt.count if names else 0)
        if not begins and self.clock + ahead * self.packet_time > self.pcr + self.pcr_step:
            out = self._put_own_clock(out)
        if tables:
            out = self._put_tables(out, self.clock)
            self._pass(self.pat.count + self.pmt.count)
        if begins:
            out = self._put_own_clock(out)
        if names:
            out = put_table(out, &self.sdt)
            self.sdt_due = self.clock + self.sdt_after
            self._pass(self.sdt.count)
        return out

    cdef uint8_t* _put_own_clock(self, uint8_t* out) noexcept nogil:
        """The clock as of its own place."""
        out = self._put_clock(out, self.clock + self.base_delay, AF_DISCONTINUITY if self.clock_jumped else 0)
        self.clock_jumped = False
        self.pcr = self.clock
        self._pass(1)
        return out

    cdef int _fill(self, int64_t until) except -1:
        """Null packets, with what is due between them, until the clock is there."""
        cdef uint8_t* room
        cdef uint8_t* out
        cdef int64_t began
        while self.clock < until:
            began = self.clock
            room = out = self.ring.reserve((FILL_PACKETS + 1 + self.pat.count + self.pmt.count + self.sdt.count) * PACKET_BYTES)
            while self.clock < until and out - room < FILL_PACKETS * PACKET_BYTES:
                out = self._put_due(out)
                if self.clock < until:
                    out = put_null(out)
                    self._pass(1)
                    self.null_packets += 1
            self.ring.commit(0, <uint32_t>(out - room), began // TICK, 0, NULL_TRACK)
        return 0

    cdef int _judge(self, const Frame* frame) except -1:
        """MediaError when the rate cannot carry the stream."""
        cdef int64_t over = self.clock - TICK * (frame.dts + self.delay)
        cdef int64_t ticks = max(frame.dts - self.first_dts, 90000)
        if over > 0:
            self.late += 1
        if over > TOO_LATE:
            raise MediaError(
                f"a muxrate of {self.bits_per_s} bit/s is too low: frames leave {over // 27000} ms after their time, and this stream"
                f" has {self.media_bytes * 8 * 90000 // <uint64_t>ticks} bit/s before tables, clock and headers"
            )
        return 0
