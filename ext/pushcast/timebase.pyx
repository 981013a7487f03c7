"""TimeBase: the clock of one program, whose PTS and DTS come as times that go on.  ISO/IEC 13818-1 2.4.3.5 and 2.4.2.2.

**Wraps.**  Stamps are 33 bits; they are unwrapped by signed difference to the newest time of any track, so that no track is ever a wrap apart from
another.

**Discontinuities.**  An encoder that begins anew, or a splice, gives the program another time base.  It says so by discontinuity_indicator on the PCR PID, and
the next PCR is of the new one; PES packets that begin behind it are, those that began before are not, whatever their PID.  A PCR that goes back further than
packets overtake each other is of a new time base too, said or not.  How far the clock has moved is what its step differs from the engine clock's.  Whether the
stamps have moved with it, the first one behind it shows: it lies nearer to where its track was with that distance than without it.  If so, all tracks are moved by that one distance, whole
milliseconds, so that sound and picture stay as they are to each other.  A PCR that says so and goes on as before moves nothing.

What it does not do: a jump ahead that nobody said may be a loss, and passes; beyond ten seconds it is the Source's business.
"""
from libc.stdint cimport int64_t, uint32_t

from pushcast.esparser cimport NO_STAMP
from pushcast.source cimport Source
from pushcast.wrap cimport nearest

cdef int64_t MILLISECOND = 90
cdef int64_t WRAP = <int64_t>1 << 33
cdef int64_t INTERVAL_MOST = 100 * 90        # from PCR to PCR: 2.7.2
cdef int64_t AHEAD = 100 * 90                # of the engine clock: below, it may be jitter
cdef int64_t OVERTAKEN = 500 * 90            # what a datagram that others overtook may bring


cdef class TimeBase:
    """TimeBase(source): ``shift``: what stamps are moved by, 90 kHz."""

    def __cinit__(self, Source source not None):
        self.source = source
        self.clock = self.first = NO_STAMP

    cdef void take_pcr(self, int64_t pcr, bint said) noexcept:
        """The base of a PCR; ``said``: that a discontinuity was announced since the one before."""
        cdef int64_t now = self.source.clock.read()
        cdef int64_t step = nearest(pcr - self.pcr, WRAP)
        cdef int64_t passed = max(now - self.pcr_read, self.interval)
        if self.has_pcr and (step < -OVERTAKEN or (said and (step < 0 or step > passed + AHEAD))):
            self.epoch += 1
            self.distance = (passed - step) // MILLISECOND * MILLISECOND + (self.distance if self.undecided else 0)
            self.passed = passed
            self.undecided = True
        elif step < 0 and self.has_pcr:
            return                   # overtaken
        else:
            self.interval = min(step, INTERVAL_MOST) if self.has_pcr else 0
        self.has_pcr = True
        self.pcr = pcr
        self.pcr_read = now

    cdef void begin(self, stamps_t* stamps) noexcept:
        """A PES packet begins: its stamps are of the time base of now."""
        stamps.epoch = self.epoch
        stamps.shift = self.shift

    cdef void settle(self, stamps_t* stamps, int64_t stamp, bint decides) noexcept:
        """The packet has this DTS, as it came; ``decides``: stamps of this PID may be believed."""
        if stamps.epoch != self.epoch:
            return
        if self.undecided and decides:
            self._decide(stamps, stamp)
        stamps.shift = self.shift

    cdef void _decide(self, stamps_t* stamps, int64_t stamp) noexcept:
        cdef int64_t last = stamps.last if stamps.last != NO_STAMP else self.clock
        cdef int64_t stays, moves, distance
        self.undecided = False
        if last == NO_STAMP:
            return
        stays = nearest(stamp + self.shift - last, WRAP)
        moves = nearest(stays + self.distance, WRAP)
        if abs(moves - self.passed) >= abs(stays - self.passed):
            return
        distance = self.distance
        if moves <= 0:               # the new encoder is nearer to its clock than the old one was
            distance += (MILLISECOND - moves) // MILLISECOND * MILLISECOND
        self.shift += distance
        self.source.rebased(distance)

    cdef int64_t unwrap(self, int64_t stamp) noexcept:
        """``stamp`` is moved already."""
        return stamp if self.clock == NO_STAMP else self.clock + nearest(stamp - self.clock, WRAP)

    cdef void note(self, stamps_t* stamps, int64_t dts) noexcept:
        """DTS and PTS are near each other, and so is the next one to them."""
        self.clock = stamps.last = dts
        if self.first == NO_STAMP:
            self.first = dts
