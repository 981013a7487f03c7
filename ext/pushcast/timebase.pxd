"""TimeBase: the clock of a program, and its stamps on one line.  Theory in timebase.pyx."""
cimport cython
from libc.stdint cimport int64_t, uint32_t

from pushcast.source cimport Source

ctypedef struct stamps_t:        # of one PID
    uint32_t epoch               # the one in which its PES packet of now began
    int64_t shift                # what moves the stamps of that packet
    int64_t last                 # newest DTS, moved; NO_STAMP before the first


@cython.final
cdef class TimeBase:
    cdef Source source
    cdef int64_t clock           # the newest time of any PID, 90 kHz, unwrapped and moved
    cdef int64_t first           # the first one
    cdef readonly int64_t shift  # 90 kHz: what stamps are moved by now
    cdef uint32_t epoch          # counts the time bases that there may have been
    cdef bint undecided          # no stamp has shown yet whether the last one is a new one
    cdef bint has_pcr
    cdef int64_t pcr             # the newest base, 33 bits
    cdef int64_t pcr_read        # engine time when it came
    cdef int64_t interval        # from PCR to PCR
    cdef int64_t passed          # from the last PCR before the new time base to its first, by the engine clock
    cdef int64_t distance        # what would make the new one go on

    cdef void take_pcr(self, int64_t pcr, bint said) noexcept
    cdef void begin(self, stamps_t* stamps) noexcept
    cdef void settle(self, stamps_t* stamps, int64_t stamp, bint decides) noexcept
    cdef int64_t unwrap(self, int64_t stamp) noexcept
    cdef void note(self, stamps_t* stamps, int64_t dts) noexcept
    cdef void _decide(self, stamps_t* stamps, int64_t stamp) noexcept
