"""TsMuxer: frames to MPEG-TS packets in a ring.  ISO/IEC 13818-1 throughout; ETSI TS 101 154 for the intervals.

One frame becomes one PES packet becomes one span.  The size of the PES packet is known before the first byte is written, so a
frame goes from where it lies into the ring in one pass, and a malformed frame leaves no trace.

Time.  PTS and DTS are the engine's plus a constant, the delay; the PCR runs on the engine's line itself, so it stays one delay
behind what it announces.  It follows the track that is furthest behind, because that track may still send such times; a track
that is more than 900 ms behind the newest has stopped and is not waited for, and to keep PTS - PCR below a second the lead
over a track shrinks while that track lags.  The PCR only grows.  Steps of more than 35 ms are cut into several packets without payload.

Tables are a function of the PCR: PAT and PMT precede the first PCR that is 65 ms past the last ones, and since steps are at
most 35 ms they are never more than 100 ms apart.

Join points.  A key span begins with PAT, PMT and PCR and holds everything that a decoder needs.  Its lead-in material is one
packet without payload per PID that says "discontinuity" and carries the counter of that PID's last payload: whoever is put on
the ring here, new or moved from elsewhere, sees continuous counters from then on.
"""
cimport cython
from libc.stdint cimport INT64_MAX, INT64_MIN, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcmp, memcpy

from pushcast.frame cimport CODEC_HEVC, FRAME_CONFIG, FRAME_DISCONTINUITY, FRAME_KEY, Frame
from pushcast.nal cimport NAL_AUD, NAL_KEY, nal_cursor_t, nal_role, next_nal, parameter_sets
from pushcast.ring cimport SPAN_DISCONTINUITY, SPAN_KEY, Ring
from pushcast.wire cimport put_u8, put_u16, put_u32

from typing import NamedTuple

from pushcast import nal, psi
from pushcast.errors import MediaError
from pushcast.media import Codec, Kind

cdef extern from *:
    """
    #define PUSHCAST_NEVER INT64_MIN
    #define PUSHCAST_PCR_MODULUS (((int64_t)1 << 33) * 300)
    """
    const int64_t NEVER "PUSHCAST_NEVER"
    const int64_t PCR_MODULUS "PUSHCAST_PCR_MODULUS"

cdef enum:
    FIRST_ES_PID = 0x0100

    TICK = 300                   # 27 MHz units in one of 90 kHz
    LAG_IGNORED = 81000          # 90 kHz: a track further behind the newest has stopped; below a second, as PTS - PCR must be
    LEAD_MAX = 63000             # 90 kHz: newest DTS minus PCR; leaves 300 ms of the second for reordering
    PCR_QUIET = 20 * 27000       # frames of other tracks bring a PCR when the last one is this old
    PCR_STEP = 35 * 27000
    PCR_JUMP = 1500 * 27000      # a gap longer than this is passed at one step
    TABLES_AFTER = 65 * 27000
    SDT_AFTER = 1000 * 27000
    KEY_AFTER = 400 * 90         # join points of a feed without video

    PES_LENGTH_MAX = 0xFFFF
    ADTS_BYTES = 7
    ADTS_FRAME_MAX = 0x1FFF
    OPUS_FRAME_MAX = 7650        # 120 ms of 1275-byte frames of 20 ms: RFC 6716 3.2

# Times outside are no engine times; inside, 27 MHz arithmetic cannot overflow.
cdef int64_t TIME_LIMIT = <int64_t>1 << 54

cdef const uint8_t* START_CODE = b"\0\0\0\1"
# Any slice type may follow: H.264 7.4.2.4, H.265 7.4.3.5.
cdef const uint8_t* AVC_DELIMITER = b"\0\0\0\1\x09\xf0"
cdef const uint8_t* HEVC_DELIMITER = b"\0\0\0\1\x46\x01\x50"


class _Format(NamedTuple):
    """How a codec appears in the PMT and in PES packets."""

    stream_type: int
    stream_id: int
    wrap: int
    descriptors: bytes = b""


