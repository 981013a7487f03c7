"""NAL units, parameter sets and decoder configuration records: bytes in, facts out.

H.264 is ITU-T H.264 (ISO 14496-10), HEVC is ITU-T H.265 (ISO 23008-2); avcC and hvcC are ISO 14496-15 5.3.3 and 8.3.3;
AudioSpecificConfig and ADTS are ISO 14496-3 1.6.2 and 1.A.2.  Nothing here keeps state and nothing trusts its input: what
cannot be parsed raises MediaError, whatever the bytes are.

A *unit* is a NAL unit without start code or length, emulation prevention included.  Units go through this module untouched;
only the reading of a parameter set removes emulation prevention, from a copy.
"""
cimport cython
from dataclasses import dataclass

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

from pushcast.nal cimport (
    NAL_AUD, NAL_KEY, NAL_PPS, NAL_SPS, NAL_VPS, find_start_code, nal_cursor_t, nal_role, nal_type, next_nal,
)

from pushcast.errors import MediaError

# Profiles whose SPS and avcC say chroma format and bit depth: H.264 7.3.2.1.1.
_CHROMA_PROFILES = frozenset({44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244})
# sqrt(8 * MaxFS) of level 6.2, in macroblocks: H.264 A.3.1; the HEVC limit of level 6.2, in samples: H.265 A.4.1.
_MAX_MACROBLOCKS = 1055
_MAX_HEVC_SIDE = 16888
# samplingFrequencyIndex: ISO 14496-3 table 1.18.
_SAMPLE_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)
# channelConfiguration to channels: ISO 14496-3 table 1.19; 0 is "see the program_config_element".
_CHANNELS = {0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 6, 7: 8, 11: 7, 12: 8, 14: 8}
_EXPLICIT_RATE = 15
_NAMES = {1: "H.264", 2: "HEVC"}


@dataclass(frozen=True)
class AvcConfig:
    """What an AVCDecoderConfigurationRecord (avcC) says."""

    length_size: int
    sps: list
    pps: list
    profile: int
    level: int


@dataclass(frozen=True)
class HvcConfig:
    """What an HEVCDecoderConfigurationRecord (hvcC) says."""

    length_size: int
    vps: list
    sps: list
    pps: list
    profile: int
    level: int


@dataclass(frozen=True)
class AudioConfig:
    """What an AudioSpecificConfig says.  See nal.pyi."""

    object_type: int
    sample_rate: int
    channels: int
    frequency_index: int
    channel_config: int
    sbr: bool = False
    ps: bool = False


@dataclass(frozen=True)
class AdtsHeader:
    """What an ADTS header says; sizes in bytes, frame_size with the header."""

    asc: bytes
    header_size: int
    frame_size: int


@cython.final
@cython.internal
cdef class Bits:
    """Reads big-endian bit fields of bytes; running over the end is a MediaError that names what was read."""

    cdef bytes owner             # keeps data alive
    cdef const uint8_t* data
    cdef uint64_t at             # next bit
    cdef uint64_t end            # bits
    cdef object name

    def __cinit__(self, bytes data not None, name):
        self.owner = data
        self.data = <const uint8_t*>data
        self.end = 8 * <uint64_t>len(data)
        self.name = name

    cdef uint64_t left(self) noexcept:
        return self.end - self.at

    cdef uint64_t u(self, uint32_t count) except? 0xFFFFFFFFFFFFFFFF:
        """count bits (up to 48), most significant first."""
        cdef uint64_t value = 0
        if count > self.end - self.at:
            raise MediaError(f"{self.name} ends early: {self.end // 8} bytes, field of {count} bits at bit {self.at}")
        while count:
            value = (value << 1) | ((self.data[self.at >> 3] >> (7 - (self.at & 7))) & 1)
            self.at += 1
            count -= 1
        return value

    cdef int skip(self, uint64_t count) except -1:
        if count > self.end - self.at:
            raise MediaError(f"{self.name} ends early: {self.end // 8} bytes, {count} bits expected at bit {self.at}")
        self.at += count
        return 0

    cdef uint64_t ue(self) except? 0xFFFFFFFFFFFFFFFF:
        """ue(v), Exp-Golomb: H.264 9.1."""
        cdef uint32_t zeros = 0
        while self.u(1) == 0:
            zeros += 1
            if zeros > 32:
                raise MediaError(f"{self.name}: Exp-Golomb code over 32 bits at bit {self.at}")
        return (<uint64_t>1 << zeros) - 1 + self.u(zeros)

    cdef int64_t se(self) except? -0x7FFFFFFFFFFFFFFF:
        """se(v): H.264 9.1.1."""
        cdef uint64_t code = self.ue()
        return <int64_t>((code + 1) >> 1) if code & 1 else -<int64_t>(code >> 1)


