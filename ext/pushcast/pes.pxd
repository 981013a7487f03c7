"""PES and TS packets: layout constants, inline put_ functions, laying out and writing.  Clauses are of ISO/IEC 13818-1.
"""
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memset

from pushcast.frame cimport Frame
from pushcast.nal cimport nal_cursor_t
from pushcast.psisection cimport SECTION_BYTES
from pushcast.wire cimport put_u8, put_u16, put_u32

cdef enum:
    PACKET_BYTES = 188
    PAYLOAD_BYTES = 184      # what a packet carries besides its 4-byte header
    SYNC_BYTE = 0x47
    PAYLOAD_UNIT_START = 0x4000    # in the 16 bits that end with the PID
    ADAPTATION_ONLY = 0x20
    PAYLOAD_ONLY = 0x10
    ADAPTATION_AND_PAYLOAD = 0x30
    AF_DISCONTINUITY = 0x80  # flags of the adaptation field
    AF_RANDOM_ACCESS = 0x40
    AF_PCR = 0x10

cdef enum:
    SCATTER_PIECES = 2       # delimiter or frame, parameter sets
    ADTS_BYTES = 7           # header without CRC
    HEAD_BYTES = 64          # 19 of the PES header, 33 of the longest Opus control header behind it

# How access units of a codec become PES payload.
cdef enum:
    WRAP_NONE = 0            # as they are
    WRAP_NAL = 1             # length-prefixed NAL units to Annex B
    WRAP_ADTS = 2            # an ADTS header before each
    WRAP_OPUS = 3            # an Opus control header before each
    WRAP_SECTION = 4         # no PES packet: a section of splice information

ctypedef struct es_t:
    uint32_t track           # Track.id
    uint32_t codec
    uint32_t pid
    uint32_t wrap            # WRAP_*
    uint32_t length_size     # of NAL units
    uint8_t stream_id
    uint8_t counter          # continuity_counter of its next packet with payload
    bint video
    bint sparse              # data: nobody waits for its next frame
    int64_t dts              # of its newest frame, NEVER (of mpegts) before the first
    const uint8_t* sets      # what a decoder needs before a frame: parameter sets with start codes, or AAC's program_config_element; owned by TsMuxer.owned
    size_t sets_bytes
    const uint8_t* prefixed  # the same with 4-byte lengths
    size_t prefixed_bytes
    uint8_t adts[ADTS_BYTES]          # header without its frame length

# The bytes of one PES packet, read where they lie: the head, some pieces, then, for WRAP_NAL, the units of the frame.
ctypedef struct scatter_t:
    const uint8_t* at        # what is left of the piece in hand; at first that is the head
    size_t left
    uint32_t next            # next piece
    uint32_t pieces
    const uint8_t* piece[SCATTER_PIECES]
    size_t piece_bytes[SCATTER_PIECES]
    nal_cursor_t units
    const uint8_t* unit      # the unit whose start code is in hand
    size_t unit_bytes
    uint32_t codec
    const uint8_t* known     # length-prefixed units that must not be repeated; NULL: none
    size_t known_bytes
    uint8_t head[HEAD_BYTES] # PES header and the few bytes that come with every frame of its kind
    uint8_t section[SECTION_BYTES]   # with its times, for WRAP_SECTION


cdef inline uint8_t* put_pcr(uint8_t* p, int64_t pcr) noexcept nogil:
    """27 MHz as base (33 bits, 90 kHz), 6 reserved ones, extension (9 bits): 2.4.3.5.  pcr is not negative."""
    cdef uint64_t base = <uint64_t>pcr // 300
    cdef uint32_t extension = <uint32_t>(<uint64_t>pcr % 300)
    p = put_u32(p, <uint32_t>(base >> 1))
    return put_u16(p, <uint32_t>((base & 1) << 15) | 0x7E00 | extension)


cdef inline uint8_t* put_stamp(uint8_t* p, uint32_t prefix, int64_t stamp) noexcept nogil:
    """PTS or DTS behind its 4-bit prefix, 33 bits with marker bits: 2.4.3.7."""
    cdef uint64_t bits = <uint64_t>stamp
    p = put_u8(p, prefix << 4 | (<uint32_t>(bits >> 29) & 0x0E) | 1)
    p = put_u16(p, (<uint32_t>(bits >> 14) & 0xFFFE) | 1)
    return put_u16(p, (<uint32_t>(bits << 1) & 0xFFFE) | 1)


cdef inline uint8_t* put_packet_start(
    uint8_t* p, uint32_t pid_bits, uint32_t counter, uint32_t flags, int64_t pcr, uint32_t payload
) noexcept nogil:
    """Packet header and an adaptation field that leaves exactly `payload` bytes (0 to 184): 2.4.3.2, 2.4.3.4.

    `pid_bits` is the PID, with PAYLOAD_UNIT_START when due; `flags` are AF_*, and with any of them payload is at most
    182 (176 with AF_PCR).  Returns where the payload goes.
    """
    cdef uint8_t* end = p + PACKET_BYTES - payload
    cdef uint32_t field = PAYLOAD_BYTES - payload
    cdef uint32_t control = PAYLOAD_ONLY if field == 0 else ADAPTATION_AND_PAYLOAD if payload else ADAPTATION_ONLY
    p = put_u32(p, <uint32_t>SYNC_BYTE << 24 | pid_bits << 8 | control | (counter & 15))
    if field == 0:
        return p
    p = put_u8(p, field - 1)
    if field == 1:
        return p
    p = put_u8(p, flags)
    if flags & AF_PCR:
        p = put_pcr(p, pcr)
    memset(p, 0xFF, <size_t>(end - p))
    return end


# Lay out the PES packet of a frame; its stamps are the frame's plus `delay` (90 kHz).  Returns its size in bytes, 0
# when the frame is malformed or does not fit.  *random_access is set true for a video access unit that a decoder may
# start with.
cdef size_t lay_pes(
    scatter_t* scatter, const es_t* es, const Frame* frame, int64_t delay, bint* random_access
) noexcept nogil
# The first packet of a PES packet of *left bytes, with the adaptation field of `flags`; *left is then what remains.
cdef uint8_t* put_pes_start(
    uint8_t* out, es_t* es, scatter_t* scatter, size_t* left, uint32_t flags, int64_t pcr
) noexcept nogil
# The packets that follow, at most so many; the last one has the stuffing.
cdef uint8_t* put_pes_rest(uint8_t* out, es_t* es, scatter_t* scatter, size_t* left, size_t most) noexcept nogil
