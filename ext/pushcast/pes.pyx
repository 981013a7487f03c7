"""PES packets: an access unit as an elementary stream carries it, cut into TS packets.  ISO/IEC 13818-1 2.4.3.

A frame goes from where it lies into the ring in one pass.  First it is laid out: a few pieces (PES header, start codes,
parameter sets, the header of an audio frame) around the units that it holds, so that its size is known before a byte is
written and a malformed frame leaves no trace.  Then the pieces are gathered, packet by packet.

What a decoder needs stands in every access unit that it may start with: a delimiter, and before a keyframe the
parameter sets, unless the access unit brings its own.
"""
from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.string cimport memcmp, memcpy, memset

from pushcast.frame cimport CODEC_HEVC, FRAME_KEY, Frame
from pushcast.nal cimport NAL_AUD, NAL_KEY, nal_cursor_t, nal_role, next_nal, parameter_sets
from pushcast.psisection cimport SECTION_BYTES, crc32_mpeg
from pushcast.splice cimport SPLICE_HEAD, get_pts_adjustment, put_pts_adjustment
from pushcast.wire cimport put_u8, put_u16, put_u32

cdef enum:
    PES_LENGTH_MAX = 0xFFFF
    ADTS_FRAME_MAX = 0x1FFF
    ID_PCE = 5                   # where no channel_configuration tells the channels, a frame begins with this: ISO/IEC 14496-3 4.4.2.1
    OPUS_FRAME_MAX = 7650        # 120 ms of 1275-byte frames of 20 ms: RFC 6716 3.2

cdef uint8_t[PAYLOAD_BYTES] STUFFING
memset(STUFFING, 0xFF, sizeof(STUFFING))

cdef const uint8_t* START_CODE = b"\0\0\0\1"
# Any slice type may follow: H.264 7.4.2.4, H.265 7.4.3.5.
cdef const uint8_t* AVC_DELIMITER = b"\0\0\0\1\x09\xf0"
cdef const uint8_t* HEVC_DELIMITER = b"\0\0\0\1\x46\x01\x50"


cdef inline void add_piece(scatter_t* scatter, const uint8_t* data, size_t size) noexcept nogil:
    scatter.piece[scatter.pieces] = data
    scatter.piece_bytes[scatter.pieces] = size
    scatter.pieces += 1


cdef inline void add_to_head(scatter_t* scatter, const uint8_t* data, size_t size) noexcept nogil:
    memcpy(scatter.head + scatter.left, data, size)
    scatter.left += size


cdef bint is_known(const scatter_t* scatter, const uint8_t* unit, size_t size) noexcept nogil:
    cdef nal_cursor_t cursor
    cdef const uint8_t* other = NULL
    cdef size_t other_bytes = 0
    cursor.at = scatter.known
    cursor.end = scatter.known + scatter.known_bytes
    cursor.length_size = 4
    while next_nal(&cursor, &other, &other_bytes) == 1:
        if other_bytes == size and memcmp(other, unit, size) == 0:
            return True
    return False


cdef inline bint is_kept(const scatter_t* scatter, const uint8_t* unit, size_t size) noexcept nogil:
    """Delimiters are written by us; parameter sets that come from the config are not written twice."""
    if nal_role(scatter.codec, unit) == NAL_AUD:
        return False
    return scatter.known == NULL or not is_known(scatter, unit, size)


cdef bint refill(scatter_t* scatter) noexcept nogil:
    """Take the next piece in hand; False behind the last."""
    cdef const uint8_t* unit = NULL
    cdef size_t size = 0
    if scatter.next < scatter.pieces:
        scatter.at = scatter.piece[scatter.next]
        scatter.left = scatter.piece_bytes[scatter.next]
        scatter.next += 1
        return True
    if scatter.unit_bytes:
        scatter.at = scatter.unit
        scatter.left = scatter.unit_bytes
        scatter.unit_bytes = 0
        return True
    while next_nal(&scatter.units, &unit, &size) == 1:
        if is_kept(scatter, unit, size):
            scatter.at = START_CODE
            scatter.left = 4
            scatter.unit = unit
            scatter.unit_bytes = size
            return True
    return False


cdef void gather(scatter_t* scatter, uint8_t* out, size_t size) noexcept nogil:
    """Copy the next `size` bytes, across pieces."""
    cdef size_t part
    while size and (scatter.left or refill(scatter)):
        part = min(size, scatter.left)
        memcpy(out, scatter.at, part)
        scatter.at += part
        scatter.left -= part
        out += part
        size -= part


