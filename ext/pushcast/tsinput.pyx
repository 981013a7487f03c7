"""TsInput: packets of a transport stream to frames of one Source.  ISO/IEC 13818-1 throughout.

Bytes come in any portions, as datagrams or as a byte stream.  The PAT leads to the PMT of one program, the PMT to the
PIDs; what their PES packets hold goes to a parser of its own for each track (esparser), and sections of splice
information go out as frames themselves.

Time.  What stamps are, and what the clock of the program says of them, is the TimeBase's business.

Loss.  A counter that jumps drops the PES packet or section under way on that PID and nothing else.  A video PES packet
without a length, and one so long that the next may go on with its access unit, ends where the next one begins.

Change.  A PMT with the same tracks on other PIDs changes nothing for who watches.  One with other tracks does: before
the stream is announced it begins anew, after that `changed` tells that another stream has begun.
"""
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcmp, memcpy, memset

from pushcast.audioparser cimport AudioParser
from pushcast.esparser cimport NO_STAMP, EsParser
from pushcast.frame cimport FRAME_KEY
from pushcast.psisection cimport SECTION_BYTES, SECTION_BAD, SECTION_WHOLE, TABLE_SECTION_BYTES, crc32_mpeg, next_section, section_t, split_pointer
from pushcast.source cimport Source
from pushcast.splice cimport get_pts_adjustment, put_pts_adjustment
from pushcast.timebase cimport TimeBase
from pushcast.wire cimport get_u16, get_u32

from pushcast.audioparser import Ac3Parser, AdtsParser, LatmParser, MpegAudioParser, OpusParser
from pushcast.errors import MediaError
from pushcast.esparser import DataParser, SpliceParser
from pushcast.media import Codec, Kind, Track
from pushcast.nalparser import NalParser
from pushcast.psi import read_pat, read_pmt
from pushcast.tscodecs import Carriage, carriage_of

cdef enum:
    PID_PAT = 1
    PID_PMT = 2
    PID_PES = 3
    PID_SPLICE = 4

cdef enum:
    NULL_PID = 0x1FFF
    NO_PID = 0x2000
    PES_MOST = 16 << 20              # far above a 4K keyframe
    BUFFERS_MOST = 48 << 20          # of all PES packets under way together: no honest stream has two such keyframes
    AUDIO_PES_MOST = 0x10006         # its length is always said: 2.4.3.7
    PES_MAY_GO_ON = 60000            # encoders that write lengths cut longer access units near 65,535
    GARBAGE_MOST = 100 * 188         # bytes without sync after which this is no transport stream
    TRACKS_MOST = 32
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


