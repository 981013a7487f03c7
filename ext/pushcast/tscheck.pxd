"""ts_check_t: what is known of one MPEG-TS under check, shared by those who check its layers.

verifyts looks at packets and clocks, verifypsi at PAT and PMT, verifypes at PES packets.  Everything is of fixed size.
"""
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memset

from pushcast.psisection cimport section_t
from pushcast.wire cimport get_u16, get_u32

cdef enum:
    TS_PACKET = 188
    TS_PIDS = 32             # a push carries a handful of tracks; garbage must not make the table grow
    TS_PROGRAMS = 4
    TS_GARBAGE = 100         # packets' worth of bytes without sync after which a byte stream is not MPEG-TS

# The order of TS_ERRORS in verifyts.pyx.
cdef enum:
    TS_SYNC
    TS_DATAGRAM_SIZE
    TS_TRANSPORT_ERROR
    TS_SCRAMBLED
    TS_ADAPTATION_FIELD
    TS_CONTINUITY
    TS_UNLISTED_PID
    TS_TOO_MANY_PIDS
    TS_PSI_CRC
    TS_PSI_SYNTAX
    TS_PSI_VERSION
    TS_PAT_INTERVAL
    TS_PMT_INTERVAL
    TS_TABLES_BEFORE_KEY
    TS_PCR_INTERVAL
    TS_PCR_ORDER
    TS_PES_START
    TS_PES_HEADER
    TS_PES_LENGTH
    TS_DTS_ORDER
    TS_PTS_BEFORE_DTS
    TS_DTS_BEFORE_PCR
    TS_DTS_FAR_FROM_PCR
    TS_ACCESS_UNIT_DELIMITER
    TS_FIRST_FRAME
    TS_ERROR_KINDS

ctypedef struct ts_section_t:
    section_t parts
    uint32_t crc             # CRC_32 of the last good section: the same again needs no parsing
    uint32_t seen            # good sections so far
    uint8_t version          # version_number of the last good section

ctypedef struct ts_interval_t:
    int64_t since            # first PCR after the last table, -1 until it came
    int64_t longest          # 27 MHz
    uint32_t lapsed          # 1 once the running interval was counted as an error

ctypedef struct ts_program_t:
    uint32_t used
    uint16_t number
    uint16_t pmt_pid
    uint16_t pcr_pid
    uint16_t video_pid       # first video stream of the PMT, 0 when there is none
    int64_t pcr              # last PCR, 27 MHz, -1 until the first and after a discontinuity
    int64_t longest_pcr      # 27 MHz
    uint32_t clocked         # 1 once a PCR came, or its absence was counted
    ts_interval_t pat
    ts_interval_t pmt
    ts_section_t section

ctypedef struct ts_pid_t:
    uint16_t pid
    uint8_t kind             # what the tables say it is
    uint8_t codec            # CODEC_H264, CODEC_HEVC or 0: only these two are looked into
    uint8_t counter          # continuity_counter of the last packet
    uint8_t flags            # PID_*
    uint8_t first            # how far the search for the first keyframe is
    uint8_t zeros            # zero bytes in a row before the next byte, while searching
    uint8_t program
    uint32_t pes_declared    # bytes of the PES packet under way by its header, 0 when unbounded or unknown
    uint32_t pes_received
    uint32_t pat_mark        # PATs and PMTs seen at the last access unit
    uint32_t pmt_mark
    uint64_t signature       # of the last payload: tells a legal duplicate from a repeated counter
    uint64_t units           # PES packets
    uint64_t keys            # PES packets marked as random access points
    int64_t first_dts        # 90 kHz, -1 until the first
    int64_t last_dts         # unwrapped from first_dts
    int64_t longest_step     # between DTSs
    uint64_t late_stamps     # steps of more than 700 ms: TR 101 290 2.5

ctypedef struct ts_check_t:
    int64_t table_limit      # 27 MHz: PAT and PMT at least so often
    uint64_t packets
    uint64_t payload_bytes   # of elementary streams
    uint32_t pids_used
    uint32_t last_pid        # index of the PID found last: packets of a PID come in runs
    uint32_t carried         # bytes in carry
    uint32_t in_sync         # byte streams: 1 while packets follow each other
    uint32_t lost_bytes      # since sync was lost
    uint32_t errors[TS_ERROR_KINDS]
    ts_section_t pat
    ts_pid_t pids[TS_PIDS]
    ts_program_t programs[TS_PROGRAMS]
    uint8_t carry[TS_PACKET]

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


cdef inline int64_t wrapped(int64_t difference, int64_t wrap) noexcept nogil:
    """The difference of two clock values that wrap, as the nearer of the two ways round."""
    difference %= wrap
    if difference >= wrap // 2:
        return difference - wrap
    if difference < -(wrap // 2):
        return difference + wrap
    return difference


cdef inline int64_t get_pcr(const uint8_t* p) noexcept nogil:
    """27 MHz, of a packet whose adaptation field has one: 13818-1 2.4.3.5."""
    return (<int64_t>get_u32(p + 6) << 1 | p[10] >> 7) * 300 + (get_u16(p + 10) & 0x1FFu)


cdef inline ts_pid_t* ts_find_pid(ts_check_t* c, uint32_t pid) noexcept nogil:
    cdef uint32_t i
    if c.last_pid < c.pids_used and c.pids[c.last_pid].pid == pid:
        return &c.pids[c.last_pid]
    for i in range(c.pids_used):
        if c.pids[i].pid == pid:
            c.last_pid = i
            return &c.pids[i]
    return NULL


cdef inline ts_pid_t* ts_add_pid(ts_check_t* c, uint32_t pid) noexcept nogil:
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
