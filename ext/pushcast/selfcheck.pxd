"""The fields of SelfCheck."""
cimport cython
from libc.stdint cimport int64_t, uint8_t, uint64_t

from pushcast.ring cimport Ring
from pushcast.tscheck cimport TS_PIDS, ts_check_t


@cython.final
cdef class SelfCheck:
    cdef ts_check_t* c
    cdef Ring ring
    cdef uint64_t bits_per_s     # 0: PCRs are not held against their places
    cdef uint64_t seq            # the next span
    cdef int64_t looked_ns
    cdef int64_t clock           # the last PCR, 27 MHz, -1 when there is none to compare with
    cdef int64_t packets         # since then, with its own
    cdef uint64_t inaccurate
    cdef uint64_t absences
    cdef uint64_t units[TS_PIDS]     # PES packets of each PID at the last look
    cdef int64_t absent_ms[TS_PIDS]  # since when they are the same

    cdef void read(self) noexcept nogil
    cdef void begin_anew(self) noexcept nogil
    cdef void check_clock(self, const uint8_t* p, size_t size) noexcept nogil
    cdef void look_for_absent(self, int64_t elapsed_ms) noexcept nogil
