"""TsInput: a transport stream to frames of one Source.  Theory in tsinput.pyx."""
cimport cython
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from pushcast.psisection cimport section_t
from pushcast.source cimport Source
from pushcast.timebase cimport TimeBase, stamps_t

cdef enum:
    TS_BYTES = 188
    PIDS_MOST = 40           # PAT, PMT and the tracks that a Source takes, with room for a change

ctypedef struct input_pid_t:
    uint16_t pid
    uint8_t kind             # PID_*
    uint8_t counter          # continuity_counter of the last packet with payload
    bint counted             # counter is known
    bint video
    bint underway            # a PES packet has begun, and nothing of it is missing
    bint random_access
    int parser               # its place in TsInput.parsers, -1: none
    uint8_t* data            # the PES packet so far
    size_t filled
    size_t capacity
    size_t expected          # its whole size, 0: up to the next one
    stamps_t stamps
    section_t* section       # of PIDs that carry sections


@cython.final
cdef class TsInput:
    cdef readonly Source source
    cdef readonly tuple tracks           # what is known so far
    cdef readonly bint frozen            # the stream was announced: its tracks are fixed
    cdef readonly bint changed           # ... and a PMT says that there are others now
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
    cdef uint32_t pcr_pid
    cdef bint clock_breaks               # discontinuity_indicator since the last PCR
    cdef uint8_t[8192] index_of          # PID -> place in pids + 1, 0: not followed
    cdef input_pid_t[PIDS_MOST] pids
    cdef int pids_used
    cdef size_t buffered                 # bytes for PES packets, of all PIDs
    cdef uint8_t[TS_BYTES] carry
    cdef size_t carried
    cdef bint in_sync
    cdef uint64_t garbage                # bytes without sync since the last packet
    cdef readonly uint64_t packets
    cdef readonly uint64_t continuity_errors
    cdef readonly uint64_t transport_errors
    cdef readonly uint64_t scrambled
    cdef readonly uint64_t sync_losses
    cdef readonly uint64_t damaged_tables
    cdef uint64_t damaged_packets

    cdef int receive(self, const uint8_t* data, size_t size) except -1
    cdef size_t resync(self, const uint8_t* data, size_t size) except -1
    cdef int packet(self, const uint8_t* p) except -1
    cdef void look_at_clock(self, const uint8_t* p) noexcept
    cdef void lose(self, input_pid_t* s) noexcept
    cdef int pes_bytes(self, input_pid_t* s, const uint8_t* data, size_t size, bint start, bint random_access) except -1
    cdef int append(self, input_pid_t* s, const uint8_t* data, size_t size) except -1
    cdef int finish(self, input_pid_t* s) except -1
    cdef int section_bytes(self, input_pid_t* s, const uint8_t* data, size_t size, bint start) except -1
    cdef int drain_sections(self, input_pid_t* s, const uint8_t* data, size_t size) except -1
    cdef int whole_section(self, input_pid_t* s) except -1
    cdef bint may_read_table(self) noexcept
    cdef input_pid_t* follow(self, uint32_t pid, uint8_t kind) except NULL
    cdef void unfollow(self, uint32_t pid) noexcept