def split_annexb(data):
    cdef const uint8_t[::1] view = data
    cdef Py_ssize_t size = view.shape[0]
    if size < 4:
        raise MediaError(f"Annex B: expected a start code and a unit, got {size} bytes")
    cdef const uint8_t* begin = &view[0]
    cdef const uint8_t* end = begin + size
    cdef const uint8_t* at = find_start_code(begin, end)
    cdef const uint8_t* stop
    cdef const uint8_t* last
    cdef const uint8_t* p = begin
    while p < at:
        if p[0]:
            raise MediaError("Annex B: the data does not begin with a start code")
        p += 1
    if at == end:
        raise MediaError(f"Annex B: no start code in {size} bytes")
    units = []
    while at < end:
        at += 3
        stop = find_start_code(at, end)
        last = stop
        # A unit never ends with a zero byte: these belong to a 4-byte start code or are trailing_zero_8bits.
        while last > at and (last - 1)[0] == 0:
            last -= 1
        if last > at:
            units.append(at[:last - at])
        at = stop
    return units


def annexb_to_lengths(data):
    return _join_lengths(split_annexb(data))


def _join_lengths(units):
    return b"".join([len(unit).to_bytes(4, "big") + unit for unit in units])


def split_lengths(data, uint32_t length_size=4):
    cdef const uint8_t[::1] view = data
    cdef nal_cursor_t cursor
    cdef const uint8_t* unit = NULL
    cdef size_t size = 0
    cdef int step
    _check_length_size(length_size)
    units = []
    if view.shape[0] == 0:
        return units
    cursor.at = &view[0]
    cursor.end = cursor.at + view.shape[0]
    cursor.length_size = length_size
    step = next_nal(&cursor, &unit, &size)
    while step == 1:
        units.append(unit[:size])
        step = next_nal(&cursor, &unit, &size)
    if step < 0:
        raise MediaError(f"NAL unit {len(units)} of the access unit runs over its end of {view.shape[0]} bytes")
    return units


def lengths_to_annexb(data, uint32_t length_size=4):
    return b"".join([b"\0\0\0\1" + unit for unit in split_lengths(data, length_size)])


def nal_unit_type(uint32_t codec, unit):
    cdef const uint8_t[::1] view = unit
    _check_codec(codec)
    if view.shape[0] == 0:
        raise MediaError(f"{_NAMES[codec]}: empty NAL unit")
    return nal_type(codec, &view[0])


def access_unit_roles(uint32_t codec, uint32_t length_size, data):
    cdef uint32_t roles = _roles(codec, length_size, data)
    names = (("aud", NAL_AUD), ("vps", NAL_VPS), ("sps", NAL_SPS), ("pps", NAL_PPS), ("key", NAL_KEY))
    return frozenset(name for name, bit in names if roles & <uint32_t>bit)


def is_keyframe(uint32_t codec, uint32_t length_size, data):
    return bool(_roles(codec, length_size, data) & NAL_KEY)


cdef uint32_t _roles(uint32_t codec, uint32_t length_size, data) except? 0xFFFFFFFF:
    cdef uint32_t roles = 0
    cdef const uint8_t[::1] view
    _check_codec(codec)
    for unit in split_lengths(data, length_size):
        view = unit
        roles |= nal_role(codec, &view[0])
    return roles


cdef int _check_length_size(uint32_t length_size) except -1:
    if length_size not in (1, 2, 4):
        raise MediaError(f"NAL unit length size: expected 1, 2 or 4, got {length_size}")
    return 0


cdef int _check_codec(uint32_t codec) except -1:
    if codec not in (1, 2):
        raise MediaError(f"NAL units: expected codec H.264 (1) or HEVC (2), got {codec}")
    return 0


# Decoder configuration records -------------------------------------------------------------------------------------------

