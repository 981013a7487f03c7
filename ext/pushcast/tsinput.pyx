"""TsInput: a transport stream to frames of one Source.  ISO/IEC 13818-1 throughout.

The PAT leads to the PMT of one program, the PMT to the PIDs (tspids.pyx); what their PES packets hold goes to a parser of its own for each track
(esparser), and sections of splice information go out as frames themselves.

Time.  What stamps are, and what the clock of the program says of them, is the TimeBase's business.

Change.  A PMT with the same tracks on other PIDs changes nothing for who watches.  One with other tracks does: before
the stream is announced it begins anew, after that `changed` tells that another stream has begun.
"""
from libc.stdint cimport int64_t, uint8_t, uint32_t

from pushcast.esparser cimport NO_STAMP, EsParser
from pushcast.psisection cimport section_t
from pushcast.source cimport Source
from pushcast.splice cimport get_pts_adjustment, put_pts_adjustment
from pushcast.timebase cimport TimeBase, stamps_t
from pushcast.tspackets cimport TS_BYTES
from pushcast.tspids cimport NO_PID, PID_PAT, PID_PES, PID_PMT, PID_SPLICE, PidInput, input_pid_t
from pushcast.wire cimport get_u16, get_u32

from pushcast.audioparser import Ac3Parser, AdtsParser, LatmParser, MpegAudioParser, OpusParser
from pushcast.errors import MediaError
from pushcast.esparser import DataParser, SpliceParser
from pushcast.media import Kind, Track
from pushcast.nalparser import NalParser
from pushcast.psi import read_pat, read_pmt
from pushcast.tscodecs import Carriage, carriage_of

cdef enum:
    NULL_PID = 0x1FFF
    TABLES_AT_ONCE = 16              # tables that differ from those before: Python reads them, in hundreds of microseconds
    PACKETS_A_TABLE = 50             # ... and as many packets pay for each; passed over, a table comes again in 0.1 s

cdef int64_t PROBE_TICKS = 2 * 90000         # how long a track of the PMT may take to show what it is
cdef int64_t VIDEO_PROBE_TICKS = 12 * 90000  # ... a video, whose parameter sets come with a keyframe

_PARSERS = {
    Carriage.NAL: lambda source, track, stream: NalParser(source, track, stream.codec),
    Carriage.ADTS: lambda source, track, stream: AdtsParser(source, track, stream.codec),
    Carriage.LATM: lambda source, track, stream: LatmParser(source, track, stream.codec),
    Carriage.MPEG_AUDIO: lambda source, track, stream: MpegAudioParser(source, track, stream.codec),
    Carriage.AC3: lambda source, track, stream: Ac3Parser(source, track, stream.codec),
    Carriage.OPUS: lambda source, track, stream: OpusParser(source, track, stream.channels),
    Carriage.PES_DATA: lambda source, track, stream: DataParser(source, track, stream.codec, stream.config),
    Carriage.SPLICE: lambda source, track, stream: SpliceParser(source, track, stream.codec, stream.config),
}


