"""MPEG-TS stream checker.

Every packet is looked at once, in place.  What is held against it: the packet layer (ISO/IEC 13818-1 2.4.3), PAT and PMT (2.4.4) with
their CRC_32 (Annex A), PES headers and lengths (2.4.3.6), PCR distance and order (2.7.2), time stamps against the PCR (2.7.4), the access unit delimiter
of H.264 and HEVC (2.14, 2.17), and two rules of live push: tables at least every 100 ms and before each random access point,
and a stream that begins with a keyframe.

One fault counts as one kind.  After a fault that loses bytes (sync, transport error, continuity) nothing is concluded from
what those bytes would have held: counters start again, and the PES packet under way is not measured.

The distance of PATs and PMTs is taken from the first PCR after a table to the last PCR before the next one.  So it is never longer
than the true distance, whatever the bytes between two PCRs stand for in time, and a table that is in time never counts as late.
"""
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memchr, memcpy, memset

from pushcast.frame cimport CODEC_H264, CODEC_HEVC
from pushcast.wire cimport get_u16, get_u32

TS_ERRORS = (
    "sync", "datagram_size", "transport_error", "scrambled", "adaptation_field", "continuity", "unlisted_pid", "too_many_pids",
    "psi_crc", "psi_syntax", "psi_version", "pat_interval", "pmt_interval", "tables_before_key", "pcr_interval", "pcr_order",
    "pes_start", "pes_header", "pes_length", "dts_order", "pts_before_dts", "dts_before_pcr", "dts_far_from_pcr",
    "access_unit_delimiter", "first_frame",
)
if len(TS_ERRORS) != TS_ERROR_KINDS:
    raise SystemError("TS_ERRORS does not name every kind of error")

cdef enum:
    SYNC_BYTE = 0x47
    NULL_PID = 0x1FFF
    FIRST_FREE_PID = 0x20    # 0x00-0x0F are ISO's, 0x10-0x1F are DVB's tables: no PMT lists those

cdef enum:
    KIND_UNKNOWN = 0
    KIND_PAT = 1
    KIND_PMT = 2
    KIND_OTHER = 3           # listed, but not carried in PES packets that we know
    KIND_VIDEO = 4
    KIND_AUDIO = 5

cdef enum:
    PID_COUNTED = 1          # counter is known
    PID_DUPLICATED = 2       # the last packet already was a duplicate
    PID_IN_PES = 4
    PID_LOST = 8             # bytes of the PES packet under way are missing
    PID_TIMED = 16           # last_dts is known
    PID_NEW_TIME = 32        # a time base discontinuity was announced: the next DTS may be anything
    PID_LISTED = 64

cdef enum:
    FIRST_WAITING = 0
    FIRST_SEARCHING = 1
    FIRST_DONE = 2
    AFTER_START_CODE = 255   # value of zeros: the next byte is a NAL unit header

cdef extern from *:
    """
    #define PUSHCAST_CLOCK_WRAP ((int64_t)300 << 33)
    #define PUSHCAST_STAMP_WRAP ((int64_t)1 << 33)
    """
    const int64_t CLOCK_WRAP "PUSHCAST_CLOCK_WRAP"   # PCR, 27 MHz
    const int64_t STAMP_WRAP "PUSHCAST_STAMP_WRAP"   # PTS and DTS, 90 kHz

cdef enum:
    MAX_PCR_INTERVAL = 2700000       # 100 ms at 27 MHz: 2.7.2
    MAX_TABLE_INTERVAL = 2700000     # 100 ms at 27 MHz
    MAX_FIRST_PCR = 9000             # 100 ms at 90 kHz of media without any PCR
    MAX_DELAY = 900000               # 10 s at 90 kHz: 2.4.2.6 for H.264 and HEVC

cdef uint32_t CRC_TABLE[256]