def parse_avcc(data):
    bits = Bits(bytes(data), "avcC")
    version = bits.u(8)
    if version != 1:
        raise MediaError(f"avcC: expected version 1, got {version}")
    profile = bits.u(8)
    bits.skip(8)
    level = bits.u(8)
    length_size = (bits.u(8) & 3) + 1
    _check_length_size(length_size)
    sps = _read_units(bits, bits.u(8) & 31, 1, 7)
    pps = _read_units(bits, bits.u(8), 1, 8)
    return AvcConfig(length_size, sps, pps, profile, level)


def build_avcc(sps, pps):
    sps, pps = _units(sps, 1, 7, 31), _units(pps, 1, 8, 255)
    first = sps[0]
    if len(first) < 4:
        raise MediaError(f"H.264 SPS: expected at least 4 bytes, got {len(first)}")
    record = bytearray(b"\1" + first[1:4] + b"\xff")
    record.append(0xE0 | len(sps))
    for unit in sps:
        record += len(unit).to_bytes(2, "big") + unit
    record.append(len(pps))
    for unit in pps:
        record += len(unit).to_bytes(2, "big") + unit
    if first[1] in _CHROMA_PROFILES:
        facts = _avc_sps(first)
        record += bytes((0xFC | facts["chroma"], 0xF8 | facts["luma"] - 8, 0xF8 | facts["chroma_depth"] - 8, 0))
    return bytes(record)


def parse_hvcc(data):
    bits = Bits(bytes(data), "hvcC")
    version = bits.u(8)
    # Encoders of the years before the standard was final wrote 0.
    if version > 1:
        raise MediaError(f"hvcC: expected version 1, got {version}")
    profile = bits.u(8) & 31
    bits.skip(80)
    level = bits.u(8)
    bits.skip(64)
    length_size = (bits.u(8) & 3) + 1
    _check_length_size(length_size)
    sets = {32: [], 33: [], 34: []}
    for _ in range(bits.u(8)):
        kind = bits.u(8) & 0x3F
        sets.setdefault(kind, []).extend(_read_units(bits, bits.u(16), 2, kind))
    return HvcConfig(length_size, sets[32], sets[33], sets[34], profile, level)


def build_hvcc(vps, sps, pps):
    arrays = ((32, _units(vps, 2, 32, 16)), (33, _units(sps, 2, 33, 16)), (34, _units(pps, 2, 34, 64)))
    first = arrays[1][1][0]
    facts = _hevc_sps(first)
    record = bytearray(b"\1" + _rbsp(first)[3:15])
    record += bytes((0xF0, 0, 0xFC, 0xFC | facts["chroma"], 0xF8 | facts["luma"] - 8, 0xF8 | facts["chroma_depth"] - 8, 0, 0))
    record += bytes((facts["layers"] << 3 | facts["nested"] << 2 | 3, len(arrays)))
    for kind, units in arrays:
        record += bytes((0x80 | kind,)) + len(units).to_bytes(2, "big")
        for unit in units:
            record += len(unit).to_bytes(2, "big") + unit
    return bytes(record)


cdef list _read_units(Bits bits, uint64_t count, uint32_t codec, uint32_t kind):
    """count units, each after its 16-bit size; every one must be of this NAL type."""
    cdef uint64_t size
    cdef list units = []
    cdef uint64_t begin
    for _ in range(count):
        size = bits.u(16)
        begin = bits.at >> 3
        bits.skip(8 * size)
        unit = bits.owner[begin:begin + size]
        _check_unit(bits.name, unit, codec, kind)
        units.append(unit)
    return units


cdef int _check_unit(name, bytes unit, uint32_t codec, uint32_t kind) except -1:
    if len(unit) < codec:
        raise MediaError(f"{name}: parameter set of {len(unit)} bytes, expected at least {codec}")
    cdef uint32_t got = nal_type(codec, <const uint8_t*>unit)
    if got != kind:
        raise MediaError(f"{name}: expected a unit of NAL type {kind}, got {got}")
    return 0


cdef list _units(units, uint32_t codec, uint32_t kind, Py_ssize_t most):
    """The caller's parameter sets as bytes, each of this NAL type and small enough for its 16-bit size field."""
    cdef list checked = [bytes(unit) for unit in units]
    name = "avcC" if codec == 1 else "hvcC"
    if not 1 <= len(checked) <= most:
        raise MediaError(f"{name}: expected 1 to {most} units of NAL type {kind}, got {len(checked)}")
    for unit in checked:
        _check_unit(name, unit, codec, kind)
        if len(unit) > 0xFFFF:
            raise MediaError(f"{name}: parameter set of {len(unit)} bytes, at most 65535 fit")
    return checked


