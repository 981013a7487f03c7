"""AudioParser: the frames of AAC (ADTS and LATM), MPEG audio, AC-3, E-AC-3 and Opus in PES packets.

A PES packet holds several frames, and may end in the middle of one.  Its PTS is that of the first frame that begins in
it (ISO/IEC 13818-1 2.4.3.7); those behind it are counted on in samples, so that nothing adds up.  What is no frame is
passed over up to the next one.

Clauses: ADTS and LATM ISO/IEC 14496-3 1.A.2 and 1.7; MPEG audio ISO/IEC 11172-3 2.4.1.3 and 13818-3 2.4.2.3; AC-3 and
E-AC-3 ETSI TS 102 366 4.3, 4.4.1 and E.1.2; Opus in transport streams ETSI TS 103 491 and RFC 6716 3.1.
"""
from libc.stdint cimport INT64_MIN, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memcpy, memmove

from pushcast.esparser cimport NO_STAMP, EsParser, grow
from pushcast.frame cimport FRAME_KEY
from pushcast.source cimport Source
from pushcast.wire cimport get_u16, get_u32

from pushcast.aac import parse_adts, parse_asc, parse_latm
from pushcast.errors import MediaError
from pushcast.media import Codec
from pushcast.opus import opus_head

cdef enum:
    ID_PCE = 5                   # what an AAC frame begins with when it tells its channels itself: ISO/IEC 14496-3 4.4.2.1
    HELD_MOST = 256 * 1024       # a PES packet of audio has at most 64 KiB, a frame 8
    OPUS_SAMPLES_MOST = 5760     # 120 ms: RFC 6716 3.2

cdef uint32_t[13] AAC_RATES = [96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350]
cdef uint32_t[3] MPEG_RATES = [44100, 48000, 32000]
# kbit/s by index: of MPEG-1 layers I, II, III, then of MPEG-2 layer I, then of its layers II and III.
cdef uint32_t[5][15] MPEG_KBITS = [
    [0, 32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448],
    [0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384],
    [0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320],
    [0, 32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256],
    [0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160],
]
cdef uint32_t[3] AC3_RATES = [48000, 44100, 32000]
cdef uint32_t[19] AC3_KBITS = [32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512, 576, 640]
cdef uint32_t[8] AC3_CHANNELS = [2, 1, 2, 3, 3, 4, 4, 5]
cdef uint32_t[4] EAC3_BLOCKS = [1, 2, 3, 6]