cdef class TsInput(PidInput):
    """TsInput(source, program=0)

    ``program``: the program_number to take, 0 for the first of the PAT.  `ready` turns true when every track of the PMT
    is known, or has had time to be; `freeze` then fixes the tracks.  MediaError: the bytes are no transport stream of
    188-byte packets.
    """

    def __cinit__(self, Source source not None, int program=0):
        self.source = source
        self.wanted_program = program
        self.tracks = ()
        self.other_programs = []
        self.other_streams = []
        self.tables_paid = -TABLES_AT_ONCE * PACKETS_A_TABLE
        self.parsers = []
        self.listed = []
        self.time = TimeBase(source)
        self.follow(0, PID_PAT)

    @property
    def ready(self):
        cdef int64_t seen = self.time.clock - self.time.first if self.time.clock != NO_STAMP else 0
        cdef EsParser parser
        if not self.tracks or all([track.kind is Kind.DATA for track in self.tracks]) and seen < PROBE_TICKS:
            return False
        for parser in self.parsers:
            if not parser.known and parser.reason is None and seen < (VIDEO_PROBE_TICKS if parser.codec.kind is Kind.VIDEO else PROBE_TICKS):
                return False
        return True

    def freeze(self):
        """The stream is announced with the tracks known so far; what becomes known later is counted in `late_tracks`
        and left out.
        """
        cdef EsParser parser
        self.frozen = True
        for parser in self.parsers:
            if not parser.known:
                reason = parser.reason or "nothing came that tells what a decoder needs"
                self.other_streams.append(f"{parser.codec.name} on PID {self.listed[parser.track].pid}: {reason}")

    @property
    def left_out(self):
        """What is not carried, and why."""
        return [*self.other_programs, *self.other_streams]

    @property
    def damaged(self):
        """Access units and sections that were left out, for any reason."""
        cdef EsParser parser
        return self.damaged_packets + self.damaged_tables + sum([(<EsParser>parser).damaged for parser in self.parsers])

    # ---- what PidInput hands over ----

    cdef void adaptation(self, const uint8_t* p) noexcept:
        """The clock of the program: 2.4.3.4."""
        cdef uint32_t flags = p[5] if p[4] else 0
        self.clock_breaks = self.clock_breaks or flags & 0x80 != 0
        if flags & 0x10 and 7 <= p[4] <= TS_BYTES - 5:
            self.time.take_pcr(<int64_t>get_u32(p + 6) << 1 | p[10] >> 7, self.clock_breaks)
            self.clock_breaks = False

    cdef void begun(self, input_pid_t* s) noexcept:
        self.time.begin(&self.stamps[s.reader])

    cdef void lost(self, input_pid_t* s) noexcept:
        (<EsParser>self.parsers[s.reader]).lose()

    cdef int whole_pes(self, input_pid_t* s) except -1:
        """2.4.3.6."""
        cdef const uint8_t* p = s.data
        cdef int64_t pts = NO_STAMP, dts = NO_STAMP
        cdef size_t at
        cdef stamps_t* stamps = &self.stamps[s.reader]
        cdef EsParser parser = self.parsers[s.reader]
        if s.filled < 9 or get_u32(p) >> 8 != 1 or p[6] & 0xC0 != 0x80:
            self.damaged_packets += 1
            return 0
        at = 9 + <size_t>p[8]
        if at > s.filled or p[6] & 0x30:
            self.scrambled += p[6] & 0x30 != 0
            self.damaged_packets += 1
            return 0
        if p[7] & 0x80 and p[8] >= 5:
            pts = get_stamp(p + 9)
            dts = get_stamp(p + 14) if p[7] & 0xC0 == 0xC0 and p[8] >= 10 else pts
            self.time.settle(stamps, dts, parser.codec.kind is not Kind.DATA)
            pts = self.time.unwrap(pts + stamps.shift)
            dts = self.time.unwrap(dts + stamps.shift)
            self.time.note(stamps, dts)
        elif parser.codec.kind is Kind.DATA:
            pts = dts = self.time.clock
        return parser.take(p + at, s.filled - at, pts, dts, s.random_access)

    cdef int whole_section(self, input_pid_t* s) except -1:
        cdef section_t* section = s.section
        cdef uint32_t crc
        cdef EsParser parser
        if s.kind == PID_SPLICE:
            parser = self.parsers[s.reader]
            # Its times are on the time base of now, as it came.
            put_pts_adjustment(section.data, get_pts_adjustment(section.data) + self.time.shift)
            return parser.take(section.data, section.size, self.time.clock, self.time.clock, True)
        # Long syntax, in force: 2.4.4.3.
        if section.size < 12 or not section.data[1] & 0x80 or not section.data[5] & 1:
            return 0
        crc = get_u32(section.data + section.size - 4)
        if s.kind == PID_PAT and section.data[0] == 0 and crc != self.pat_crc and self.may_read_table():
            self.pat_crc = crc
            self._take_pat(read_pat(section.data[:section.size]))
        elif s.kind == PID_PMT and section.data[0] == 2 and crc != self.pmt_crc and get_u16(section.data + 3) == self.program and self.may_read_table():
            try:
                pmt = read_pmt(section.data[:section.size])
            except MediaError:
                self.damaged_tables += 1
                return 0
            self.pmt_crc = crc
            self.pcr_pid = get_u16(section.data + 8) & 0x1FFF
            if self.pcr_pid == NULL_PID:
                self.pcr_pid = NO_PID        # a program without a clock: 2.4.4.9
            self._take_pmt(pmt)
        return 0

    # ---- tables ----

    cdef bint may_read_table(self) noexcept:
        """Whether this much of Python's time has been paid for by packets."""
        cdef int64_t packets = <int64_t>self.packets
        cdef int64_t paid = max(self.tables_paid, packets - TABLES_AT_ONCE * PACKETS_A_TABLE) + PACKETS_A_TABLE
        if paid > packets:
            return False
        self.tables_paid = paid
        return True

    def _take_pat(self, programs):
        """(program_number, PID of its PMT) of each program."""
        chosen = [each for each in programs if each[0] == self.wanted_program] if self.wanted_program else programs[:1]
        if not chosen:
            return
        number, pid = chosen[0]
        cdef int index
        for index in range(self.pids_used):
            if self.pids[index].kind == PID_PMT and self.pids[index].pid != pid:
                self.unfollow(self.pids[index].pid)
        if number != self.program:
            self.pmt_crc = 0
        self.program = number
        self.follow(pid, PID_PMT)
        if not self.frozen:
            others = ", ".join([str(other) for other, _ in programs if other != number])
            self.other_programs = [f"programs besides {number}: {others}"] if others else []

    def _take_pmt(self, pmt):
        cdef int at
        streams = []
        left_out = []
        for stream in pmt:
            try:
                found = carriage_of(stream)
                if len(streams) == TRACKS_MOST:
                    raise MediaError(f"a stream has at most {TRACKS_MOST} tracks")
                at = self.index_of[stream.pid] - 1
                if any([each.pid == stream.pid for each in streams]) or at >= 0 and self.pids[at].kind <= PID_PMT:
                    raise MediaError("the PID is in use for something else")
                streams.append(found)
            except MediaError as error:
                left_out.append(f"PID {stream.pid}: {error}")
        # Numbered video before audio before data, each in the order of the PMT.
        streams.sort(key=_rank)
        if [each.shape for each in streams] == [each.shape for each in self.listed]:
            self._move(streams)
        elif self.frozen:
            self.changed = True
            self.flush()
            for each in self.listed:
                self.unfollow(each.pid)
        else:
            self.other_streams = left_out
            self._begin(streams)

    def _begin(self, streams):
        """The tracks of the first PMT, or of one that replaces it before anything was announced."""
        for each in self.listed:
            self.unfollow(each.pid)
        self.listed = streams
        self.parsers = [_PARSERS[each.carriage](self.source, index, each) for index, each in enumerate(streams)]
        for parser in self.parsers:
            parser.on_known(self._on_known)
        self._listen()
        self._on_known()

    def _move(self, streams):
        """The same tracks, perhaps on other PIDs: parsers go on with what comes there."""
        if [each.pid for each in streams] == [each.pid for each in self.listed]:
            return
        self.flush()
        for each in self.listed:
            self.unfollow(each.pid)
        self.listed = streams
        for parser in self.parsers:
            (<EsParser>parser).lose()
        self._listen()

    def _listen(self):
        cdef input_pid_t* s
        for index, each in enumerate(self.listed):
            s = self.follow(each.pid, PID_SPLICE if each.carriage is Carriage.SPLICE else PID_PES)
            s.reader = index
            s.video = each.codec.kind is Kind.VIDEO
            self.stamps[index].epoch = 0
            self.stamps[index].shift = 0
            self.stamps[index].last = NO_STAMP

    def _on_known(self):
        """A parser knows what its track is."""
        cdef EsParser parser
        if self.frozen:
            self.late_tracks += 1
            return
        self.tracks = tuple([
            Track(parser.track, parser.codec, config=parser.config, language=self.listed[parser.track].language, **parser.facts)
            for parser in self.parsers if parser.known
        ])
        self.source.set_tracks(self.tracks)


cdef int64_t get_stamp(const uint8_t* p) noexcept nogil:
    """PTS or DTS: 2.4.3.7."""
    return <int64_t>(p[0] >> 1 & 7) << 30 | <int64_t>(get_u16(p + 1) >> 1) << 15 | get_u16(p + 3) >> 1


def _rank(stream):
    return (Kind.VIDEO, Kind.AUDIO, Kind.DATA).index(stream.codec.kind)