# Sequence parameter sets -------------------------------------------------------------------------------------------------

def sps_info(uint32_t codec, sps):
    _check_codec(codec)
    unit = bytes(sps)
    _check_unit(f"{_NAMES[codec]} SPS", unit, codec, 7 if codec == 1 else 33)
    facts = _avc_sps(unit) if codec == 1 else _hevc_sps(unit)
    return facts["width"], facts["height"], facts["frame_rate"]


cdef bytes _rbsp(bytes unit):
    """The unit without its emulation prevention bytes: H.264 7.4.1.  No match overlaps the one before."""
    return unit.replace(b"\0\0\3", b"\0\0")


cdef dict _avc_sps(bytes unit):
    """seq_parameter_set_data: H.264 7.3.2.1.1."""
    cdef Bits bits = Bits(_rbsp(unit), "H.264 SPS")
    cdef uint64_t chroma = 1, luma = 8, chroma_depth = 8, separate = 0, order, wide, high, frame_only
    bits.skip(8)
    profile = bits.u(8)
    bits.skip(16)
    bits.ue()
    if profile in _CHROMA_PROFILES:
        chroma = bits.ue()
        if chroma > 3:
            raise MediaError(f"H.264 SPS: chroma_format_idc {chroma}, at most 3 is defined")
        if chroma == 3:
            separate = bits.u(1)
        luma, chroma_depth = 8 + bits.ue(), 8 + bits.ue()
        if luma > 14 or chroma_depth > 14:
            raise MediaError(f"H.264 SPS: bit depths {luma} and {chroma_depth}, at most 14 is defined")
        bits.skip(1)
        if bits.u(1):
            for index in range(8 if chroma != 3 else 12):
                if bits.u(1):
                    _skip_scaling_list(bits, 16 if index < 6 else 64)
    bits.ue()
    order = bits.ue()
    if order == 0:
        bits.ue()
    elif order == 1:
        bits.skip(1)
        bits.ue()
        bits.ue()
        for _ in range(_at_most(bits, bits.ue(), 255, "num_ref_frames_in_pic_order_cnt_cycle")):
            bits.ue()
    bits.ue()
    bits.skip(1)
    wide, high = bits.ue() + 1, bits.ue() + 1
    frame_only = bits.u(1)
    if not frame_only:
        bits.skip(1)
        high *= 2
    if wide > _MAX_MACROBLOCKS or high > _MAX_MACROBLOCKS:
        raise MediaError(f"H.264 SPS: picture of {wide} x {high} macroblocks, at most {_MAX_MACROBLOCKS} a side")
    bits.skip(1)
    # Cropping units: H.264 equations 7-19 to 7-22.
    planes = 0 if separate else chroma
    unit_x, unit_y = (2 if planes in (1, 2) else 1), (2 if planes == 1 else 1) * (2 - frame_only)
    width, height = _cropped(bits, 16 * wide, 16 * high, unit_x, unit_y)
    rate = _avc_frame_rate(bits) if bits.u(1) else 0.0
    return {"width": width, "height": height, "frame_rate": rate, "chroma": chroma, "luma": luma, "chroma_depth": chroma_depth}


cdef tuple _cropped(Bits bits, uint64_t width, uint64_t height, uint64_t unit_x, uint64_t unit_y):
    """Picture size after the cropping rectangle (H.264) or conformance window (HEVC)."""
    if not bits.u(1):
        return width, height
    cdef uint64_t x = unit_x * (bits.ue() + bits.ue())
    cdef uint64_t y = unit_y * (bits.ue() + bits.ue())
    if x >= width or y >= height:
        raise MediaError(f"{bits.name}: cropping of {x} x {y} leaves nothing of {width} x {height}")
    return width - x, height - y


cdef uint64_t _at_most(Bits bits, uint64_t value, uint64_t most, name) except? 0xFFFFFFFFFFFFFFFF:
    if value > most:
        raise MediaError(f"{bits.name}: {name} is {value}, at most {most} is allowed")
    return value