cdef class TsInput:
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
        self.pcr_pid = NO_PID
        self.follow(0, PID_PAT)

    def __dealloc__(self):
        cdef int index
        for index in range(self.pids_used):
            free(self.pids[index].data)
            free(self.pids[index].section)

    def take(self, const uint8_t[::1] data not None):
        """`receive`, for those who have the bytes in Python."""
        if data.shape[0]:
            self.receive(&data[0], <size_t>data.shape[0])

    def flush(self):
        """Nothing more comes on the PIDs of now: what is whole goes out."""
        cdef int index
        for index in range(self.pids_used):
            if self.pids[index].underway and self.pids[index].expected == 0:
                self.finish(&self.pids[index])

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

    # ---- packets ----

    cdef int receive(self, const uint8_t* data, size_t size) except -1:
        """The next bytes of the stream."""
        cdef size_t part
        if self.carried:
            part = min(<size_t>TS_BYTES - self.carried, size)
            memcpy(&self.carry[self.carried], data, part)
            self.carried += part
            data += part
            size -= part
            if self.carried < TS_BYTES:
                return 0
            self.carried = 0
            if self.carry[0] == 0x47:
                self.packet(&self.carry[0])
        while size >= TS_BYTES:
            if data[0] == 0x47 and (self.in_sync or size <= TS_BYTES or data[TS_BYTES] == 0x47):
                self.in_sync = True
                self.garbage = 0
                self.packet(data)
                part = TS_BYTES
            else:
                part = self.resync(data, size)
            data += part
            size -= part
        if size and (data[0] == 0x47 or not self.in_sync):
            memcpy(&self.carry[0], data, size)
            self.carried = size
        return 0

    cdef size_t resync(self, const uint8_t* data, size_t size) except -1:
        """How many bytes to pass over: up to a sync byte that has another one a packet later, as far as can be seen."""
        cdef size_t at = 1
        self.sync_losses += self.in_sync
        self.in_sync = False
        while at < size and (data[at] != 0x47 or (at + TS_BYTES < size and data[at + TS_BYTES] != 0x47)):
            at += 1
        self.garbage += at
        if not self.frozen:
            refuse_other_sizes(data, size)
            if self.garbage > GARBAGE_MOST:
                raise MediaError(f"found {self.garbage} bytes without a sync byte every {TS_BYTES}, expected an MPEG transport stream")
        return at

    cdef int packet(self, const uint8_t* p) except -1:
        cdef uint32_t pid = get_u16(p + 1) & 0x1FFF
        cdef uint32_t control = p[3] >> 4 & 3, flags = 0, counter = p[3] & 15
        cdef size_t at = 4, size
        cdef input_pid_t* s
        self.packets += 1
        if pid == self.pcr_pid and control & 2 and p[1] & 0x80 == 0:
            self.look_at_clock(p)
        if self.index_of[pid] == 0:
            return 0
        s = &self.pids[self.index_of[pid] - 1]
        if p[1] & 0x80 or p[3] & 0xC0:
            self.transport_errors += p[1] >> 7
            self.scrambled += p[3] & 0xC0 != 0
            self.lose(s)
            return 0
        if control & 2:
            at = 5 + p[4]
            if at > TS_BYTES:
                self.transport_errors += 1
                self.lose(s)
                return 0
            flags = p[5] if p[4] else 0
            if flags & 0x80:
                s.counted = False    # discontinuity_indicator: the counter may be any, 2.4.3.5
        if not control & 1 or at == TS_BYTES:
            return 0
        size = TS_BYTES - at
        if s.counted and counter == s.counter and is_repeated(s, p + at, size):
            return 0
        if s.counted and counter != (s.counter + 1u) & 15:
            self.continuity_errors += 1
            self.lose(s)
        s.counter = counter
        s.counted = True
        if s.kind == PID_PES:
            return self.pes_bytes(s, p + at, size, p[1] & 0x40 != 0, flags & 0x40 != 0)
        return self.section_bytes(s, p + at, size, p[1] & 0x40 != 0)

    cdef void look_at_clock(self, const uint8_t* p) noexcept:
        """The adaptation field of a packet on the PCR PID: 2.4.3.4."""
        cdef uint32_t flags = p[5] if p[4] else 0
        self.clock_breaks = self.clock_breaks or flags & 0x80 != 0
        if flags & 0x10 and 7 <= p[4] <= TS_BYTES - 5:
            self.time.take_pcr(<int64_t>get_u32(p + 6) << 1 | p[10] >> 7, self.clock_breaks)
            self.clock_breaks = False

    cdef void lose(self, input_pid_t* s) noexcept:
        """Bytes of this PID are missing."""
        if s.section != NULL:
            self.damaged_packets += s.section.filled != 0
            s.section.filled = 0
        elif s.parser >= 0:
            self.damaged_packets += s.underway
            s.underway = False
            (<EsParser>self.parsers[s.parser]).lose()

    # ---- PES packets ----

    cdef int pes_bytes(self, input_pid_t* s, const uint8_t* data, size_t size, bint start, bint random_access) except -1:
        cdef size_t header, length
        if start and s.underway and s.expected == 0:
            header = 9 + <size_t>data[8] if size >= 9 else 0
            if s.video and size >= 9 and data[7] & 0x80 == 0 and header <= size:
                return self.append(s, data + header, size - header)
            self.finish(s)
        elif start and s.underway:
            self.damaged_packets += 1    # it ends before the length that it said
            (<EsParser>self.parsers[s.parser]).lose()
        if start:
            s.underway = True
            s.filled = s.expected = 0
            s.random_access = random_access
            self.time.begin(&s.stamps)
        elif not s.underway:
            return 0
        self.append(s, data, size)
        if start and size >= 6:
            length = get_u16(data + 4)
            if length and not (s.video and length >= PES_MAY_GO_ON):
                s.expected = 6 + length
        if s.underway and s.expected and s.filled >= s.expected:
            s.filled = s.expected
            self.finish(s)
        return 0

    cdef int append(self, input_pid_t* s, const uint8_t* data, size_t size) except -1:
        cdef size_t capacity
        cdef void* room
        if s.filled + size > <size_t>(PES_MOST if s.video else AUDIO_PES_MOST + TS_BYTES):
            self.lose(s)
            return 0
        if s.filled + size > s.capacity:
            capacity = max(2 * s.capacity, <size_t>4096)
            if self.buffered + capacity - s.capacity > BUFFERS_MOST:
                self.lose(s)
                return 0
            self.buffered += capacity - s.capacity
            room = realloc(s.data, capacity)
            if room == NULL:
                raise MemoryError
            s.data = <uint8_t*>room
            s.capacity = capacity
        memcpy(s.data + s.filled, data, size)
        s.filled += size
        return 0

    cdef int finish(self, input_pid_t* s) except -1:
        """A whole PES packet lies in s.data: 2.4.3.6."""
        cdef const uint8_t* p = s.data
        cdef int64_t pts = NO_STAMP, dts = NO_STAMP
        cdef size_t at
        cdef EsParser parser = self.parsers[s.parser]
        s.underway = False
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
            self.time.settle(&s.stamps, dts, parser.codec.kind is not Kind.DATA)
            pts = self.time.unwrap(pts + s.stamps.shift)
            dts = self.time.unwrap(dts + s.stamps.shift)
            self.time.note(&s.stamps, dts)
        elif parser.codec.kind is Kind.DATA:
            pts = dts = self.time.clock
        return parser.take(p + at, s.filled - at, pts, dts, s.random_access)

    # ---- sections ----

    cdef int section_bytes(self, input_pid_t* s, const uint8_t* data, size_t size, bint start) except -1:
        cdef size_t before = 0
        if not start:
            return self.drain_sections(s, data, size) if s.section.filled else 0
        if not split_pointer(data, size, &before):
            self.damaged_tables += 1
            s.section.filled = 0
            return 0
        if s.section.filled:
            self.drain_sections(s, data + 1, before)
        # A PMT may have moved this PID to another use.
        if s.section == NULL:
            return 0
        s.section.filled = 0
        return self.drain_sections(s, data + 1 + before, size - 1 - before)

    cdef int drain_sections(self, input_pid_t* s, const uint8_t* data, size_t size) except -1:
        cdef uint32_t most = SECTION_BYTES if s.kind == PID_SPLICE else TABLE_SECTION_BYTES
        cdef int step
        while size and s.section != NULL:
            step = next_section(s.section, &data, &size, most)
            if step == SECTION_BAD:
                self.damaged_tables += 1
            elif step == SECTION_WHOLE:
                self.whole_section(s)
        return 0

    cdef int whole_section(self, input_pid_t* s) except -1:
        cdef section_t* section = s.section
        cdef uint32_t crc
        cdef EsParser parser
        if crc32_mpeg(section.data, section.size) != 0:
            self.damaged_tables += 1
            return 0
        if s.kind == PID_SPLICE:
            parser = self.parsers[s.parser]
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
            s.parser = index
            s.video = each.codec.kind is Kind.VIDEO

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

    cdef input_pid_t* follow(self, uint32_t pid, uint8_t kind) except NULL:
        """The state of a PID, begun anew when it was followed for something else."""
        cdef input_pid_t* s
        cdef int index = self.index_of[pid] - 1
        if index >= 0 and self.pids[index].kind == kind:
            return &self.pids[index]
        if index < 0:
            for index in range(self.pids_used):
                if self.pids[index].kind == 0:
                    break
            else:
                index = self.pids_used
                if index == PIDS_MOST:
                    raise MediaError(f"more than {PIDS_MOST} PIDs are in use")
                self.pids_used += 1
        s = &self.pids[index]
        self.buffered -= s.capacity
        free(s.data)
        free(s.section)
        memset(s, 0, sizeof(input_pid_t))
        s.pid = <uint16_t>pid
        s.kind = kind
        s.parser = -1
        s.stamps.last = NO_STAMP
        if kind != PID_PES:
            s.section = <section_t*>calloc(1, sizeof(section_t))
            if s.section == NULL:
                raise MemoryError
        self.index_of[pid] = <uint8_t>(index + 1)
        return s

    cdef void unfollow(self, uint32_t pid) noexcept:
        cdef int index = self.index_of[pid] - 1
        cdef input_pid_t* s
        if index < 0:
            return
        s = &self.pids[index]
        self.buffered -= s.capacity
        free(s.data)
        free(s.section)
        memset(s, 0, sizeof(input_pid_t))
        self.index_of[pid] = 0


