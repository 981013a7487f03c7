"""PAT and PMT of a transport stream under check: see verifypsi.pyx."""
from libc.stdint cimport uint8_t

from pushcast.tscheck cimport ts_check_t, ts_section_t

# Payload of one packet of the PAT (program -1) or of a PMT; `start`: a section starts in it.
cdef void ts_psi(ts_check_t* c, ts_section_t* b, int program, const uint8_t* d, size_t size, bint start) noexcept nogil