cdef int _skip_scaling_list(Bits bits, uint32_t count) except -1:
    """scaling_list: H.264 7.3.2.1.1.1."""
    cdef int64_t last = 8, following = 8
    for _ in range(count):
        if following:
            following = (last + bits.se()) & 0xFF
        if following:
            last = following
    return 0


cdef double _avc_frame_rate(Bits bits) except? -1:
    """Frames per second of vui_parameters up to the timing, 0 when it is not there: H.264 E.1.1."""
    if bits.u(1) and bits.u(8) == 255:
        bits.skip(32)
    if bits.u(1):
        bits.skip(1)
    if bits.u(1):
        bits.skip(4)
        if bits.u(1):
            bits.skip(24)
    if bits.u(1):
        bits.ue()
        bits.ue()
    if not bits.u(1):
        return 0.0
    cdef uint64_t ticks = bits.u(32), scale = bits.u(32)
    # time_scale counts fields.
    return scale / (2.0 * ticks) if ticks else 0.0


cdef dict _hevc_sps(bytes unit):
    """seq_parameter_set_rbsp up to the bit depths: H.265 7.3.2.2."""
    cdef Bits bits = Bits(_rbsp(unit), "HEVC SPS")
    cdef uint64_t chroma, width, height, separate = 0, layers, nested, present
    bits.skip(20)
    layers = bits.u(3) + 1
    nested = bits.u(1)
    bits.skip(96)
    present = bits.u(16) if layers > 1 else 0
    for index in range(layers - 1):
        bits.skip(88 * (present >> (15 - 2 * index) & 1) + 8 * (present >> (14 - 2 * index) & 1))
    bits.ue()
    chroma = _at_most(bits, bits.ue(), 3, "chroma_format_idc")
    if chroma == 3:
        separate = bits.u(1)
    width, height = bits.ue(), bits.ue()
    if not 0 < width <= _MAX_HEVC_SIDE or not 0 < height <= _MAX_HEVC_SIDE:
        raise MediaError(f"HEVC SPS: picture of {width} x {height}, at most {_MAX_HEVC_SIDE} a side")
    planes = 0 if separate else chroma
    width, height = _cropped(bits, width, height, 2 if planes in (1, 2) else 1, 2 if planes == 1 else 1)
    luma = 8 + _at_most(bits, bits.ue(), 8, "bit_depth_luma_minus8")
    chroma_depth = 8 + _at_most(bits, bits.ue(), 8, "bit_depth_chroma_minus8")
    # The 3-bit fields of hvcC hold depths up to 15.
    return {
        "width": width, "height": height, "frame_rate": 0.0, "chroma": chroma, "luma": min(luma, 15),
        "chroma_depth": min(chroma_depth, 15), "layers": layers, "nested": nested,
    }


# AAC ---------------------------------------------------------------------------------------------------------------------

cdef uint64_t _object_type(Bits bits) except? 0xFFFFFFFFFFFFFFFF:
    cdef uint64_t value = bits.u(5)
    return 32 + bits.u(6) if value == 31 else value


cdef tuple _sample_rate(Bits bits):
    """(frequency index, Hz); an index of 15 is followed by the rate itself."""
    index = bits.u(4)
    if index == _EXPLICIT_RATE:
        rate = bits.u(24)
        if rate == 0:
            raise MediaError("AudioSpecificConfig: sample rate 0")
        return index, rate
    if index >= len(_SAMPLE_RATES):
        raise MediaError(f"AudioSpecificConfig: frequency index {index} is reserved")
    return index, _SAMPLE_RATES[index]


def parse_asc(data):
    cdef Bits bits = Bits(bytes(data), "AudioSpecificConfig")
    sbr = ps = False
    object_type = _object_type(bits)
    index, rate = _sample_rate(bits)
    core_rate = rate
    channel_config = bits.u(4)
    if channel_config not in _CHANNELS:
        raise MediaError(f"AudioSpecificConfig: channel configuration {channel_config} is reserved")
    if object_type in (5, 29):
        sbr, ps = True, object_type == 29
        rate = _sample_rate(bits)[1]
        object_type = _object_type(bits)
    elif object_type in (1, 2, 3, 4) and channel_config:
        sbr, ps, rate = _sync_extension(bits, rate)
    if object_type == 0:
        raise MediaError("AudioSpecificConfig: audio object type 0")
    if index == _EXPLICIT_RATE and core_rate in _SAMPLE_RATES:
        index = _SAMPLE_RATES.index(core_rate)
    channels = 2 if ps else _CHANNELS[channel_config]
    return AudioConfig(object_type, rate, channels, index, channel_config, sbr, ps)


