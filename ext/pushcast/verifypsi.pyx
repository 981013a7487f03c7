"""PAT and PMT of a transport stream under check: ISO/IEC 13818-1 2.4.4, with their CRC_32 (Annex A).

A section that is the same as the last needs no parsing.  What the tables say
goes into the PIDs and programs of ts_check_t.
"""
from libc.stdint cimport uint8_t, uint16_t, uint32_t

from pushcast.frame cimport CODEC_H264, CODEC_HEVC
from pushcast.psisection cimport SECTION_BAD, SECTION_WHOLE, TABLE_SECTION_BYTES, crc32_mpeg, next_section, split_pointer
from pushcast.tscheck cimport (
    FIRST_WAITING, KIND_AUDIO, KIND_OTHER, KIND_PAT, KIND_PMT, KIND_UNKNOWN, KIND_VIDEO, PID_COUNTED, PID_LISTED,
    PID_LOST, TS_PROGRAMS, TS_PSI_CRC, TS_PSI_SYNTAX, TS_PSI_VERSION, TS_TOO_MANY_PIDS, ts_add_pid,
    ts_check_t, ts_pid_t, ts_program_t, ts_section_t,
)
from pushcast.wire cimport get_u16, get_u32

cdef void ts_pat(ts_check_t* c, const uint8_t* section, uint32_t size) noexcept nogil:
    """2.4.4.3: the programs and the PIDs of their PMTs."""
    cdef uint32_t at, number, pid
    cdef int i
    cdef ts_program_t* g
    cdef ts_pid_t* s
    for at in range(8, size - 7, 4):
        number = get_u16(section + at)
        pid = get_u16(section + at + 2) & 0x1FFF
        if number == 0:
            continue
        g = NULL
        for i in range(TS_PROGRAMS):
            if not c.programs[i].used or c.programs[i].number == number:
                g = &c.programs[i]
                break
        s = ts_add_pid(c, pid) if g != NULL else NULL
        if s == NULL:
            c.errors[TS_TOO_MANY_PIDS] += g == NULL
            continue
        g.used = 1
        g.number = <uint16_t>number
        g.pmt_pid = <uint16_t>pid
        s.kind = KIND_PMT
        s.program = <uint8_t>i


cdef int stream_kind(uint32_t stream_type) noexcept nogil:
    """Table 2-34."""
    if stream_type in (0x01, 0x02, 0x10, 0x1B, 0x20, 0x24, 0x33):
        return KIND_VIDEO
    if stream_type in (0x03, 0x04, 0x0F, 0x11, 0x81, 0x87):
        return KIND_AUDIO
    return KIND_OTHER


cdef void ts_list_pid(ts_check_t* c, int program, uint32_t stream_type, uint32_t pid) noexcept nogil:
    cdef ts_pid_t* s = ts_add_pid(c, pid)
    cdef int kind = stream_kind(stream_type)
    if s == NULL or s.kind == KIND_PAT or s.kind == KIND_PMT:
        return
    if s.kind != kind:
        s.flags = (s.flags & PID_COUNTED) | PID_LOST if s.flags & PID_COUNTED else 0
        s.first = FIRST_WAITING
    s.kind = <uint8_t>kind
    s.codec = CODEC_H264 if stream_type == 0x1B else CODEC_HEVC if stream_type == 0x24 else 0
    s.program = <uint8_t>program
    s.flags |= PID_LISTED
    if kind == KIND_VIDEO and c.programs[program].video_pid == 0:
        c.programs[program].video_pid = <uint16_t>pid


cdef bint ts_pmt(ts_check_t* c, int program, const uint8_t* section, uint32_t size) noexcept nogil:
    """2.4.4.8: the PCR PID and the elementary streams.  False when the lengths do not add up."""
    cdef ts_program_t* g = &c.programs[program]
    cdef uint32_t end = size - 4
    cdef uint32_t at = 12, i, stream_type, pid
    if size < 16 or 12 + (get_u16(section + 10) & 0xFFFu) > end:
        return False
    at += get_u16(section + 10) & 0xFFFu
    for i in range(c.pids_used):
        if c.pids[i].program == program and c.pids[i].kind > KIND_PMT:
            c.pids[i].flags &= ~PID_LISTED
    g.pcr_pid = get_u16(section + 8) & 0x1FFF
    g.video_pid = 0
    while at + 5 <= end:
        stream_type = section[at]
        pid = get_u16(section + at + 1) & 0x1FFF
        at += 5 + (get_u16(section + at + 3) & 0xFFFu)
        if at > end:
            break
        ts_list_pid(c, program, stream_type, pid)
    for i in range(c.pids_used):
        if c.pids[i].program == program and c.pids[i].kind > KIND_PMT and not c.pids[i].flags & PID_LISTED:
            c.pids[i].kind = KIND_UNKNOWN
    return at == end


cdef void ts_section(ts_check_t* c, ts_section_t* b, int program) noexcept nogil:
    """A whole section of the PAT (program -1) or a PMT."""
    cdef const uint8_t* p = b.parts.data
    cdef uint32_t crc, i, size = b.parts.size
    cdef uint32_t version = (p[5] >> 1) & 31 if size >= 12 else 0
    if p[0] != (0 if program < 0 else 2):
        return   # private sections may share the PID of a PMT
    if size < 12 or not p[1] & 0x80:
        c.errors[TS_PSI_SYNTAX] += 1
        return
    if crc32_mpeg(p, size) != 0:
        c.errors[TS_PSI_CRC] += 1
        return
    if not p[5] & 1:
        return   # current_next_indicator 0: not in force yet
    crc = get_u32(p + size - 4)
    if b.seen == 0 or b.crc != crc:
        if b.seen and b.version == version and p[6] == 0 and p[7] == 0:
            c.errors[TS_PSI_VERSION] += 1
        if program < 0:
            ts_pat(c, p, size)
        elif not ts_pmt(c, program, p, size):
            c.errors[TS_PSI_SYNTAX] += 1
        b.crc = crc
        b.version = <uint8_t>version
    b.seen += 1
    if program >= 0:
        c.programs[program].pmt.since = -1
        c.programs[program].pmt.lapsed = 0
        return
    for i in range(TS_PROGRAMS):
        c.programs[i].pat.since = -1
        c.programs[i].pat.lapsed = 0


cdef void ts_section_bytes(ts_check_t* c, ts_section_t* b, int program, const uint8_t* d, size_t size) noexcept nogil:
    cdef int step
    while size:
        step = next_section(&b.parts, &d, &size, TABLE_SECTION_BYTES)
        if step == SECTION_BAD:
            c.errors[TS_PSI_SYNTAX] += 1
        elif step == SECTION_WHOLE:
            ts_section(c, b, program)


cdef void ts_psi(ts_check_t* c, ts_section_t* b, int program, const uint8_t* d, size_t size, bint start) noexcept nogil:
    """Payload of a PID that carries sections; pointer_field in front when a section starts here."""
    cdef size_t before = 0
    if not start:
        if b.parts.filled:
            ts_section_bytes(c, b, program, d, size)
        return
    if not split_pointer(d, size, &before):
        c.errors[TS_PSI_SYNTAX] += 1
        b.parts.filled = 0
        return
    if b.parts.filled:
        ts_section_bytes(c, b, program, d + 1, before)
    b.parts.filled = 0
    ts_section_bytes(c, b, program, d + 1 + before, size - 1 - before)
