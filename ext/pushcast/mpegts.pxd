"""The fields of TsMuxer."""
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from pushcast.frame cimport Frame
from pushcast.muxer cimport Muxer
from pushcast.pes cimport es_t, scatter_t

ctypedef struct psi_t:
    const uint8_t* packets   # one section as whole packets, counters 0; owned by TsMuxer.owned
    uint32_t count
    uint32_t pid
    uint8_t counter          # continuity_counter of its next packet


cdef extern from *:
    """
    #define PUSHCAST_NEVER INT64_MIN
    #define PUSHCAST_PCR_MODULUS (((int64_t)1 << 33) * 300)
    """
    const int64_t NEVER "PUSHCAST_NEVER"
    const int64_t PCR_MODULUS "PUSHCAST_PCR_MODULUS"

cdef enum:
    TICK = 300               # 27 MHz units in one of 90 kHz
    KEY_AFTER = 400 * 90     # 90 kHz: join points of a feed without video


cdef uint8_t* put_table(uint8_t* out, psi_t* table) noexcept nogil

cdef class TsMuxer(Muxer):
    cdef es_t* es                # the first one carries the PCR and, if it is video, makes the join points
    cdef uint32_t es_count
    cdef int64_t delay           # 90 kHz, added to every PTS and DTS
    cdef int64_t pcr             # last one written, 27 MHz, unwrapped; NEVER before the first
    cdef int64_t pcr_step        # 27 MHz: the longest from one PCR to the next
    cdef int64_t pcr_quiet       # frames of other tracks bring a PCR when the last one is this old
    cdef int64_t tables_after
    cdef int64_t sdt_after
    cdef int64_t tables_due      # PCR at which PAT and PMT are due again
    cdef int64_t sdt_due
    cdef int64_t key_due         # without video: DTS from which the next span is a join point
    cdef psi_t pat
    cdef psi_t pmt
    cdef psi_t sdt
    cdef dict owned              # every bytes object that a pointer above looks into
    cdef readonly uint64_t malformed

    cdef object _add_streams(self, list ordered, options)
    cdef object _add_stream(self, track, uint32_t pid)
    cdef int _own_psi(self, psi_t* table, uint32_t pid, bytes packets) except -1
    cdef int _configure(self, es_t* es, bytes config) except -1
    cdef es_t* _es_of(self, uint32_t track) noexcept nogil
    cdef int64_t _pcr_after(self, const es_t* written, int64_t dts) noexcept nogil
    cdef bint _makes_key(self, const Frame* frame, const es_t* es, bint random_access) noexcept nogil
    cdef int _write_span(self, const Frame* frame, es_t* es, scatter_t* scatter, size_t pes_bytes, bint random_access) except -1
    cdef int64_t _steps_to(self, const es_t* written, int64_t pcr, bint key) noexcept nogil
    cdef uint8_t* _put_clock(self, uint8_t* out, int64_t pcr, uint32_t flags) noexcept nogil
    cdef uint8_t* _put_tables(self, uint8_t* out, int64_t pcr) noexcept nogil
    cdef uint8_t* _put_lead(self, uint8_t* out) noexcept nogil
