"""PES packets of a transport stream under check: see verifypes.pyx."""
from libc.stdint cimport uint8_t

from pushcast.tscheck cimport ts_check_t, ts_pid_t

# Payload of one packet; `start`: a PES packet starts in it, `key`: it is marked as a random access point.
cdef void ts_pes(ts_check_t* c, ts_pid_t* s, const uint8_t* d, size_t size, bint start, bint key) noexcept nogil
