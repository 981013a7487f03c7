"""PidInput: packets to whole PES packets and sections.  Theory in tspids.pyx."""
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from pushcast.psisection cimport section_t
from pushcast.tspackets cimport PacketInput

cdef enum:
    PIDS_MOST = 40           # PAT, PMT and the tracks that a Source takes, with room for a change
    NO_PID = 0x2000

cdef enum:                   # what is on a PID
    PID_PAT = 1
    PID_PMT = 2
    PID_PES = 3
    PID_SPLICE = 4           # sections of splice information

ctypedef struct input_pid_t:
    uint16_t pid
    uint8_t kind             # PID_*, 0: not in use
    uint8_t counter          # continuity_counter of the last packet with payload
    bint counted             # counter is known
    bint video
    bint underway            # a PES packet has begun, and nothing of it is missing
    bint random_access
    int reader               # the subclass's number for who takes it, -1: nobody
    uint8_t* data            # the PES packet so far
    size_t filled
    size_t capacity
    size_t expected          # its whole size, 0: up to the next one
    section_t* section       # of PIDs that carry sections


cdef class PidInput(PacketInput):
    cdef uint32_t pcr_pid
    cdef uint8_t[8192] index_of          # PID -> place in pids + 1, 0: not followed
    cdef input_pid_t[PIDS_MOST] pids
    cdef int pids_used
    cdef size_t buffered                 # bytes for PES packets, of all PIDs
    cdef readonly uint64_t packets
    cdef readonly uint64_t continuity_errors
    cdef readonly uint64_t transport_errors
    cdef readonly uint64_t scrambled
    cdef readonly uint64_t damaged_tables
    cdef uint64_t damaged_packets

    cdef int whole_pes(self, input_pid_t* s) except -1
    cdef int whole_section(self, input_pid_t* s) except -1
    cdef void begun(self, input_pid_t* s) noexcept
    cdef void lost(self, input_pid_t* s) noexcept
    cdef void adaptation(self, const uint8_t* p) noexcept
    cdef void lose(self, input_pid_t* s) noexcept
    cdef int pes_bytes(self, input_pid_t* s, const uint8_t* data, size_t size, bint start, bint random_access) except -1
    cdef int append(self, input_pid_t* s, const uint8_t* data, size_t size) except -1
    cdef int finish(self, input_pid_t* s) except -1
    cdef int section_bytes(self, input_pid_t* s, const uint8_t* data, size_t size, bint start) except -1
    cdef int drain_sections(self, input_pid_t* s, const uint8_t* data, size_t size) except -1
    cdef input_pid_t* follow(self, uint32_t pid, uint8_t kind) except NULL
    cdef void unfollow(self, uint32_t pid) noexcept
    cdef void empty(self, input_pid_t* s) noexcept
