"""PES packets of a transport stream under check: ISO/IEC 13818-1.

Headers and lengths (2.4.3.6), time stamps among themselves and against the PCR (2.7.4), the access unit delimiter of
H.264 and HEVC (2.14, 2.17), and two rules of live push: tables before each random access point, and a stream that
begins with a keyframe.
"""
from libc.stdint cimport int64_t, uint8_t, uint32_t

from pushcast.frame cimport CODEC_H264
from pushcast.tscheck cimport (
    AFTER_START_CODE, FIRST_DONE, FIRST_SEARCHING, KIND_VIDEO, PID_IN_PES, PID_LOST, PID_NEW_TIME, PID_TIMED,
    STAMP_WRAP, TS_ACCESS_UNIT_DELIMITER, TS_DTS_BEFORE_PCR, TS_DTS_FAR_FROM_PCR, TS_DTS_ORDER, TS_FIRST_FRAME,
    TS_PCR_INTERVAL, TS_PES_HEADER, TS_PES_LENGTH, TS_PES_START, TS_PTS_BEFORE_DTS, TS_TABLES_BEFORE_KEY, ts_check_t,
    ts_pid_t, ts_program_t, wrapped,
)
from pushcast.wire cimport get_u16

cdef enum:
    LATE_STAMP = 63000               # 700 ms at 90 kHz
    MAX_FIRST_PCR = 9000             # 100 ms at 90 kHz of media without any PCR
    MAX_DELAY = 900000               # 10 s at 90 kHz: 2.4.2.6 for H.264 and HEVC


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
            s.late_stamps += step > LATE_STAMP
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
    """Parses the header and its stamps; the bytes it takes, 0 (counted) when it is wrong or not whole in its first
    packet.
    """
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