cdef size_t lay_units(scatter_t* scatter, const es_t* es, const Frame* frame, bint* random_access) noexcept nogil:
    """Lay out an access unit as Annex B: delimiter, parameter sets where a decoder needs them, the units.

    Returns its size in bytes, 0 when the access unit is malformed or empty.
    """
    cdef const uint8_t* unit = NULL
    cdef const uint8_t* delimiter = NULL
    cdef size_t size = 0, delimiter_bytes = 0, kept = 0, repeated = 0
    cdef uint32_t roles = 0, role, wanted = parameter_sets(es.codec)
    cdef int step
    cdef nal_cursor_t cursor
    cursor.at = frame.data
    cursor.end = frame.data + frame.size
    cursor.length_size = es.length_size
    scatter.units = cursor
    step = next_nal(&cursor, &unit, &size)
    while step == 1:
        role = nal_role(es.codec, unit)
        if role != NAL_AUD:
            kept += 4 + size
        elif kept == 0 and delimiter == NULL:
            delimiter = unit
            delimiter_bytes = size
        roles |= role
        step = next_nal(&cursor, &unit, &size)
    if step < 0 or kept == 0:
        return 0
    random_access[0] = frame.flags & FRAME_KEY != 0 or roles & NAL_KEY != 0
    if delimiter != NULL:
        add_to_head(scatter, START_CODE, 4)
        add_piece(scatter, delimiter, delimiter_bytes)
        delimiter_bytes += 4
    elif es.codec == CODEC_HEVC:
        delimiter_bytes = 7
        add_to_head(scatter, HEVC_DELIMITER, 7)
    else:
        delimiter_bytes = 6
        add_to_head(scatter, AVC_DELIMITER, 6)
    if not random_access[0] or roles & wanted == wanted or es.sets_bytes == 0:
        return delimiter_bytes + kept
    add_piece(scatter, es.sets, es.sets_bytes)
    if roles & wanted:
        scatter.known = es.prefixed
        scatter.known_bytes = es.prefixed_bytes
        cursor = scatter.units
        while next_nal(&cursor, &unit, &size) == 1:
            if is_known(scatter, unit, size):
                repeated += 4 + size
    return delimiter_bytes + es.sets_bytes + kept - repeated


cdef size_t lay_frame(scatter_t* scatter, const es_t* es, const Frame* frame) noexcept nogil:
    """Lay out an audio frame behind the header that its codec needs; 0 when it is empty or too large."""
    cdef uint8_t* header = scatter.head + scatter.left
    cdef uint8_t* p = header
    cdef size_t left = frame.size, element = 0
    cdef uint32_t size
    if frame.size == 0 or frame.size > PES_LENGTH_MAX:
        return 0
    if es.wrap == WRAP_ADTS:
        if es.sets_bytes and frame.data[0] >> 5 != ID_PCE:
            element = es.sets_bytes
        if frame.size + element > ADTS_FRAME_MAX - ADTS_BYTES:
            return 0
        size = <uint32_t>(frame.size + element) + ADTS_BYTES
        memcpy(p, es.adts, ADTS_BYTES)
        p[3] |= <uint8_t>(size >> 11)
        p[4] = <uint8_t>(size >> 3)
        p[5] |= <uint8_t>((size & 7) << 5)
        p += ADTS_BYTES
    elif es.wrap == WRAP_OPUS:
        if frame.size > OPUS_FRAME_MAX:
            return 0
        p = put_u16(p, 0x7FE0)
        while left >= 255:
            p = put_u8(p, 255)
            left -= 255
        p = put_u8(p, <uint32_t>left)
    size = <uint32_t>(p - header)
    scatter.left += size
    if element:
        add_piece(scatter, es.sets, element)
    add_piece(scatter, frame.data, frame.size)
    return size + element + frame.size


cdef size_t lay_section(scatter_t* scatter, const Frame* frame, int64_t delay) noexcept nogil:
    """Lay out a splice_info_section with times of this stream, stuffed up to whole packets (2.4.4.1); 0 when it is none."""
    cdef size_t left
    if frame.size < SPLICE_HEAD + 4 or frame.size > SECTION_BYTES:
        return 0
    memcpy(scatter.section, frame.data, frame.size)
    put_pts_adjustment(scatter.section, get_pts_adjustment(scatter.section) + frame.pts + delay)
    put_u32(scatter.section + frame.size - 4, crc32_mpeg(scatter.section, frame.size - 4))
    scatter.head[0] = 0              # pointer_field
    scatter.left = 1
    add_piece(scatter, scatter.section, frame.size)
    left = PAYLOAD_BYTES - 1 - (frame.size + 1 + PAYLOAD_BYTES - 1) % PAYLOAD_BYTES
    add_piece(scatter, STUFFING, left)
    return 1 + frame.size + left