cdef bint is_repeated(const input_pid_t* s, const uint8_t* data, size_t size) noexcept nogil:
    """A packet may be sent twice (2.4.3.3); the same counter with other bytes means that 16 packets were lost."""
    if s.kind != PID_PES or not s.underway:
        return True
    return s.filled >= size and memcmp(s.data + s.filled - size, data, size) == 0


cdef int64_t get_stamp(const uint8_t* p) noexcept nogil:
    """PTS or DTS: 2.4.3.7."""
    return <int64_t>(p[0] >> 1 & 7) << 30 | <int64_t>(get_u16(p + 1) >> 1) << 15 | get_u16(p + 3) >> 1


cdef int refuse_other_sizes(const uint8_t* data, size_t size) except -1:
    """Packets with 16 bytes of parity behind them, or 4 bytes of time before them, are told by the distance of their sync bytes."""
    cdef size_t at
    cdef uint32_t bytes_each, index
    for index in range(2):
        bytes_each = 204 if index == 0 else 192
        for at in range(bytes_each):
            if at + 4 * bytes_each >= size:
                break
            if data[at] == 0x47 and data[at + bytes_each] == 0x47 and data[at + 2 * bytes_each] == 0x47 and data[at + 3 * bytes_each] == 0x47:
                raise MediaError(f"found transport stream packets of {bytes_each} bytes, expected 188: the {'16 parity bytes behind' if index == 0 else '4 bytes of time before'} each have to be taken off by the sender")
    return 0


def _rank(stream):
    return (Kind.VIDEO, Kind.AUDIO, Kind.DATA).index(stream.codec.kind)
