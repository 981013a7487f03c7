"""TsInput: a transport stream to frames of one Source.  Theory in tsinput.pyx."""
cimport cython
from libc.stdint cimport int64_t, uint32_t

from pushcast.source cimport Source
from pushcast.timebase cimport TimeBase, stamps_t
from pushcast.tspids cimport PidInput

cdef enum:
    TRACKS_MOST = 32


@cython.final
cdef class TsInput(PidInput):
    cdef readonly Source source
    cdef readonly tuple tracks           # what is known so far
    cdef readonly bint changed           # tracks are fixed, and a PMT says that there are others now
    cdef readonly int late_tracks
    cdef list other_programs             # not carried
    cdef list other_streams              # ... of this program, and why
    cdef readonly int program            # program_number of what is taken, 0 before the PAT
    cdef int wanted_program              # 0: the first one
    cdef list parsers
    cdef list listed                     # of the PMT in force, for each parser
    cdef uint32_t pat_crc
    cdef uint32_t pmt_crc
    cdef int64_t tables_paid             # up to which packet the tables that were read are paid for
    cdef readonly TimeBase time
    cdef stamps_t[TRACKS_MOST] stamps    # for each parser
    cdef bint clock_breaks               # discontinuity_indicator since the last PCR

    cdef bint may_read_table(self) noexcept