cdef bint put_pes_header(
    uint8_t* p, const es_t* es, uint32_t stamps, size_t payload, int64_t dts, int64_t pts
) noexcept nogil:
    """A PES header with data_alignment_indicator and `stamps` bytes of time: 2.4.3.6; False when the length cannot be
    said.
    """
    cdef size_t length = 3 + stamps + payload
    if length > PES_LENGTH_MAX:
        if not es.video:
            return False
        length = 0
    p = put_u32(p, 0x100 | es.stream_id)
    p = put_u16(p, <uint32_t>length)
    p = put_u8(p, 0x84)
    p = put_u8(p, 0x80 if stamps == 5 else 0xC0)
    p = put_u8(p, stamps)
    if stamps == 5:
        put_stamp(p, 2, pts)
    else:
        put_stamp(put_stamp(p, 3, pts), 1, dts)
    return True


cdef size_t lay_pes(
    scatter_t* scatter, const es_t* es, const Frame* frame, int64_t delay, bint* random_access
) noexcept nogil:
    # A PTS before the DTS is forbidden; such a frame is shown when it is decoded.
    cdef uint32_t stamps = 5 if frame.pts <= frame.dts else 10
    cdef size_t header = 9 + stamps
    cdef size_t payload
    scatter.at = scatter.head
    scatter.left = header        # its bytes are put last: they tell the size of all
    scatter.next = scatter.pieces = 0
    scatter.units.at = scatter.units.end = NULL
    scatter.unit_bytes = 0
    scatter.codec = es.codec
    scatter.known = NULL
    if es.wrap == WRAP_SECTION:
        return lay_section(scatter, frame, delay)
    if es.wrap == WRAP_NAL:
        payload = lay_units(scatter, es, frame, random_access)
    else:
        payload = lay_frame(scatter, es, frame)
    if payload == 0 or not put_pes_header(scatter.head, es, stamps, payload, frame.dts + delay, frame.pts + delay):
        return 0
    return header + payload


cdef inline uint8_t* put_full_packets(
    uint8_t* out, uint32_t start, uint32_t counter, const uint8_t* data, size_t count
) noexcept nogil:
    """Packets of nothing but payload that lies at one stretch; here most of the time goes."""
    while count:
        memcpy(put_u32(out, start | (counter & 15)), data, PAYLOAD_BYTES)
        counter += 1
        out += PACKET_BYTES
        data += PAYLOAD_BYTES
        count -= 1
    return out


cdef uint8_t* put_pes_start(
    uint8_t* out, es_t* es, scatter_t* scatter, size_t* left, uint32_t flags, int64_t pcr
) noexcept nogil:
    """The first packet of a PES packet of *left bytes, with the adaptation field of `flags`; *left is then what remains."""
    cdef size_t part = min(PAYLOAD_BYTES - (8 if flags & AF_PCR else 2 if flags else 0), left[0])
    gather(scatter, put_packet_start(out, PAYLOAD_UNIT_START | es.pid, es.counter, flags, pcr, <uint32_t>part), part)
    es.counter = (es.counter + 1) & 15
    left[0] -= part
    return out + PACKET_BYTES


cdef uint8_t* put_pes_rest(uint8_t* out, es_t* es, scatter_t* scatter, size_t* left, size_t most) noexcept nogil:
    """The packets that follow, at most so many; the last one has the stuffing."""
    cdef uint32_t counter = es.counter
    cdef uint32_t start = <uint32_t>SYNC_BYTE << 24 | es.pid << 8 | PAYLOAD_ONLY
    cdef size_t full
    while left[0] >= PAYLOAD_BYTES and most:
        full = min(min(left[0], scatter.left) // PAYLOAD_BYTES, most)
        if full:
            out = put_full_packets(out, start, counter, scatter.at, full)
            scatter.at += full * PAYLOAD_BYTES
            scatter.left -= full * PAYLOAD_BYTES
        else:
            full = 1             # it ends in another piece than it begins in
            gather(scatter, put_u32(out, start | (counter & 15)), PAYLOAD_BYTES)
            out += PACKET_BYTES
        counter += <uint32_t>full
        left[0] -= full * PAYLOAD_BYTES
        most -= full
    if left[0] and most:
        gather(scatter, put_packet_start(out, es.pid, counter, 0, 0, <uint32_t>left[0]), left[0])
        counter += 1
        left[0] = 0
        out += PACKET_BYTES
    es.counter = counter & 15
    return out