cdef void _fill_crc_table() noexcept nogil:
    cdef uint32_t i, k, value
    cdef uint32_t polynomial = 0x04C11DB7
    for i in range(256):
        value = i << 24
        for k in range(8):
            value = (value << 1) ^ (polynomial if value >> 31 else 0u)
        CRC_TABLE[i] = value


_fill_crc_table()


cdef inline uint32_t crc32_mpeg(const uint8_t* p, size_t size) noexcept nogil:
    """CRC_32 of Annex A; 0 over a section that ends with its own CRC."""
    cdef uint32_t crc = 0xFFFFFFFF
    cdef size_t i
    for i in range(size):
        crc = (crc << 8) ^ CRC_TABLE[(crc >> 24) ^ p[i]]
    return crc


cdef inline int64_t wrapped(int64_t difference, int64_t wrap) noexcept nogil:
    """The difference of two clock values that wrap, as the nearer of the two ways round."""
    difference %= wrap
    if difference >= wrap // 2:
        return difference - wrap
    if difference < -(wrap // 2):
        return difference + wrap
    return difference


cdef inline uint64_t load_u64(const uint8_t* p) noexcept nogil:
    cdef uint64_t value
    memcpy(&value, p, 8)
    return value


cdef void ts_check_init(ts_check_t* c) noexcept nogil:
    cdef int i
    memset(c, 0, sizeof(ts_check_t))
    c.in_sync = 1
    for i in range(TS_PROGRAMS):
        c.programs[i].pcr = c.programs[i].pat.since = c.programs[i].pmt.since = -1
    ts_add_pid(c, 0).kind = KIND_PAT


cdef uint64_t ts_check_errors(const ts_check_t* c) noexcept nogil:
    cdef uint64_t total = 0
    cdef int i
    for i in range(TS_ERROR_KINDS):
        total += c.errors[i]
    return total


# ---- PIDs ---------------------------------------------------------------------------------------------------------------------

cdef ts_pid_t* ts_find_pid(ts_check_t* c, uint32_t pid) noexcept nogil:
    cdef uint32_t i
    if c.last_pid < c.pids_used and c.pids[c.last_pid].pid == pid:
        return &c.pids[c.last_pid]
    for i in range(c.pids_used):
        if c.pids[i].pid == pid:
            c.last_pid = i
            return &c.pids[i]
    return NULL


cdef ts_pid_t* ts_add_pid(ts_check_t* c, uint32_t pid) noexcept nogil:
    """The state of a PID, new if need be; NULL (counted) when the table is full."""
    cdef ts_pid_t* s = ts_find_pid(c, pid)
    if s != NULL:
        return s
    if c.pids_used == TS_PIDS:
        c.errors[TS_TOO_MANY_PIDS] += 1
        return NULL
    s = &c.pids[c.pids_used]
    c.pids_used += 1
    memset(s, 0, sizeof(ts_pid_t))
    s.pid = <uint16_t>pid
    s.first_dts = s.last_dts = -1
    return s


cdef void ts_lost(ts_check_t* c) noexcept nogil:
    """Bytes of unknown PIDs are missing, and that was counted: no PID's counter or PES packet may be held to account for it."""
    cdef uint32_t i
    for i in range(c.pids_used):
        c.pids[i].flags = (c.pids[i].flags & ~PID_COUNTED) | PID_LOST
    c.pat.filled = 0
    for i in range(TS_PROGRAMS):
        c.programs[i].section.filled = 0


# ---- tables -------------------------------------------------------------------------------------------------------------------

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
    cdef const uint8_t* p = b.data
    cdef uint32_t crc, i
    cdef uint32_t version = (p[5] >> 1) & 31 if b.size >= 12 else 0
    if p[0] != (0 if program < 0 else 2):
        return   # private sections may share the PID of a PMT
    if b.size < 12 or not p[1] & 0x80:
        c.errors[TS_PSI_SYNTAX] += 1
        return
    if crc32_mpeg(p, b.size) != 0:
        c.errors[TS_PSI_CRC] += 1
        return
    if not p[5] & 1:
        return   # current_next_indicator 0: not in force yet
    crc = get_u32(p + b.size - 4)
    if b.seen == 0 or b.crc != crc:
        if b.seen and b.version == version and p[6] == 0 and p[7] == 0:
            c.errors[TS_PSI_VERSION] += 1
        if program < 0:
            ts_pat(c, p, b.size)
        elif not ts_pmt(c, program, p, b.size):
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
    """Collects sections; 0xFF where a table_id would stand means stuffing up to the end of the packet (2.4.4.1)."""
    cdef size_t take
    while size:
        if b.filled == 0:
            if d[0] == 0xFF:
                return
            b.size = 0
        take = (3 if b.size == 0 else b.size) - b.filled
        if take > size:
            take = size
        memcpy(b.data + b.filled, d, take)
        b.filled += <uint32_t>take
        d += take
        size -= take
        if b.size == 0 and b.filled == 3:
            b.size = 3 + (get_u16(b.data + 1) & 0xFFFu)
            if b.size > TS_SECTION or b.size == 3:
                c.errors[TS_PSI_SYNTAX] += 1
                b.filled = 0
                return
        elif b.size and b.filled == b.size:
            b.filled = 0
            ts_section(c, b, program)


cdef void ts_psi(ts_check_t* c, ts_section_t* b, int program, const uint8_t* d, size_t size, bint start) noexcept nogil:
    """Payload of a PID that carries sections; pointer_field in front when a section starts here."""
    cdef size_t pointer
    if not start:
        if b.filled:
            ts_section_bytes(c, b, program, d, size)
        return
    pointer = d[0]
    if 1 + pointer > size:
        c.errors[TS_PSI_SYNTAX] += 1
        b.filled = 0
        return
    if b.filled:
        ts_section_bytes(c, b, program, d + 1, pointer)
    b.filled = 0
    ts_section_bytes(c, b, program, d + 1 + pointer, size - 1 - pointer)


# ---- clock --------------------------------------------------------------------------------------------------------------------

cdef inline bint ts_interval(ts_interval_t* t, int64_t pcr) noexcept nogil:
    """Moves the running interval up to this PCR; true when it lapses now."""
    cdef int64_t length
    if t.since < 0:
        t.since = pcr
        return False
    length = wrapped(pcr - t.since, CLOCK_WRAP)
    if length > t.longest:
        t.longest = length
    if length <= MAX_TABLE_INTERVAL or t.lapsed:
        return False
    t.lapsed = 1
    return True


cdef void ts_clock(ts_check_t* c, int program, int64_t pcr) noexcept nogil:
    cdef ts_program_t* g = &c.programs[program]
    cdef int64_t step
    g.clocked = 1
    if g.pcr >= 0:
        step = wrapped(pcr - g.pcr, CLOCK_WRAP)
        if step > g.longest_pcr:
            g.longest_pcr = step
        if step <= 0 or step > MAX_PCR_INTERVAL:
            # The clock did not run here, so it says nothing about the tables either.
            c.errors[TS_PCR_ORDER if step <= 0 else TS_PCR_INTERVAL] += 1
            g.pat.since = g.pmt.since = pcr
    g.pcr = pcr
    if ts_interval(&g.pmt, pcr):
        c.errors[TS_PMT_INTERVAL] += 1
    if ts_interval(&g.pat, pcr) and program == 0:
        c.errors[TS_PAT_INTERVAL] += 1


cdef void ts_new_time(ts_check_t* c, int program) noexcept nogil:
    """A discontinuity was announced on the PCR PID (2.4.3.5): clock and stamps may start anywhere."""
    cdef ts_program_t* g = &c.programs[program]
    cdef uint32_t i
    g.pcr = g.pat.since = g.pmt.since = -1
    for i in range(c.pids_used):
        if c.pids[i].program == program and c.pids[i].kind >= KIND_VIDEO:
            c.pids[i].flags |= PID_NEW_TIME


# ---- PES ----------------------------------------------------------------------------------------------------------------------

cdef inline int64_t get_stamp(const uint8_t* p, uint32_t prefix) noexcept nogil:
    """PTS or DTS of 2.4.3.6; -1 when the prefix or a marker bit is wrong."""
    if p[0] >> 4 != prefix or not (p[0] & p[2] & p[4] & 1):
        return -1
    return (<int64_t>(p[0] & 0x0E) << 29) | (p[1] << 22) | ((p[2] & 0xFE) << 14) | (p[3] << 7) | (p[4] >> 1)


cdef void ts_stamps(ts_check_t* c, ts_pid_t* s, int64_t pts, int64_t dts) noexcept nogil:
    cdef ts_program_t* g = &c.programs[s.program]
    cdef int64_t step, delay
    if wrapped(pts - dts, STAMP_WRAP) < 0:
        c.errors[TS_PTS_BEFORE_DTS] += 1
    if not s.flags & PID_TIMED:
        s.first_dts = s.last_dts = dts
    else:
        step = wrapped(dts - s.last_dts, STAMP_WRAP)
        if not s.flags & PID_NEW_TIME:
            if step <= 0:
                c.errors[TS_DTS_ORDER] += 1
            if step > s.longest_step:
                s.longest_step = step
        s.last_dts += step
    s.flags = (s.flags | PID_TIMED) & ~PID_NEW_TIME
    if g.pcr >= 0:
        delay = wrapped(dts - g.pcr // 300, STAMP_WRAP)
        if delay < 0:
            c.errors[TS_DTS_BEFORE_PCR] += 1
        elif delay > MAX_DELAY:
            c.errors[TS_DTS_FAR_FROM_PCR] += 1
    elif not g.clocked and s.last_dts - s.first_dts > MAX_FIRST_PCR:
        g.clocked = 1
        c.errors[TS_PCR_INTERVAL] += 1


cdef void ts_search_key(ts_check_t* c, ts_pid_t* s, const uint8_t* d, size_t size) noexcept nogil:
    """Looks through the first access unit for its first slice: IDR (H.264) or IRAP (HEVC), or not."""
    cdef size_t i
    cdef uint32_t nal
    for i in range(size):
        if s.zeros == AFTER_START_CODE:
            s.zeros = 0
            nal = d[i] & 0x1F if s.codec == CODEC_H264 else (d[i] >> 1) & 0x3F
            if nal == 5 if s.codec == CODEC_H264 else 16 <= nal <= 21:
                s.first = FIRST_DONE
                return
            if 1 <= nal <= 4 if s.codec == CODEC_H264 else nal <= 9:
                c.errors[TS_FIRST_FRAME] += 1
                s.first = FIRST_DONE
                return
        elif d[i] == 0:
            s.zeros += s.zeros < 2
        elif d[i] == 1 and s.zeros == 2:
            s.zeros = AFTER_START_CODE
        else:
            s.zeros = 0


cdef bint begins_with_delimiter(int codec, const uint8_t* d, size_t size) noexcept nogil:
    """True as well when too few bytes are there to tell."""
    cdef size_t i = 0
    while i < size and d[i] == 0:
        i += 1
    if i + 1 >= size:
        return True
    if i < 2 or d[i] != 1:
        return False
    return d[i + 1] & 0x1F == 9 if codec == CODEC_H264 else (d[i + 1] >> 1) & 0x3F == 35


cdef void ts_video_unit(ts_check_t* c, ts_pid_t* s, const uint8_t* d, size_t size, bint key) noexcept nogil:
    """The first bytes of an access unit."""
    cdef ts_program_t* g = &c.programs[s.program]
    if key and g.video_pid == s.pid and (c.pat.seen == s.pat_mark or g.section.seen == s.pmt_mark):
        c.errors[TS_TABLES_BEFORE_KEY] += 1
    s.pat_mark = c.pat.seen
    s.pmt_mark = g.section.seen
    if s.codec and not begins_with_delimiter(s.codec, d, size):
        c.errors[TS_ACCESS_UNIT_DELIMITER] += 1
    if s.first == FIRST_DONE:
        return
    if key:
        s.first = FIRST_DONE
    elif s.first == FIRST_SEARCHING or not s.codec:
        s.first = FIRST_DONE
        c.errors[TS_FIRST_FRAME] += 1
    else:
        s.first = FIRST_SEARCHING
        s.zeros = 0


cdef bint is_stream_id(int kind, uint32_t stream_id) noexcept nogil:
    """Table 2-22."""
    if stream_id == 0xFD:
        return True
    if kind == KIND_VIDEO:
        return stream_id & 0xF0 == 0xE0
    return stream_id & 0xE0 == 0xC0 or stream_id == 0xBD


cdef size_t ts_pes_header(ts_check_t* c, ts_pid_t* s, const uint8_t* d, size_t size) noexcept nogil:
    """Parses the header and its stamps; the bytes it takes, 0 (counted) when it is wrong or not whole in its first packet."""
    cdef size_t header
    cdef uint32_t declared, stamps
    cdef int64_t pts = -1, dts = -1
    if size < 9 or d[0] or d[1] or d[2] != 1 or not is_stream_id(s.kind, d[3]) or d[6] & 0xC0 != 0x80:
        c.errors[TS_PES_HEADER] += 1
        return 0
    header = 9 + <size_t>d[8]
    declared = get_u16(d + 4)
    stamps = d[7] >> 6
    if header > size or stamps == 1 or d[8] < (10 if stamps == 3 else 5 if stamps == 2 else 0) or (declared and declared + 6 < header):
        c.errors[TS_PES_HEADER] += 1
        return 0
    if declared == 0 and s.kind != KIND_VIDEO:
        c.errors[TS_PES_HEADER] += 1
        return 0
    if stamps:
        pts = get_stamp(d + 9, stamps)
        dts = get_stamp(d + 14, 1) if stamps == 3 else pts
        if pts < 0 or dts < 0:
            c.errors[TS_PES_HEADER] += 1
            return 0
        ts_stamps(c, s, pts, dts)
    s.pes_declared = declared + 6 if declared else 0
    return header


cdef void ts_pes(ts_check_t* c, ts_pid_t* s, const uint8_t* d, size_t size, bint start, bint key) noexcept nogil:
    cdef size_t header = 0
    if start:
        if s.flags & PID_IN_PES and not s.flags & PID_LOST and s.pes_declared and s.pes_received < s.pes_declared:
            c.errors[TS_PES_LENGTH] += 1
        s.flags = (s.flags | PID_IN_PES) & ~PID_LOST
        s.pes_received = s.pes_declared = 0
        s.units += 1
        s.keys += key
        header = ts_pes_header(c, s, d, size)
        if header == 0:
            s.flags |= PID_LOST
            return
        if s.kind == KIND_VIDEO:
            ts_video_unit(c, s, d + header, size - header, key)
    elif not s.flags & PID_IN_PES:
        if not s.flags & PID_LOST:
            c.errors[TS_PES_START] += 1
            s.flags |= PID_LOST
        return
    s.pes_received += <uint32_t>size
    c.payload_bytes += size - header
    if s.pes_declared and s.pes_received > s.pes_declared and not s.flags & PID_LOST:
        c.errors[TS_PES_LENGTH] += 1
        s.flags |= PID_LOST
    if s.first == FIRST_SEARCHING:
        ts_search_key(c, s, d + header, size - header)


# ---- packets ------------------------------------------------------------------------------------------------------------------

cdef bint ts_continuity(ts_check_t* c, ts_pid_t* s, uint32_t counter, uint64_t signature, bint payload, bint announced) noexcept nogil:
    """2.4.3.3.  False when the packet repeats the one before and must be passed over."""
    cdef uint32_t due = (s.counter + payload) & 15
    cdef bint known = s.flags & PID_COUNTED != 0
    if known and not announced and counter != due:
        if payload and counter == s.counter and signature == s.signature and not s.flags & PID_DUPLICATED:
            s.flags |= PID_DUPLICATED
            return False
        c.errors[TS_CONTINUITY] += 1
        s.flags |= PID_LOST
        if s.kind == KIND_PAT:
            c.pat.filled = 0
        elif s.kind == KIND_PMT:
            c.programs[s.program].section.filled = 0
    elif announced and known and counter != due:
        s.flags |= PID_LOST
    s.flags = (s.flags | PID_COUNTED) & ~PID_DUPLICATED
    s.counter = <uint8_t>counter
    if payload:
        s.signature = signature
    return True


cdef void ts_payload(ts_check_t* c, ts_pid_t* s, const uint8_t* p, size_t at, bint key) noexcept nogil:
    cdef bint start = p[1] & 0x40 != 0
    if p[3] & 0xC0:
        c.errors[TS_SCRAMBLED] += 1
        s.flags |= PID_LOST
    elif s.kind >= KIND_VIDEO:
        ts_pes(c, s, p + at, TS_PACKET - at, start, key)
    elif s.kind == KIND_PAT:
        ts_psi(c, &c.pat, -1, p + at, TS_PACKET - at, start)
    elif s.kind == KIND_PMT:
        ts_psi(c, &c.programs[s.program].section, s.program, p + at, TS_PACKET - at, start)
    elif s.kind == KIND_UNKNOWN and s.pid >= FIRST_FREE_PID:
        c.errors[TS_UNLISTED_PID] += 1


cdef void ts_packet(ts_check_t* c, const uint8_t* p) noexcept nogil:
    """One packet that begins with the sync byte."""
    cdef uint32_t pid = get_u16(p + 1) & 0x1FFF
    cdef uint32_t control = (p[3] >> 4) & 3
    cdef size_t at = 4
    cdef uint32_t flags = 0
    cdef int64_t pcr = -1
    cdef ts_pid_t* s
    cdef int i
    c.packets += 1
    if p[1] & 0x80:
        c.errors[TS_TRANSPORT_ERROR] += 1
        ts_lost(c)
        return
    if pid == NULL_PID:
        return
    s = ts_add_pid(c, pid)
    if s == NULL:
        return
    if control & 2:
        at = 5 + <size_t>p[4]
        flags = p[5] if p[4] else 0
    if control == 0 or (control == 3 and at > 187) or (control == 2 and at != 188) or (flags & 0x10 and p[4] < 7):
        c.errors[TS_ADAPTATION_FIELD] += 1
        s.flags = (s.flags & ~PID_COUNTED) | PID_LOST
        return
    if not ts_continuity(c, s, p[3] & 15, load_u64(p + (at if at < 180 else 180)) ^ (load_u64(p + 180) * 31), control & 1, flags & 0x80 != 0):
        return
    if flags & 0x90:
        if flags & 0x10:
            pcr = (<int64_t>get_u32(p + 6) << 1 | p[10] >> 7) * 300 + (get_u16(p + 10) & 0x1FFu)
        for i in range(TS_PROGRAMS):
            if c.programs[i].used and c.programs[i].pcr_pid == pid and c.programs[i].section.seen:
                if flags & 0x80:
                    ts_new_time(c, i)
                if pcr >= 0:
                    ts_clock(c, i, pcr)
    if control & 1:
        ts_payload(c, s, p, at, flags & 0x40 != 0)


cdef void ts_check_datagram(ts_check_t* c, const uint8_t* data, size_t size) noexcept nogil:
    while size >= TS_PACKET:
        if data[0] == SYNC_BYTE:
            ts_packet(c, data)
        else:
            c.errors[TS_SYNC] += 1
            ts_lost(c)
        data += TS_PACKET
        size -= TS_PACKET
    if size:
        c.errors[TS_DATAGRAM_SIZE] += 1
        ts_lost(c)


cdef int ts_check_stream(ts_check_t* c, const uint8_t* data, size_t size) noexcept nogil:
    """After lost sync two packets must follow each other before one is believed: 0x47 stands in payloads as well."""
    cdef size_t take
    cdef const uint8_t* found
    while size:
        if c.carried == TS_PACKET:
            c.carried = 0
            if data[0] == SYNC_BYTE:
                c.in_sync = 1
                c.lost_bytes = 0
                ts_packet(c, c.carry)
            else:
                c.lost_bytes += TS_PACKET
        if c.carried == 0:
            while c.in_sync and size >= TS_PACKET and data[0] == SYNC_BYTE:
                ts_packet(c, data)
                data += TS_PACKET
                size -= TS_PACKET
            if size == 0:
                return 0
            if data[0] != SYNC_BYTE:
                if c.in_sync:
                    c.errors[TS_SYNC] += 1
                    c.in_sync = 0
                    ts_lost(c)
                found = <const uint8_t*>memchr(data, SYNC_BYTE, size)
                take = size if found == NULL else found - data
                c.lost_bytes += <uint32_t>take
                if c.lost_bytes > TS_GARBAGE * TS_PACKET:
                    return -1
                data += take
                size -= take
                continue
        take = TS_PACKET - c.carried
        if take > size:
            take = size
        memcpy(c.carry + c.carried, data, take)
        c.carried += <uint32_t>take
        data += take
        size -= take
        if c.carried == TS_PACKET and c.in_sync:
            c.carried = 0
            ts_packet(c, c.carry)
    return 0


# ---- as Python ----------------------------------------------------------------------------------------------------------------

cdef dict ts_check_error_counts(const ts_check_t* c):
    return {TS_ERRORS[i]: c.errors[i] for i in range(TS_ERROR_KINDS) if c.errors[i]}


cdef object _ms(int64_t ticks, int64_t per_ms):
    return round(ticks / <double>per_ms, 3)


cdef dict ts_check_figures(const ts_check_t* c):
    cdef uint64_t video = 0, audio = 0, keys = 0
    cdef int64_t longest_pcr = 0, longest_pat = 0, longest_pmt = 0, step = 0
    cdef const ts_pid_t* timed = NULL
    cdef uint32_t i
    for i in range(c.pids_used):
        if c.pids[i].kind == KIND_VIDEO:
            video += c.pids[i].units
            keys += c.pids[i].keys
        elif c.pids[i].kind == KIND_AUDIO:
            audio += c.pids[i].units
        if c.pids[i].flags & PID_TIMED and (timed == NULL or timed.kind != KIND_VIDEO and c.pids[i].kind == KIND_VIDEO):
            timed = &c.pids[i]
            step = timed.longest_step
    for i in range(TS_PROGRAMS):
        longest_pcr = max(longest_pcr, c.programs[i].longest_pcr)
        longest_pat = max(longest_pat, c.programs[i].pat.longest)
        longest_pmt = max(longest_pmt, c.programs[i].pmt.longest)
    return {
        "packets": c.packets,
        "media_bytes": c.payload_bytes,
        "video_frames": video,
        "audio_frames": audio,
        "key_frames": keys,
        "first_dts": timed.first_dts if timed != NULL else None,
        "last_dts": timed.last_dts if timed != NULL else None,
        "max_dts_step_ms": _ms(step, 90),
        "max_pcr_interval_ms": _ms(longest_pcr, 27000),
        "max_pat_interval_ms": _ms(longest_pat, 27000),
        "max_pmt_interval_ms": _ms(longest_pmt, 27000),
    }
