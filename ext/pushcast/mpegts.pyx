"""TsMuxer: frames to MPEG-TS packets in a ring.  ISO/IEC 13818-1 throughout; ETSI TS 101 154 for the intervals.

One frame becomes one PES packet (pes) becomes one span, with what has to stand around it: tables, clock, lead-in
material.

Time.  PTS and DTS are the engine's plus a constant, the delay; the PCR runs on the engine's line itself, so it stays
one delay behind what it announces.  It follows the track that is furthest behind, because that track may still send
such times; a track that is more than 900 ms behind the newest has stopped and is not waited for, and to keep PTS - PCR
below a second the lead over a track shrinks while that track lags.  The PCR only grows.  Steps of more than 35 ms
(TsOptions.pcr_period_ms) are cut into several packets without payload.

Tables are a function of the PCR: PAT and PMT precede the first PCR that is 65 ms past the last ones, and since steps
are at most 35 ms they are never more than 100 ms (TsOptions.tables_period_ms) apart.

Join points.  A key span begins with PAT, PMT and PCR and holds everything that a decoder needs.  Its lead-in material
is one packet without payload per PID that says "discontinuity" and carries the counter of that PID's last payload:
whoever is put on the ring here, new or moved from elsewhere, sees continuous counters from then on.
"""
from libc.stdint cimport INT64_MAX, INT64_MIN, int64_t, uint8_t, uint32_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from pushcast.frame cimport CODEC_HEVC, FRAME_BESIDE, FRAME_CONFIG, FRAME_DISCONTINUITY, Frame
from pushcast.pes cimport (
    ADTS_BYTES, AF_DISCONTINUITY, AF_PCR, AF_RANDOM_ACCESS, PACKET_BYTES, PAYLOAD_BYTES, PAYLOAD_ONLY, WRAP_ADTS,
    WRAP_NAL, WRAP_NONE, WRAP_OPUS, WRAP_SECTION, es_t, lay_pes, put_packet_start, put_pes_rest, put_pes_start,
    scatter_t,
)
from pushcast.ring cimport SPAN_DISCONTINUITY, SPAN_KEY, Ring

from typing import NamedTuple

from pushcast import opus, psi, tscodecs, tsoptions
from pushcast.aac import build_adts, parse_asc
from pushcast.errors import MediaError
from pushcast.media import Codec, Kind
from pushcast.tsoptions import TsOptions
from pushcast.videoconfig import parse_avcc, parse_hvcc

cdef enum:
    FIRST_ES_PID = 0x0100

    LAG_IGNORED = 81000          # 90 kHz: a track further behind the newest has stopped; below a second, as PTS - PCR is
    DELAY_MOST_MS = 900
    LEAD_MAX = 63000             # 90 kHz: newest DTS minus PCR; leaves 300 ms of the second for reordering
    PCR_JUMP = 1500 * 27000      # a gap longer than this is passed at one step

# Times outside are no engine times; inside, 27 MHz arithmetic cannot overflow.
cdef int64_t TIME_LIMIT = <int64_t>1 << 54

class _Format(NamedTuple):
    """How a codec appears in the PMT and in PES packets."""

    stream_type: int
    stream_id: int
    wrap: int
    descriptors: bytes = b""


# 13818-1 table 2-34, ATSC A/52 annex A for AC-3, and the registrations that decoders look for.  stream_id 0xE0 and 0xC0
# count up with the tracks; private_stream_1 does not.
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
_METADATA_STREAM = 0xFC
# These go out as they came from a transport stream: their config is the stream_type and the descriptors.
_DATA = (Codec.ID3, Codec.SCTE35, Codec.KLV, Codec.PRIVATE)


def _format_of(track):
    """The track's row of the table, with what depends on the track itself filled in."""
    row = _FORMATS.get(track.codec)
    if track.codec in _DATA and track.config:
        wrap = WRAP_SECTION if track.codec is Codec.SCTE35 else WRAP_NONE
        synchronous = track.codec is Codec.KLV and track.config[0] == tscodecs.METADATA_PES
        return _Format(track.config[0], _METADATA_STREAM if synchronous else _PRIVATE_STREAM_1, wrap, track.config[1:])
    if row is None:
        carried = ", ".join(codec.name for codec in (*_FORMATS, *_DATA))
        raise MediaError(f"{_name(track)}: MPEG-TS output carries {carried}")
    if track.codec in (Codec.MP2, Codec.MP3) and 0 < track.sample_rate < 32000:
        return row._replace(stream_type=0x04)
    if track.codec is Codec.OPUS:
        if not 1 <= track.channels <= opus.CHANNELS_MOST:
            raise MediaError(f"{_name(track)}: expected 1 to {opus.CHANNELS_MOST} channels, got {track.channels}")
        return row._replace(descriptors=row.descriptors + bytes((0x7F, 2, 0x80, track.channels)))
    return row


