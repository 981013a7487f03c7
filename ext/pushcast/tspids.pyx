"""PidInput: packets of a transport stream to whole PES packets and whole sections of the PIDs that somebody follows.  ISO/IEC 13818-1 2.4.3 and 2.4.4.

Loss.  A counter that jumps drops the PES packet or section under way on that PID and nothing else.  A video PES packet
without a length, and one so long that the next may go on with its access unit, ends where the next one begins.
"""
from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcmp, memcpy, memset

from pushcast.psisection cimport SECTION_BAD, SECTION_BYTES, SECTION_WHOLE, TABLE_SECTION_BYTES, crc32_mpeg, next_section, section_t, split_pointer
from pushcast.tspackets cimport TS_BYTES, PacketInput
from pushcast.wire cimport get_u16

from pushcast.errors import MediaError

cdef enum:
    PES_MOST = 16 << 20              # far above a 4K keyframe
    BUFFERS_MOST = 48 << 20          # of all PES packets under way together: no honest stream has two such keyframes
    AUDIO_PES_MOST = 0x10006         # its length is always said: 2.4.3.7
    PES_MAY_GO_ON = 60000            # encoders that write lengths cut longer access units near 65,535


cdef class PidInput(PacketInput):
    """A subclass says what to follow, and takes what is whole."""

    def __cinit__(self, *args, **kwargs):
        self.pcr_pid = NO_PID

    def __dealloc__(self):
        cdef int index
        for index in range(self.pids_used):
            free(self.pids[index].data)
            free(self.pids[index].section)

    cdef int whole_pes(self, input_pid_t* s) except -1:
        """A PES packet lies in s.data, s.filled bytes of it."""
        raise NotImplementedError

    cdef int whole_section(self, input_pid_t* s) except -1:
        """A section lies in s.section, and its CRC is right.  After it s may be another PID's, or nobody's."""
        raise NotImplementedError

    cdef void begun(self, input_pid_t* s) noexcept:
        """A PES packet begins."""

    cdef void lost(self, input_pid_t* s) noexcept:
        """Of a PID with PES packets bytes are missing."""

    cdef void adaptation(self, const uint8_t* p) noexcept:
        """A packet on pcr_pid has an adaptation field."""

    cdef int packet(self, const uint8_t* p) except -1:
        cdef uint32_t pid = get_u16(p + 1) & 0x1FFF
        cdef uint32_t control = p[3] >> 4 & 3, flags = 0, counter = p[3] & 15
        cdef size_t at = 4, size
        cdef input_pid_t* s
        self.packets += 1
        if pid == self.pcr_pid and control & 2 and p[1] & 0x80 == 0:
            self.adaptation(p)
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

    cdef void lose(self, input_pid_t* s) noexcept:
        """Bytes of this PID are missing."""
        if s.section != NULL:
            self.damaged_packets += s.section.filled != 0
            s.section.filled = 0
        else:
            self.damaged_packets += s.underway
            s.underway = False
            self.lost(s)

    cdef int pes_bytes(self, input_pid_t* s, const uint8_t* data, size_t size, bint start, bint random_access) except -1:
        cdef size_t header, length
        if start and s.underway and s.expected == 0:
            header = 9 + <size_t>data[8] if size >= 9 else 0
            if s.video and size >= 9 and data[7] & 0x80 == 0 and header <= size:
                return self.append(s, data + header, size - header)
            self.finish(s)
        elif start and s.underway:
            self.damaged_packets += 1    # it ends before the length that it said
            self.lost(s)
        if start:
            s.underway = True
            s.filled = s.expected = 0
            s.random_access = random_access
            self.begun(s)
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
        s.underway = False
        return self.whole_pes(s)

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
        # What that section said may have moved this PID to another use.
        if s.section == NULL:
            return 0
        s.section.filled = 0
        return self.drain_sections(s, data + 1 + before, size - 1 - before)

    cdef int drain_sections(self, input_pid_t* s, const uint8_t* data, size_t size) except -1:
        cdef uint32_t most = SECTION_BYTES if s.kind == PID_SPLICE else TABLE_SECTION_BYTES
        cdef int step
        while size and s.section != NULL:
            step = next_section(s.section, &data, &size, most)
            if step == SECTION_BAD or step == SECTION_WHOLE and crc32_mpeg(s.section.data, s.section.size) != 0:
                self.damaged_tables += 1
            elif step == SECTION_WHOLE:
                self.whole_section(s)
        return 0

    def flush(self):
        """Nothing more comes on the PIDs of now: what is whole goes out."""
        cdef int index
        for index in range(self.pids_used):
            if self.pids[index].underway and self.pids[index].expected == 0:
                self.finish(&self.pids[index])

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
        self.empty(s)
        s.pid = <uint16_t>pid
        s.kind = kind
        s.reader = -1
        if kind != PID_PES:
            s.section = <section_t*>calloc(1, sizeof(section_t))
            if s.section == NULL:
                raise MemoryError
        self.index_of[pid] = <uint8_t>(index + 1)
        return s

    cdef void unfollow(self, uint32_t pid) noexcept:
        cdef int index = self.index_of[pid] - 1
        if index >= 0:
            self.empty(&self.pids[index])
            self.index_of[pid] = 0

    cdef void empty(self, input_pid_t* s) noexcept:
        self.buffered -= s.capacity
        free(s.data)
        free(s.section)
        memset(s, 0, sizeof(input_pid_t))


cdef bint is_repeated(const input_pid_t* s, const uint8_t* data, size_t size) noexcept nogil:
    """A packet may be sent twice (2.4.3.3); the same counter with other bytes means that 16 packets were lost."""
    if s.kind != PID_PES or not s.underway:
        return True
    return s.filled >= size and memcmp(s.data + s.filled - size, data, size) == 0