# 13818-1 table 2-34, ATSC A/52 annex A for AC-3, and the registrations that decoders look for.  stream_id 0xE0 and 0xC0 count
# up with the tracks; private_stream_1 does not.
_FORMATS = {
    Codec.H264: _Format(0x1B, 0xE0, WRAP_NAL),
    Codec.HEVC: _Format(0x24, 0xE0, WRAP_NAL, b"\x05\x04HEVC"),
    Codec.AAC: _Format(0x0F, 0xC0, WRAP_ADTS),
    Codec.MP2: _Format(0x03, 0xC0, WRAP_NONE),
    Codec.MP3: _Format(0x03, 0xC0, WRAP_NONE),
    Codec.AC3: _Format(0x81, 0xBD, WRAP_NONE, b"\x05\x04AC-3"),
    Codec.EAC3: _Format(0x87, 0xBD, WRAP_NONE, b"\x05\x04EAC3"),
    Codec.OPUS: _Format(0x06, 0xBD, WRAP_OPUS, b"\x05\x04Opus"),
}
_STREAM_IDS = {0xE0: 16, 0xC0: 32}    # how many numbers follow each base: table 2-22
_PRIVATE_STREAM_1 = 0xBD


def _format_of(track):
    """The track's row of the table, with what depends on the track itself filled in."""
    row = _FORMATS.get(track.codec)
    if row is None:
        carried = ", ".join(codec.name for codec in _FORMATS)
        raise MediaError(f"{_name(track)}: MPEG-TS output carries {carried}")
    if track.codec in (Codec.MP2, Codec.MP3) and 0 < track.sample_rate < 32000:
        return row._replace(stream_type=0x04)
    if track.codec is Codec.OPUS:
        if track.channels not in (1, 2):
            raise MediaError(f"{_name(track)}: expected 1 or 2 channels, got {track.channels}")
        return row._replace(descriptors=row.descriptors + bytes((0x7F, 2, 0x80, track.channels)))
    return row


def _track_id(track):
    return track.id


def _name(track):
    return f"track {track.id} ({track.codec.name})"


# PES -----------------------------------------------------------------------------------------------------------------------

cdef inline void add_piece(scatter_t* scatter, const uint8_t* data, size_t size) noexcept nogil:
    scatter.piece[scatter.pieces] = data
    scatter.piece_bytes[scatter.pieces] = size
    scatter.pieces += 1


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
        add_piece(scatter, START_CODE, 4)
        delimiter_bytes += 4
        add_piece(scatter, delimiter, delimiter_bytes - 4)
    elif es.codec == CODEC_HEVC:
        delimiter_bytes = 7
        add_piece(scatter, HEVC_DELIMITER, 7)
    else:
        delimiter_bytes = 6
        add_piece(scatter, AVC_DELIMITER, 6)
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
    cdef uint8_t* p = scatter.frame_header
    cdef size_t left = frame.size
    cdef uint32_t size
    if frame.size == 0 or frame.size > PES_LENGTH_MAX:
        return 0
    if es.wrap == WRAP_ADTS:
        if frame.size > ADTS_FRAME_MAX - ADTS_BYTES:
            return 0
        size = <uint32_t>frame.size + ADTS_BYTES
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
    size = <uint32_t>(p - scatter.frame_header)
    add_piece(scatter, scatter.frame_header, size)
    add_piece(scatter, frame.data, frame.size)
    return size + frame.size


cdef size_t put_pes_header(scatter_t* scatter, const es_t* es, size_t payload, int64_t dts, int64_t pts) noexcept nogil:
    """The header of a PES packet with data_alignment_indicator: 2.4.3.6; its size, 0 when the length cannot be said.

    A PTS before the DTS is forbidden; such a frame is shown when it is decoded.
    """
    cdef uint8_t* p = scatter.pes_header
    cdef uint32_t stamps = 5 if pts <= dts else 10
    cdef size_t length = 3 + stamps + payload
    if length > PES_LENGTH_MAX:
        if not es.video:
            return 0
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
    return 9 + stamps