cdef tuple _sync_extension(Bits bits, rate):
    """(sbr, ps, rate) of the backward compatible signalling behind GASpecificConfig: ISO 14496-3 1.6.2.1 and 4.4.1."""
    # Some encoders leave GASpecificConfig out or cut it short; the core is known by now.
    if bits.left() < 3:
        return False, False, rate
    bits.skip(1)
    if bits.u(1):
        bits.skip(min(bits.left(), 14))
    if bits.left() < 1 or bits.u(1) or bits.left() < 17 or bits.u(11) != 0x2B7 or _object_type(bits) != 5:
        return False, False, rate
    if bits.left() < 1 or not bits.u(1):
        return False, False, rate
    rate = _sample_rate(bits)[1]
    ps = bits.left() >= 12 and bits.u(11) == 0x548 and bits.u(1) == 1
    return True, ps, rate


def build_asc(object_type, sample_rate, channel_config):
    if not (1 <= object_type <= 30 or 32 <= object_type <= 95):
        raise MediaError(f"AudioSpecificConfig: audio object type {object_type} cannot be written")
    if channel_config not in _CHANNELS:
        raise MediaError(f"AudioSpecificConfig: channel configuration {channel_config} is reserved")
    if not 0 < sample_rate < 1 << 24:
        raise MediaError(f"AudioSpecificConfig: sample rate {sample_rate} does not fit 24 bits")
    value, count = (object_type, 5) if object_type < 31 else (31 << 6 | object_type - 32, 11)
    if sample_rate in _SAMPLE_RATES:
        value, count = value << 4 | _SAMPLE_RATES.index(sample_rate), count + 4
    else:
        value, count = value << 28 | _EXPLICIT_RATE << 24 | sample_rate, count + 28
    # GASpecificConfig follows: frames of 1024 samples, no core coder, no extension.
    value, count = value << 7 | channel_config << 3, count + 7
    size = (count + 7) // 8
    return (value << (8 * size - count)).to_bytes(size, "big")


def parse_adts(data):
    head = bytes(data[:9])
    if len(head) < 7:
        raise MediaError(f"ADTS header: expected at least 7 bytes, got {len(head)}")
    if head[0] != 0xFF or head[1] & 0xF6 != 0xF0:
        raise MediaError(f"ADTS header: expected sync word FFF and layer 0, got {head[:2].hex()}")
    header_size = 7 if head[1] & 1 else 9
    index = head[2] >> 2 & 15
    if index >= len(_SAMPLE_RATES):
        raise MediaError(f"ADTS header: frequency index {index} is not allowed")
    channel_config = (head[2] & 1) << 2 | head[3] >> 6
    frame_size = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
    if frame_size <= header_size:
        raise MediaError(f"ADTS header: frame of {frame_size} bytes does not hold its header of {header_size}")
    if head[6] & 3:
        raise MediaError(f"ADTS header: {1 + (head[6] & 3)} raw data blocks in one frame, expected 1")
    return AdtsHeader(build_asc((head[2] >> 6) + 1, _SAMPLE_RATES[index], channel_config), header_size, frame_size)


def build_adts(asc, frame_size):
    config = parse_asc(asc)
    if not 1 <= config.object_type <= 4:
        raise MediaError(f"ADTS carries AAC audio object types 1 to 4, got {config.object_type}")
    if config.frequency_index == _EXPLICIT_RATE:
        raise MediaError(f"ADTS has no frequency index for {config.sample_rate} Hz")
    if not 1 <= config.channel_config <= 7:
        raise MediaError(f"ADTS carries channel configurations 1 to 7, got {config.channel_config}")
    size = frame_size + 7
    if not 7 < size < 1 << 13:
        raise MediaError(f"ADTS: frame of {frame_size} bytes, 1 to 8184 fit")
    return bytes((
        0xFF,
        0xF1,
        config.object_type - 1 << 6 | config.frequency_index << 2 | config.channel_config >> 2,
        (config.channel_config & 3) << 6 | size >> 11,
        size >> 3 & 0xFF,
        (size & 7) << 5 | 0x1F,
        0xFC,
    ))
