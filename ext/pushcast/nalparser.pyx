"""NalParser: H.264 and HEVC access units of PES packets.  ITU-T H.264 and H.265 annex B; ISO/IEC 13818-1 2.14, 2.17.

One PES packet is one access unit, which goes on as it is, with lengths in the place of start codes.  The parameter sets
in it make the track's avcC or hvcC, and nothing is published before they have come.
"""
from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.stdlib cimport free
from libc.string cimport memcmp, memcpy

from pushcast.frame cimport CODEC_HEVC, FRAME_KEY
from pushcast.nal cimport NAL_KEY, NAL_PPS, NAL_SPS, NAL_VPS, find_start_code, nal_role, parameter_sets
from pushcast.esparser cimport NO_STAMP, EsParser, grow
from pushcast.source cimport Source
from pushcast.wire cimport put_u32

from pushcast.errors import MediaError
from pushcast.sps import picture_facts
from pushcast.videoconfig import build_avcc, build_hvcc


cdef class NalParser(EsParser):
    """NalParser(source, track, codec): ``codec`` is H264 or HEVC."""

    def __init__(self, Source source not None, uint32_t track, codec):
        EsParser.__init__(self, source, track, codec)
        self.number = int(codec)

    def __dealloc__(self):
        free(self.room)

    cdef int take(self, const uint8_t* data, size_t size, int64_t pts, int64_t dts, bint random_access) except -1:
        cdef unit_t sets[SETS_MOST]
        cdef uint32_t set_count = 0, roles = 0
        cdef size_t laid
        # A 3-byte start code becomes a length of 4 bytes; no unit is shorter than a byte.
        cdef size_t most = size + size // 4 + 4
        if dts == NO_STAMP:
            self.damaged += 1
            return 0
        if most > self.capacity:
            grow(&self.room, &self.capacity, most)
        laid = self.lay(data, size, &roles, sets, &set_count)
        if laid == 0:
            self.damaged += 1
            return 0
        if roles & NAL_KEY:
            random_access = True
        if roles & parameter_sets(self.number) == parameter_sets(self.number):
            self.look_at_sets(sets, set_count, dts)
        if not self.known:
            return 0
        return self.publish(self.room, laid, pts, dts, FRAME_KEY if random_access else 0)

    cdef size_t lay(self, const uint8_t* data, size_t size, uint32_t* roles, unit_t* sets, uint32_t* set_count) noexcept nogil:
        """The units of an access unit into the room, each behind its length; 0 when there is none."""
        cdef const uint8_t* end = data + size
        cdef const uint8_t* at = find_start_code(data, end)
        cdef const uint8_t* stop
        cdef const uint8_t* last
        cdef uint8_t* out = self.room
        cdef uint32_t role
        while at < end:
            at += 3
            stop = find_start_code(at, end)
            last = stop
            # A unit never ends with a zero byte: these belong to a 4-byte start code or are trailing_zero_8bits.
            while last > at and (last - 1)[0] == 0:
                last -= 1
            if last > at:
                role = nal_role(self.number, at)
                roles[0] |= role
                out = put_u32(out, <uint32_t>(last - at))
                if role & (NAL_VPS | NAL_SPS | NAL_PPS) and set_count[0] < SETS_MOST:
                    sets[set_count[0]].data = out
                    sets[set_count[0]].size = <size_t>(last - at)
                    sets[set_count[0]].role = role
                    set_count[0] += 1
                memcpy(out, at, <size_t>(last - at))
                out += last - at
            at = stop
        return <size_t>(out - self.room)

    cdef int look_at_sets(self, const unit_t* sets, uint32_t count, int64_t dts) except -1:
        """Make a new config when these are other parameter sets than those of the last one."""
        cdef uint32_t index
        cdef size_t at = 0, size
        cdef const uint8_t* known = <const uint8_t*><const char*>self.sets if self.sets is not None else NULL
        cdef size_t known_bytes = len(self.sets) if self.sets is not None else 0
        for index in range(count):
            size = sets[index].size
            if at + 4 + size > known_bytes or memcmp(known + at, sets[index].data - 4, 4 + size) != 0:
                break
            at += 4 + size
        else:
            if at == known_bytes:
                return 0
        found = {NAL_VPS: {}, NAL_SPS: {}, NAL_PPS: {}}
        for index in range(count):
            found[sets[index].role].setdefault(sets[index].data[:sets[index].size])
        # Remembered also when they cannot be read: they will come again, and be no better.
        self.sets = b"".join([(sets[index].data - 4)[:4 + sets[index].size] for index in range(count)])
        try:
            if self.number == CODEC_HEVC:
                config = build_hvcc(found[NAL_VPS], found[NAL_SPS], found[NAL_PPS])
            else:
                config = build_avcc(found[NAL_SPS], found[NAL_PPS])
        except MediaError:
            self.damaged += 1
            return 0
        if not self.known or config != self.config:
            self.configure(self.codec, config, picture_facts(self.number, next(iter(found[NAL_SPS]))), dts)
        return 0