cdef uint8_t* put_pes(uint8_t* out, es_t* es, scatter_t* scatter, size_t left, uint32_t flags, int64_t pcr) noexcept nogil:
    """All packets of a PES packet of `left` bytes; the first has the adaptation field of `flags`, the last the stuffing."""
    cdef size_t part = PAYLOAD_BYTES - (8 if flags & AF_PCR else 2 if flags else 0)
    cdef uint32_t counter = es.counter
    cdef uint32_t start = <uint32_t>SYNC_BYTE << 24 | es.pid << 8 | PAYLOAD_ONLY
    if part > left:
        part = left
    gather(scatter, put_packet_start(out, PAYLOAD_UNIT_START | es.pid, counter, flags, pcr, <uint32_t>part), part)
    counter += 1
    out += PACKET_BYTES
    left -= part
    while left >= PAYLOAD_BYTES:
        put_u32(out, start | (counter & 15))
        if scatter.left >= PAYLOAD_BYTES:
            memcpy(out + 4, scatter.at, PAYLOAD_BYTES)
            scatter.at += PAYLOAD_BYTES
            scatter.left -= PAYLOAD_BYTES
        else:
            gather(scatter, out + 4, PAYLOAD_BYTES)
        counter += 1
        out += PACKET_BYTES
        left -= PAYLOAD_BYTES
    if left:
        gather(scatter, put_packet_start(out, es.pid, counter, 0, 0, <uint32_t>left), left)
        counter += 1
        out += PACKET_BYTES
    es.counter = counter & 15
    return out


cdef uint8_t* put_table(uint8_t* out, psi_t* table) noexcept nogil:
    cdef uint32_t index
    for index in range(table.count):
        memcpy(out, table.packets + index * PACKET_BYTES, PACKET_BYTES)
        out[3] = PAYLOAD_ONLY | table.counter
        table.counter = (table.counter + 1) & 15
        out += PACKET_BYTES
    return out


cdef inline int64_t wrapped_pcr(int64_t pcr) noexcept nogil:
    cdef int64_t rest = pcr % PCR_MODULUS
    return rest + PCR_MODULUS if rest < 0 else rest


# The muxer -----------------------------------------------------------------------------------------------------------------

