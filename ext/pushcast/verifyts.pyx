"""MPEG-TS stream checker: packets and clocks.

Every packet is looked at once, in place.  What is held against it: the packet layer (ISO/IEC 13818-1 2.4.3), PCR
distance and order (2.7.2), and as a rule of live push tables at least every 100 ms; verifypsi and verifypes look at
what packets carry.

One fault counts as one kind.  After a fault that loses bytes (sync, transport error, continuity) nothing is concluded
from what those bytes would have held: counters start again, and the PES packet under way is not measured.

The distance of PATs and PMTs is taken from the first PCR after a table to the last PCR before the next one.  So it is
never longer than the true distance, whatever the bytes between two PCRs stand for in time, and a table that is in time
never counts as late.
"""
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memchr, memcpy, memset

from pushcast.tscheck cimport (
    CLOCK_WRAP, KIND_AUDIO, KIND_PAT, KIND_PMT, KIND_UNKNOWN, KIND_VIDEO, PID_COUNTED, PID_DUPLICATED, PID_LOST,
    PID_NEW_TIME, PID_TIMED, TS_ADAPTATION_FIELD, TS_CONTINUITY, TS_DATAGRAM_SIZE, TS_ERROR_KINDS, TS_GARBAGE,
    TS_PACKET, TS_PAT_INTERVAL, TS_PCR_INTERVAL, TS_PCR_ORDER, TS_PMT_INTERVAL, TS_PROGRAMS, TS_SCRAMBLED, TS_SYNC,
    TS_TRANSPORT_ERROR, TS_UNLISTED_PID, get_pcr, ts_add_pid, ts_check_t, ts_interval_t, ts_pid_t, ts_program_t, wrapped,
)
from pushcast.verifypes cimport ts_pes
from pushcast.verifypsi cimport ts_psi
from pushcast.wire cimport get_u16

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
    MAX_PCR_INTERVAL = 2700000       # 100 ms at 27 MHz: 2.7.2
    MAX_TABLE_INTERVAL = 2700000     # 100 ms at 27 MHz


cdef inline uint64_t load_u64(const uint8_t* p) noexcept nogil:
    cdef uint64_t value
    memcpy(&value, p, 8)
    return value


cdef void ts_check_init(ts_check_t* c) noexcept nogil:
    cdef int i
    memset(c, 0, sizeof(ts_check_t))
    c.in_sync = 1
    c.table_limit = MAX_TABLE_INTERVAL
    for i in range(TS_PROGRAMS):
        c.programs[i].pcr = c.programs[i].pat.since = c.programs[i].pmt.since = -1
    ts_add_pid(c, 0).kind = KIND_PAT


cdef uint64_t ts_check_errors(const ts_check_t* c) noexcept nogil:
    cdef uint64_t total = 0
    cdef int i
    for i in range(TS_ERROR_KINDS):
        total += c.errors[i]
    return total


cdef void ts_lost(ts_check_t* c) noexcept nogil:
    """Bytes of unknown PIDs are missing, and that was counted: no PID's counter or PES packet may be held to account
    for it.
    """
    cdef uint32_t i
    for i in range(c.pids_used):
        c.pids[i].flags = (c.pids[i].flags & ~PID_COUNTED) | PID_LOST
    c.pat.parts.filled = 0
    for i in range(TS_PROGRAMS):
        c.programs[i].section.parts.filled = 0


# ---- clock -----------------------------------------------------------------------------------------------------------

cdef inline bint ts_interval(ts_interval_t* t, int64_t pcr, int64_t limit) noexcept nogil:
    """Moves the running interval up to this PCR; true when it lapses now."""
    cdef int64_t length
    if t.since < 0:
        t.since = pcr
        return False
    length = wrapped(pcr - t.since, CLOCK_WRAP)
    if length > t.longest:
        t.longest = length
    if length <= limit or t.lapsed:
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
    if ts_interval(&g.pmt, pcr, c.table_limit):
        c.errors[TS_PMT_INTERVAL] += 1
    if ts_interval(&g.pat, pcr, c.table_limit) and program == 0:
        c.errors[TS_PAT_INTERVAL] += 1


cdef void ts_new_time(ts_check_t* c, int program) noexcept nogil:
    """A discontinuity was announced on the PCR PID (2.4.3.5): clock and stamps may start anywhere."""
    cdef ts_program_t* g = &c.programs[program]
    cdef uint32_t i
    g.pcr = g.pat.since = g.pmt.since = -1
    for i in range(c.pids_used):
        if c.pids[i].program == program and c.pids[i].kind >= KIND_VIDEO:
            c.pids[i].flags |= PID_NEW_TIME


# ---- packets ---------------------------------------------------------------------------------------------------------

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
            c.pat.parts.filled = 0
        elif s.kind == KIND_PMT:
            c.programs[s.program].section.parts.filled = 0
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
            pcr = get_pcr(p)
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


# ---- as Python -------------------------------------------------------------------------------------------------------

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