def _program_descriptors(tracks, options):
    """What announces splice information (SCTE 35 8.1) and ID3 (metadata_pointer_descriptor, 13818-1 2.6.58)."""
    codecs = {track.codec for track in tracks}
    descriptors = b"\x05\x04CUEI" if Codec.SCTE35 in codecs else b""
    if Codec.ID3 in codecs:
        descriptors += b"\x25\x0f\xff\xffID3 \xffID3 \0\x1f" + options.service_id.to_bytes(2, "big")
    return descriptors


def _track_id(track):
    return track.id


def _is_data(track):
    return track.kind is Kind.DATA


def _name(track):
    return f"track {track.id} ({track.codec.name})"


# Packets without payload and tables -----------------------------------------------------------------------------------

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


# The muxer ------------------------------------------------------------------------------------------------------------

cdef class TsMuxer(Muxer):
    """TsMuxer(ring, tracks, options=TsOptions())

    Writes frames of ``tracks`` into ``ring`` as one-program MPEG-TS.

    ``malformed``: access units that were dropped because they could not be parsed or carried.
    Raises MediaError for a track whose codec or config MPEG-TS cannot carry.
    """

    def __cinit__(self, Ring ring not None, tracks, options=TsOptions()):
        if not 0 <= options.decode_delay_ms <= DELAY_MOST_MS:
            raise ValueError(f"decode_delay_ms: found {options.decode_delay_ms}, expected 0 to {DELAY_MOST_MS}")
        self.ring = ring
        self.delay = options.decode_delay_ms * 90
        self.pcr_step = options.pcr_period_ms * 27000
        self.pcr_quiet = self.pcr_step * 4 // 7
        self.tables_after = max(options.tables_period_ms - options.pcr_period_ms, 0) * 27000
        self.sdt_after = options.sdt_period_ms * 27000
        self.pcr = NEVER
        self.tables_due = NEVER
        self.sdt_due = NEVER
        self.key_due = NEVER
        self.owned = {}
        # The lowest id, as in Source: what is a join point there is one here.
        videos = sorted((track for track in tracks if track.kind is Kind.VIDEO), key=_track_id)
        others = [track for track in tracks if track not in videos[:1]]
        ordered = videos[:1] + sorted(others, key=_is_data)
        if ordered and ordered[0].codec is Codec.SCTE35:
            raise MediaError("splice information alone is no stream: a track with a clock is needed")
        if not ordered or len({track.id for track in ordered}) != len(ordered):
            raise MediaError(f"expected one or more tracks of distinct ids, got the ids {[track.id for track in ordered]}")
        self.es = <es_t*>calloc(len(ordered), sizeof(es_t))
        if self.es == NULL:
            raise MemoryError("the elementary streams of a muxer")
        streams = self._add_streams(ordered, options)
        self._own_psi(&self.pat, psi.PAT_PID, psi.pat_packets(options))
        self._own_psi(&self.pmt, options.pmt_pid, psi.pmt_packets(options, streams, _program_descriptors(ordered, options)))
        self._own_psi(&self.sdt, psi.SDT_PID, psi.sdt_packets(options))

    def __dealloc__(self):
        free(self.es)

    cdef object _add_streams(self, list ordered, options):
        """Give each track its PID; their lines of the PMT."""
        following = {Kind.VIDEO: options.video_pid, Kind.AUDIO: options.audio_pid}
        other = FIRST_ES_PID
        taken = {options.pmt_pid: "the PMT"}
        streams = []
        for track in ordered:
            pid = following.get(track.kind)
            if pid:
                following[track.kind] += 1
            else:
                pid, other = other, other + 1
            if pid in taken or pid >= tsoptions.NULL_PID:
                raise MediaError(f"{_name(track)}: PID {pid:#x} is that of {taken.get(pid, 'null packets')}: other PIDs are needed")
            taken[pid] = _name(track)
            streams.append(self._add_stream(track, pid))
        return streams

    cdef object _add_stream(self, track, uint32_t pid):
        """Fill the next es_t; its line of the PMT."""
        row = _format_of(track)
        cdef es_t* es = &self.es[self.es_count]
        cdef uint32_t index
        cdef uint32_t same = 0
        for index in range(self.es_count):
            same += self.es[index].stream_id & 0xE0 == row.stream_id
        if row.stream_id in _STREAM_IDS:
            if same >= _STREAM_IDS[row.stream_id]:
                raise MediaError(f"{_name(track)}: at most {_STREAM_IDS[row.stream_id]} tracks of its kind fit one program")
            es.stream_id = row.stream_id + same
        else:
            es.stream_id = row.stream_id
        es.track = track.id
        es.codec = track.codec
        es.pid = pid
        es.wrap = row.wrap
        es.video = track.kind is Kind.VIDEO
        es.sparse = track.kind is Kind.DATA
        es.dts = NEVER
        self._configure(es, track.config)
        self.es_count += 1
        descriptors = row.descriptors
        if track.language and track.kind is not Kind.DATA:
            descriptors += bytes((tscodecs.LANGUAGE, 4)) + track.language.encode() + b"\0"
        return psi.ElementaryStream(row.stream_type, pid, descriptors)

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
                parsed = parse_hvcc(config) if es.codec == CODEC_HEVC else parse_avcc(config)
                units = [*getattr(parsed, "vps", ()), *parsed.sps, *parsed.pps]
                sets = b"".join([b"\0\0\0\1" + unit for unit in units])
                prefixed = b"".join([len(unit).to_bytes(4, "big") + unit for unit in units])
                self.owned[es.track] = (sets, prefixed)
                es.length_size = parsed.length_size
                es.sets, es.sets_bytes = sets, len(sets)
                es.prefixed, es.prefixed_bytes = prefixed, len(prefixed)
            elif es.wrap == WRAP_ADTS:
                adts = build_adts(config, 1)
                sets = parse_asc(config).program_config
                self.owned[es.track] = sets
                es.sets, es.sets_bytes = sets, len(sets)
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
        cdef size_t pes_bytes = 0
        if es == NULL:
            return 0
        if frame.flags & (FRAME_BESIDE & ~FRAME_CONFIG):
            return 0
        if frame.flags & FRAME_CONFIG:
            return self._configure(es, frame.data[:frame.size])
        if -TIME_LIMIT < frame.dts < TIME_LIMIT and -TIME_LIMIT < frame.pts < TIME_LIMIT:
            pes_bytes = lay_pes(&scatter, es, frame, self.delay, &random_access)
        if pes_bytes == 0:
            self.malformed += 1
            return 0
        return self._write_span(frame, es, &scatter, pes_bytes, random_access)

    cdef int _write_span(self, const Frame* frame, es_t* es, scatter_t* scatter, size_t pes_bytes, bint random_access) except -1:
        """Everything that goes out with one PES packet: lead-in material, tables, clock, the PES packet, SDT."""
        cdef bint key = self._makes_key(frame, es, random_access)
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
                out = self._put_clock(out, at, 0)
        if steps:
            self.pcr = pcr
        out = put_pes_start(out, es, scatter, &pes_bytes, flags, wrapped_pcr(pcr))
        out = put_pes_rest(out, es, scatter, &pes_bytes, pes_bytes)
        if self.pcr >= self.sdt_due:
            out = put_table(out, &self.sdt)
            self.sdt_due = self.pcr + self.sdt_after
        if key:
            self.key_due = frame.dts + KEY_AFTER
        flags = (SPAN_KEY if key else 0) | (SPAN_DISCONTINUITY if frame.flags & FRAME_DISCONTINUITY else 0)
        self.ring.commit(<uint32_t>(shared - room), <uint32_t>(out - shared), frame.dts, flags, frame.track)
        return 0

    cdef bint _makes_key(self, const Frame* frame, const es_t* es, bint random_access) noexcept nogil:
        """A cursor may join at this frame."""
        return random_access and es == self.es if self.es.video else frame.dts >= self.key_due and (not es.sparse or es == self.es)

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
            if self.es[index].sparse and index:
                continue
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
        if written != self.es and not key and age < self.pcr_quiet:
            return 0
        return (age + self.pcr_step - 1) // self.pcr_step if age <= PCR_JUMP else 1

    cdef uint8_t* _put_clock(self, uint8_t* out, int64_t pcr, uint32_t flags) noexcept nogil:
        """A packet with nothing but a PCR, and flags beside it; without payload the counter does not move."""
        put_packet_start(out, self.es.pid, self.es.counter - 1, AF_PCR | flags, wrapped_pcr(pcr), 0)
        return out + PACKET_BYTES

    cdef uint8_t* _put_tables(self, uint8_t* out, int64_t pcr) noexcept nogil:
        self.tables_due = pcr + self.tables_after
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