@cython.final
cdef class TsMuxer(Muxer):
    """TsMuxer(ring, tracks, *, service="pushcast", delay_ms=300)

    Writes frames of ``tracks`` into ``ring`` as one-program MPEG-TS.

    ``service``: name in the SDT; ``delay_ms``: how far the PCR runs behind the DTS, 0 to 600.
    ``malformed``: access units that were dropped because they could not be parsed or carried.
    Raises MediaError for a track whose codec or config MPEG-TS cannot carry.
    """

    def __cinit__(self, Ring ring not None, tracks, *, str service="pushcast", int64_t delay_ms=300):
        if not 0 <= delay_ms <= 600:
            raise ValueError(f"delay_ms: found {delay_ms}, expected 0 to 600")
        self.ring = ring
        self.delay = delay_ms * 90
        self.pcr = NEVER
        self.tables_due = NEVER
        self.sdt_due = NEVER
        self.key_due = NEVER
        self.owned = {}
        # The lowest id, as in Source: what is a join point there is one here.
        videos = sorted((track for track in tracks if track.kind is Kind.VIDEO), key=_track_id)
        ordered = videos[:1] + [track for track in tracks if track not in videos[:1]]
        if not ordered or len({track.id for track in ordered}) != len(ordered):
            raise MediaError(f"expected one or more tracks of distinct ids, got the ids {[track.id for track in ordered]}")
        self.es = <es_t*>calloc(len(ordered), sizeof(es_t))
        if self.es == NULL:
            raise MemoryError("the elementary streams of a muxer")
        streams = [self._add_stream(track, FIRST_ES_PID + index) for index, track in enumerate(ordered)]
        self._own_psi(&self.pat, psi.PAT_PID, psi.pat_packets())
        self._own_psi(&self.pmt, psi.PMT_PID, psi.pmt_packets(streams))
        self._own_psi(&self.sdt, psi.SDT_PID, psi.sdt_packets(service))

    def __dealloc__(self):
        free(self.es)

    cdef object _add_stream(self, track, uint32_t pid):
        """Fill the next es_t; its line of the PMT."""
        row = _format_of(track)
        cdef es_t* es = &self.es[self.es_count]
        cdef uint32_t index
        cdef uint32_t same = 0
        for index in range(self.es_count):
            same += self.es[index].stream_id & 0xE0 == row.stream_id
        if row.stream_id != _PRIVATE_STREAM_1:
            if same >= _STREAM_IDS[row.stream_id]:
                raise MediaError(f"{_name(track)}: at most {_STREAM_IDS[row.stream_id]} tracks of its kind fit one program")
            es.stream_id = row.stream_id + same
        else:
            es.stream_id = _PRIVATE_STREAM_1
        es.track = track.id
        es.codec = track.codec
        es.pid = pid
        es.wrap = row.wrap
        es.video = track.kind is Kind.VIDEO
        es.dts = NEVER
        self._configure(es, track.config)
        self.es_count += 1
        return psi.ElementaryStream(row.stream_type, pid, row.descriptors)

    cdef int _own_psi(self, psi_t* table, uint32_t pid, bytes packets) except -1:
        self.owned[f"table on PID {pid}"] = packets
        table.packets = packets
        table.count = len(packets) // PACKET_BYTES
        table.pid = pid
        return 0

    cdef int _configure(self, es_t* es, bytes config) except -1:
        """Take over a decoder configuration; MediaError, and the old one stays, when it does not parse."""
        cdef bytes sets, prefixed, adts
        try:
            if es.wrap == WRAP_NAL:
                parsed = nal.parse_hvcc(config) if es.codec == CODEC_HEVC else nal.parse_avcc(config)
                units = [*getattr(parsed, "vps", ()), *parsed.sps, *parsed.pps]
                sets = b"".join([b"\0\0\0\1" + unit for unit in units])
                prefixed = b"".join([len(unit).to_bytes(4, "big") + unit for unit in units])
                self.owned[es.track] = (sets, prefixed)
                es.length_size = parsed.length_size
                es.sets, es.sets_bytes = sets, len(sets)
                es.prefixed, es.prefixed_bytes = prefixed, len(prefixed)
            elif es.wrap == WRAP_ADTS:
                adts = nal.build_adts(config, 1)
                memcpy(es.adts, <const uint8_t*>adts, ADTS_BYTES)
                es.adts[3] &= 0xFC
                es.adts[5] &= 0x1F
        except MediaError as error:
            raise MediaError(f"track {es.track} ({Codec(es.codec).name}): {error}") from None
        return 0

    cdef int write(self, const Frame* frame) except -1:
        """Write one frame as one span.  Frames of other tracks are passed over, malformed ones are counted and dropped.

        A FRAME_CONFIG frame replaces the track's config and writes nothing; MediaError when it does not parse.
        """
        cdef es_t* es = self._es_of(frame.track)
        cdef scatter_t scatter
        cdef bint random_access = False
        cdef size_t payload = 0, header = 0
        if es == NULL:
            return 0
        if frame.flags & FRAME_CONFIG:
            return self._configure(es, frame.data[:frame.size])
        scatter.left = 0
        scatter.next = 0
        scatter.pieces = 1
        scatter.units.at = scatter.units.end = NULL
        scatter.unit_bytes = 0
        scatter.codec = es.codec
        scatter.known = NULL
        if -TIME_LIMIT < frame.dts < TIME_LIMIT and -TIME_LIMIT < frame.pts < TIME_LIMIT:
            if es.wrap == WRAP_NAL:
                payload = lay_units(&scatter, es, frame, &random_access)
            else:
                payload = lay_frame(&scatter, es, frame)
        if payload:
            header = put_pes_header(&scatter, es, payload, frame.dts + self.delay, frame.pts + self.delay)
        if header == 0:
            self.malformed += 1
            return 0
        scatter.piece[0] = scatter.pes_header
        scatter.piece_bytes[0] = header
        return self._write_span(frame, es, &scatter, header + payload, random_access)

    cdef int _write_span(self, const Frame* frame, es_t* es, scatter_t* scatter, size_t pes_bytes, bint random_access) except -1:
        """Everything that goes out with one PES packet: lead-in material, tables, clock, the PES packet, SDT."""
        cdef bint key = random_access and es == self.es if self.es.video else frame.dts >= self.key_due
        cdef int64_t pcr = self._pcr_after(es, frame.dts)
        cdef int64_t steps = self._steps_to(es, pcr, key)
        cdef int64_t from_pcr = self.pcr, at
        cdef int64_t index
        cdef uint32_t flags = AF_RANDOM_ACCESS if random_access or key else 0
        cdef size_t tables = self.pat.count + self.pmt.count
        cdef size_t packets = <size_t>steps * (1 + tables) + (pes_bytes + 8) // PAYLOAD_BYTES + 2 + self.sdt.count
        if key:
            packets += 3 + self.es_count
            if from_pcr != NEVER and pcr <= from_pcr:
                pcr = from_pcr + 1
        cdef uint8_t* room = self.ring.reserve(packets * PACKET_BYTES)
        cdef uint8_t* shared = self._put_lead(room) if key else room
        cdef uint8_t* out = shared
        es.dts = frame.dts
        for index in range(1, steps + 1):
            at = pcr if index == steps else from_pcr + (pcr - from_pcr) * index // steps
            if at >= self.tables_due or (key and index == 1):
                out = self._put_tables(out, at)
            if index == steps and es == self.es:
                flags |= AF_PCR
            else:
                out = self._put_clock(out, at)
        if steps:
            self.pcr = pcr
        out = put_pes(out, es, scatter, pes_bytes, flags, wrapped_pcr(pcr))
        if self.pcr >= self.sdt_due:
            out = put_table(out, &self.sdt)
            self.sdt_due = self.pcr + SDT_AFTER
        if key:
            self.key_due = frame.dts + KEY_AFTER
        flags = (SPAN_KEY if key else 0) | (SPAN_DISCONTINUITY if frame.flags & FRAME_DISCONTINUITY else 0)
        self.ring.commit(<uint32_t>(shared - room), <uint32_t>(out - shared), frame.dts, flags, frame.track)
        return 0

    cdef es_t* _es_of(self, uint32_t track) noexcept nogil:
        cdef uint32_t index
        for index in range(self.es_count):
            if self.es[index].track == track:
                return &self.es[index]
        return NULL

    cdef int64_t _pcr_after(self, const es_t* written, int64_t dts) noexcept nogil:
        """The PCR, 27 MHz, that may stand before a frame of `written` at `dts`: no track may still send less.

        As the delay is added to DTS and not taken from the PCR, "one delay behind" is the engine time itself.
        """
        cdef int64_t newest = dts, low = INT64_MAX, other
        cdef uint32_t index
        for index in range(self.es_count):
            if &self.es[index] != written and self.es[index].dts > newest:
                newest = self.es[index].dts
        for index in range(self.es_count):
            other = dts if &self.es[index] == written else self.es[index].dts
            if other != NEVER and newest - other <= LAG_IGNORED and other < low:
                low = other
        return TICK * max(low, min(low + self.delay, newest + self.delay - LEAD_MAX))

    cdef int64_t _steps_to(self, const es_t* written, int64_t pcr, bint key) noexcept nogil:
        """In how many packets the PCR goes from the last one to this one; 0: no packet with a PCR now."""
        if self.pcr == NEVER:
            return 1
        cdef int64_t age = pcr - self.pcr
        if age <= 0:
            return 1 if key else 0
        if written != self.es and not key and age < PCR_QUIET:
            return 0
        return (age + PCR_STEP - 1) // PCR_STEP if age <= PCR_JUMP else 1

    cdef uint8_t* _put_clock(self, uint8_t* out, int64_t pcr) noexcept nogil:
        """A packet with nothing but a PCR; without payload the counter does not move."""
        put_packet_start(out, self.es.pid, self.es.counter - 1, AF_PCR, wrapped_pcr(pcr), 0)
        return out + PACKET_BYTES

    cdef uint8_t* _put_tables(self, uint8_t* out, int64_t pcr) noexcept nogil:
        self.tables_due = pcr + TABLES_AFTER
        return put_table(put_table(out, &self.pat), &self.pmt)

    cdef uint8_t* _put_lead(self, uint8_t* out) noexcept nogil:
        """Lead-in material: see the head of this file."""
        cdef uint32_t index
        cdef psi_t* tables[3]
        tables[0], tables[1], tables[2] = &self.pat, &self.pmt, &self.sdt
        for index in range(3):
            put_packet_start(out, tables[index].pid, tables[index].counter - 1, AF_DISCONTINUITY, 0, 0)
            out += PACKET_BYTES
        for index in range(self.es_count):
            put_packet_start(out, self.es[index].pid, self.es[index].counter - 1, AF_DISCONTINUITY, 0, 0)
            out += PACKET_BYTES
        return out