cdef class AudioParser(EsParser):
    """AudioParser(source, track, codec): the base."""

    def __init__(self, Source source not None, uint32_t track, codec):
        EsParser.__init__(self, source, track, codec)
        self.base = INT64_MIN

    def __dealloc__(self):
        free(self.bytes_held)

    cdef void lose(self) noexcept:
        self.held = 0
        self.stamp_count = 0
        self.base = INT64_MIN

    cdef int take(self, const uint8_t* data, size_t size, int64_t pts, int64_t dts, bint random_access) except -1:
        cdef size_t old = self.held
        cdef size_t used
        cdef int index
        if old + size > HELD_MOST:
            self.damaged += 1
            self.lose()
            old = 0
            size = min(size, <size_t>HELD_MOST)
        if old + size > self.capacity:
            grow(&self.bytes_held, &self.capacity, old + size)
        memcpy(self.bytes_held + old, data, size)
        self.held = old + size
        if pts != NO_STAMP:
            self.stamp(old, pts)
        used = self.parse()
        self.held -= used
        for index in range(self.stamp_count):
            self.stamp_at[index] -= min(self.stamp_at[index], used)
        memmove(self.bytes_held, self.bytes_held + used, self.held)
        return 0

    cdef void stamp(self, size_t at, int64_t pts) noexcept nogil:
        """The first frame that begins at this byte or behind it has this time."""
        if self.stamp_count == STAMPS_MOST:
            self.take_stamp(self.stamp_at[0])
        self.stamp_at[self.stamp_count] = at
        self.stamps[self.stamp_count] = pts
        self.stamp_count += 1

    cdef void take_stamp(self, size_t at) noexcept nogil:
        """A frame begins here: it has the newest time that is not for a later one."""
        cdef int index, due = 0
        while due < self.stamp_count and self.stamp_at[due] <= at:
            due += 1
        if due == 0:
            return
        self.base = self.stamps[due - 1]
        self.samples = 0
        for index in range(due, self.stamp_count):
            self.stamps[index - due] = self.stamps[index]
            self.stamp_at[index - due] = self.stamp_at[index]
        self.stamp_count -= due

    cdef size_t parse(self) except? 0:
        """Every whole frame of what is held; returns how much was used up."""
        cdef audio_frame_t frame
        cdef size_t at = 0
        cdef bint lost = False
        cdef int step
        while at < self.held:
            step = self.look(self.bytes_held + at, self.held - at, &frame)
            if step == LOOK_MORE or (step == LOOK_FRAME and frame.size > self.held - at):
                break
            if step == LOOK_WRONG:
                self.damaged += not lost
                lost = True
                at += 1
                continue
            lost = False
            self.take_stamp(at)
            self.one_frame(self.bytes_held + at, &frame)
            at += frame.size
        return at

    cdef int64_t time(self) noexcept nogil:
        """When the next frame is heard."""
        if self.base == NO_STAMP or self.sample_rate == 0:
            return self.base
        return self.base + <int64_t>((self.samples * 90000 + self.sample_rate // 2) // self.sample_rate)

    cdef int one_frame(self, const uint8_t* data, const audio_frame_t* frame) except -1:
        cdef int64_t dts = self.time()
        if frame.sample_rate != self.sample_rate:
            self.base = dts
            self.samples = 0
            self.sample_rate = frame.sample_rate
        if dts != NO_STAMP and frame.signature != self.signature:
            self.signature = frame.signature
            try:
                self.learn(data, frame, dts)
                self.reason = None
            except MediaError as error:
                self.reason = str(error)
                self.signature = 0   # what is damaged here may be whole in the next frame
        self.samples += frame.samples
        if dts == NO_STAMP or self.reason is not None:
            self.damaged += 1
            return 0
        return self.emit(data, frame, dts)

    cdef int look(self, const uint8_t* data, size_t size, audio_frame_t* frame) noexcept nogil:
        return LOOK_WRONG

    cdef int learn(self, const uint8_t* data, const audio_frame_t* frame, int64_t dts) except -1:
        raise NotImplementedError

    cdef int emit(self, const uint8_t* data, const audio_frame_t* frame, int64_t dts) except -1:
        return self.publish(data + frame.header, frame.size - frame.header, dts, dts, FRAME_KEY) if self.known else 0


cdef class AdtsParser(AudioParser):
    """AdtsParser(source, track, Codec.AAC): frames go out raw, the header becomes an AudioSpecificConfig."""

    cdef int look(self, const uint8_t* data, size_t size, audio_frame_t* frame) noexcept nogil:
        cdef uint32_t index
        if size < 7:
            return LOOK_MORE
        if data[2] & 1 == 0 and data[3] >> 6 == 0 and size < 13:
            return LOOK_MORE
        index = data[2] >> 2 & 15
        frame.header = 7 if data[1] & 1 else 9
        frame.size = (data[3] & 3u) << 11 | data[4] << 3 | data[5] >> 5
        if data[0] != 0xFF or data[1] & 0xF6 != 0xF0 or index > 12 or frame.size <= frame.header:
            return LOOK_WRONG
        frame.samples = 1024 * (1 + (data[6] & 3u))
        frame.sample_rate = AAC_RATES[index]
        frame.signature = <uint64_t>1 << 63 | (data[2] & 0xFDu) << 16 | (data[3] >> 6) << 8 | (data[6] & 3)
        if data[2] & 1 == 0 and data[3] >> 6 == 0 and frame.size >= frame.header + 4 and data[frame.header] >> 5 == ID_PCE:
            # Its channels are what a program_config_element says: how many elements it has stands in the first 30 bits.
            frame.signature |= <uint64_t>get_u32(data + frame.header) << 24
        return LOOK_FRAME

    cdef int learn(self, const uint8_t* data, const audio_frame_t* frame, int64_t dts) except -1:
        asc = parse_adts(data[:frame.size]).asc
        if not asc:
            return 0                 # the program_config_element comes with another frame
        config = parse_asc(asc)
        return self.configure(Codec.AAC, asc, {"sample_rate": config.sample_rate, "channels": config.channels}, dts)


cdef class LatmParser(AudioParser):
    """LatmParser(source, track, Codec.AAC): AAC in LOAS/LATM; frames go out raw, with the AudioSpecificConfig of the StreamMuxConfig."""

    cdef int look(self, const uint8_t* data, size_t size, audio_frame_t* frame) noexcept nogil:
        if size < 3:
            return LOOK_MORE
        if data[0] != 0x56 or data[1] & 0xE0 != 0xE0:
            return LOOK_WRONG
        frame.header = 3
        frame.size = 3 + ((data[1] & 0x1Fu) << 8 | data[2])
        frame.samples = 1024
        frame.sample_rate = self.sample_rate
        frame.signature = self.signature
        return LOOK_FRAME

    cdef int one_frame(self, const uint8_t* data, const audio_frame_t* frame) except -1:
        cdef int64_t dts = self.time()
        cdef size_t at, size, index
        cdef uint32_t shift
        try:
            mux, begin, size = parse_latm(data[3:frame.size], self.mux)
        except MediaError as error:
            self.reason = str(error)
            self.damaged += 1
            return 0
        self.reason = None
        if dts == NO_STAMP or size > sizeof(self.frame_room):
            self.damaged += 1
            return 0
        if mux != self.mux:
            self.mux = mux
            self.base, self.samples, self.sample_rate = dts, 0, mux.core_rate
            self.configure(Codec.AAC, mux.asc, {"sample_rate": mux.sample_rate, "channels": mux.channels}, dts)
        self.samples += 1024
        at, shift = 3 + <size_t>begin // 8, begin % 8
        if shift == 0:
            return self.publish(data + at, size, dts, dts, FRAME_KEY)
        for index in range(size):
            self.frame_room[index] = <uint8_t>(get_u16(data + at + index) >> (8 - shift))
        return self.publish(self.frame_room, size, dts, dts, FRAME_KEY)


cdef class MpegAudioParser(AudioParser):
    """MpegAudioParser(source, track, Codec.MP2): the first frame tells whether it is layer II or III."""

    cdef int look(self, const uint8_t* data, size_t size, audio_frame_t* frame) noexcept nogil:
        cdef uint32_t version, layer, index, rate, kbits, table
        if size < 4:
            return LOOK_MORE
        version, layer = data[1] >> 3 & 3, 4 - (data[1] >> 1 & 3)
        index, rate = data[2] >> 4, data[2] >> 2 & 3
        if data[0] != 0xFF or data[1] & 0xE0 != 0xE0 or version == 1 or layer == 4 or rate == 3 or index == 0 or index == 15:
            return LOOK_WRONG
        table = layer - 1 if version == 3 else 3 if layer == 1 else 4
        kbits = MPEG_KBITS[table][index]
        frame.sample_rate = MPEG_RATES[rate] >> (0 if version == 3 else 1 if version == 2 else 2)
        frame.samples = 384 if layer == 1 else 576 if layer == 3 and version != 3 else 1152
        frame.size = frame.samples // 8 * 1000 * kbits // frame.sample_rate + (data[2] >> 1 & 1)
        if layer == 1:
            frame.size = 4 * (12000 * kbits // frame.sample_rate + (data[2] >> 1 & 1))
        frame.header = 0
        frame.signature = <uint64_t>1 << 32 | version << 16 | layer << 12 | rate << 8 | (data[3] >> 6 == 3)
        return LOOK_FRAME

    cdef int learn(self, const uint8_t* data, const audio_frame_t* frame, int64_t dts) except -1:
        cdef uint32_t layer = 4 - (data[1] >> 1 & 3)
        if layer == 1:
            raise MediaError("MPEG audio of layer I")
        facts = {"sample_rate": frame.sample_rate, "channels": 1 if data[3] >> 6 == 3 else 2}
        codec = Codec.MP3 if layer == 3 else Codec.MP2
        if self.known and codec is not self.codec:
            raise MediaError(f"{codec.name} where {self.codec.name} was")
        return self.configure(codec, b"", facts, dts)


cdef class Ac3Parser(AudioParser):
    """Ac3Parser(source, track, codec): AC-3 and E-AC-3; the first frame tells which.

    The dependent substreams of E-AC-3 belong to the frame before them.
    """

    cdef int look(self, const uint8_t* data, size_t size, audio_frame_t* frame) noexcept nogil:
        cdef int step = look_ac3(data, size, frame)
        cdef audio_frame_t more
        if step != LOOK_FRAME or not frame.signature & EAC3:
            return step
        while frame.size + 4 <= size and data[frame.size] == 0x0B and data[frame.size + 1] == 0x77 and belongs_to_previous(data + frame.size):
            if look_ac3(data + frame.size, size - frame.size, &more) != LOOK_FRAME:
                break
            frame.size += more.size
        return step

    cdef int learn(self, const uint8_t* data, const audio_frame_t* frame, int64_t dts) except -1:
        codec = Codec.EAC3 if frame.signature & EAC3 else Codec.AC3
        if self.known and codec is not self.codec:
            raise MediaError(f"{codec.name} where {self.codec.name} was")
        return self.configure(codec, b"", {"sample_rate": frame.sample_rate, "channels": frame.signature & 15}, dts)


cdef extern from *:
    """
    #define PUSHCAST_EAC3 ((uint64_t)1 << 33)
    """
    const uint64_t EAC3 "PUSHCAST_EAC3"


cdef bint belongs_to_previous(const uint8_t* data) noexcept nogil:
    """A dependent substream, or an independent one that is not the first: TS 102 366 E.1.3.1."""
    return data[2] >> 6 == 1 or data[2] >> 3 & 7


cdef int look_ac3(const uint8_t* data, size_t size, audio_frame_t* frame) noexcept nogil:
    cdef uint32_t bsid, fscod, code, acmod, lfe
    if size < 7:
        return LOOK_MORE
    bsid, fscod = data[5] >> 3, data[4] >> 6
    if data[0] != 0x0B or data[1] != 0x77 or bsid > 16:
        return LOOK_WRONG
    frame.header = 0
    if bsid > 10:
        if fscod == 3 and data[4] >> 4 & 3 == 3:
            return LOOK_WRONG
        frame.size = 2 * (((data[2] & 7u) << 8 | data[3]) + 1)
        frame.sample_rate = AC3_RATES[data[4] >> 4 & 3] // 2 if fscod == 3 else AC3_RATES[fscod]
        frame.samples = 256 * (6 if fscod == 3 else EAC3_BLOCKS[data[4] >> 4 & 3])
        acmod, lfe = data[4] >> 1 & 7, data[4] & 1
        frame.signature = EAC3 | frame.sample_rate << 4 | (AC3_CHANNELS[acmod] + lfe)
        return LOOK_FRAME if frame.size >= 7 else LOOK_WRONG
    code = data[4] & 63
    if fscod == 3 or code > 37:
        return LOOK_WRONG
    frame.size = 192000 * AC3_KBITS[code >> 1] // AC3_RATES[fscod] // 2 * 2
    if fscod == 1:
        frame.size = 2 * (96000 * AC3_KBITS[code >> 1] // 44100 + (code & 1))
    frame.sample_rate = AC3_RATES[fscod] >> (bsid - 8 if bsid > 8 else 0)
    frame.samples = 1536
    acmod = data[6] >> 5
    lfe = 4 - (2 if acmod & 1 and acmod != 1 else 0) - (2 if acmod & 4 else 0) - (2 if acmod == 2 else 0)
    frame.signature = <uint64_t>1 << 32 | frame.sample_rate << 4 | (AC3_CHANNELS[acmod] + (data[6] >> lfe & 1))
    return LOOK_FRAME


def audio_facts(codec, const uint8_t[::1] head not None):
    """sample_rate and channels of an MP3, AC-3 or E-AC-3 frame that begins like this; {} when it does not tell."""
    cdef audio_frame_t frame
    cdef AudioParser parser = MpegAudioParser.__new__(MpegAudioParser) if codec is Codec.MP3 else Ac3Parser.__new__(Ac3Parser)
    if head.shape[0] < 7 or parser.look(&head[0], <size_t>head.shape[0], &frame) != LOOK_FRAME:
        return {}
    channels = (1 if head[3] >> 6 == 3 else 2) if codec is Codec.MP3 else frame.signature & 15
    return {"sample_rate": frame.sample_rate, "channels": channels}


cdef class OpusParser(AudioParser):
    """OpusParser(source, track, channels): ``channels`` as the descriptor of the PMT says, 1 to 8."""

    def __init__(self, Source source not None, uint32_t track, uint32_t channels):
        AudioParser.__init__(self, source, track, Codec.OPUS)
        self.channels = channels

    cdef int look(self, const uint8_t* data, size_t size, audio_frame_t* frame) noexcept nogil:
        cdef size_t at = 2, payload = 0
        if size < 3:
            return LOOK_MORE
        if data[0] != 0x7F or data[1] & 0xE0 != 0xE0:
            return LOOK_WRONG
        # Bounded, as the same bytes are looked at again whenever more come.
        while at < size and data[at] == 255:
            payload += 255
            at += 1
            if payload > HELD_MOST:
                return LOOK_WRONG
        if at == size:
            return LOOK_MORE
        payload += data[at]
        at += 1 + (2 if data[1] & 0x10 else 0) + (2 if data[1] & 0x08 else 0)
        if data[1] & 0x04:
            if at >= size:
                return LOOK_MORE
            at += 1 + data[at]
        frame.header = at
        frame.size = at + payload
        if frame.size > size:
            return LOOK_MORE
        frame.samples = opus_samples(data + at, payload)
        frame.sample_rate = 48000
        frame.signature = 1
        return LOOK_FRAME if 0 < frame.samples <= OPUS_SAMPLES_MOST else LOOK_WRONG

    cdef int learn(self, const uint8_t* data, const audio_frame_t* frame, int64_t dts) except -1:
        return self.configure(Codec.OPUS, opus_head(self.channels), {"sample_rate": 48000, "channels": self.channels}, dts)


cdef uint32_t opus_samples(const uint8_t* packet, size_t size) noexcept nogil:
    """Samples at 48 kHz, by the packet's table of contents: RFC 6716 3.1; 0 when it is too short for it."""
    cdef uint32_t toc, config, samples
    if size == 0:
        return 0
    toc = packet[0]
    config = toc >> 3
    if config < 12:
        samples = 2880 if config & 3 == 3 else 480 << (config & 3)
    elif config < 16:
        samples = 480 << (config & 1)
    else:
        samples = 120 << (config & 3)
    if toc & 3 == 0:
        return samples
    if toc & 3 < 3:
        return 2 * samples
    return samples * (packet[1] & 63) if size > 1 else 0
