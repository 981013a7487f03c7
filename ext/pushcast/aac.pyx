"""AAC headers: AudioSpecificConfig, ADTS and LATM, ISO 14496-3 1.6.2, 1.A.2 and 1.7.3.

Channels that no channelConfiguration names are told by a program_config_element (4.4.1.1, table 4.2).  In ADTS it is the first element of a frame, in an
AudioSpecificConfig a part of it, and both fill it up to a whole byte of their own.

Bytes in, facts out, and back; what cannot be parsed or said raises MediaError, whatever the bytes are.
"""
from dataclasses import dataclass

from libc.stdint cimport uint32_t, uint64_t

from pushcast.bits cimport Bits

from pushcast.errors import MediaError

# samplingFrequencyIndex: ISO 14496-3 table 1.18.
_SAMPLE_RATES = (96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350)
# channelConfiguration to channels: ISO 14496-3 table 1.19; 0 is "see the program_config_element".
_CHANNELS = {0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 6, 7: 8, 11: 7, 12: 8, 14: 8}
_EXPLICIT_RATE = 15
_ID_PCE = 5                      # table 4.85

cdef enum:
    PCE_LEAST_BITS = 45          # with what stands before it in GASpecificConfig


@dataclass(frozen=True)
class AudioConfig:
    """What an AudioSpecificConfig says.  See aac.pyi."""

    object_type: int
    sample_rate: int
    channels: int
    frequency_index: int
    channel_config: int
    sbr: bool = False
    ps: bool = False
    program_config: bytes = b""


@dataclass(frozen=True)
class AdtsHeader:
    """What an ADTS header says; sizes in bytes, frame_size with the header."""

    asc: bytes
    header_size: int
    frame_size: int


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


@dataclass(frozen=True)
class LatmConfig:
    """What a StreamMuxConfig says.  See aac.pyi."""

    asc: bytes
    core_rate: int
    sample_rate: int
    channels: int


def parse_asc(data):
    return _read_asc(Bits(bytes(data), "AudioSpecificConfig"), True)


cdef object _read_asc(Bits bits, bint alone):
    """``alone``: the record ends where its bytes do, so that an extension may stand behind it."""
    cdef uint64_t begin = bits.at
    sbr = ps = False
    program_config = b""
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
    channels = _CHANNELS[channel_config]
    if channel_config == 0 and object_type in (1, 2, 3, 4) and not (alone and bits.left() < PCE_LEAST_BITS):
        bits.skip(1)
        bits.skip(15 if bits.u(1) else 1)
        channels, value, count, comment = _program_config(bits, begin)
        program_config = _filled(_ID_PCE << count | value, 3 + count) + comment
        if alone and not sbr:
            sbr, ps, rate = _extension(bits, rate)
    elif alone and object_type in (1, 2, 3, 4) and not sbr and channel_config:
        sbr, ps, rate = _sync_extension(bits, rate)
    if object_type == 0:
        raise MediaError("AudioSpecificConfig: audio object type 0")
    if index == _EXPLICIT_RATE and core_rate in _SAMPLE_RATES:
        index = _SAMPLE_RATES.index(core_rate)
    return AudioConfig(object_type, rate, 2 if ps else channels, index, channel_config, sbr, ps, program_config)


cdef tuple _program_config(Bits bits, uint64_t origin):
    """(channels, fields as a number, their bits, comment) of what follows id_syn_ele and is filled up to whole bytes counted from ``origin``."""
    cdef uint64_t begin = bits.at, end, index, groups, lfe, data, coupling, comment
    cdef uint64_t channels = 0
    bits.skip(10)                    # element_instance_tag, object_type, sampling_frequency_index
    groups = bits.u(4)               # of elements in front, at the sides, at the back
    groups += bits.u(4)
    groups += bits.u(4)
    lfe = bits.u(2)
    data = bits.u(3)
    coupling = bits.u(4)
    for index in (4, 4, 3):          # mono, stereo and matrix mixdown
        if bits.u(1):
            bits.skip(index)
    for index in range(groups):
        channels += 1 + bits.u(1)
        bits.skip(4)
    channels += lfe
    bits.skip(4 * lfe + 4 * data + 5 * coupling)
    end = bits.at
    bits.skip((origin - end) % 8)
    comment = bits.at
    bits.skip(8 * bits.u(8))
    fields = int.from_bytes(_cut(bits.owner, begin, end), "big") >> (begin - end) % 8
    return channels, fields, end - begin, _cut(bits.owner, comment, bits.at)


cdef tuple _sync_extension(Bits bits, rate):
    """(sbr, ps, rate) of the backward compatible signalling behind GASpecificConfig: ISO 14496-3 1.6.2.1 and 4.4.1."""
    # Some encoders leave GASpecificConfig out or cut it short; the core is known by now.
    if bits.left() < 3:
        return False, False, rate
    bits.skip(1)
    if bits.u(1):
        bits.skip(min(bits.left(), 14))
    if bits.left() < 1 or bits.u(1):
        return False, False, rate
    return _extension(bits, rate)


cdef tuple _extension(Bits bits, rate):
    if bits.left() < 17 or bits.u(11) != 0x2B7 or _object_type(bits) != 5:
        return False, False, rate
    if bits.left() < 1 or not bits.u(1):
        return False, False, rate
    rate = _sample_rate(bits)[1]
    ps = bits.left() >= 12 and bits.u(11) == 0x548 and bits.u(1) == 1
    return True, ps, rate


def parse_latm(data, known=None):
    cdef Bits bits = Bits(bytes(data), "LATM")
    cdef uint64_t size = 0, part = 255
    mux = known if bits.u(1) else _stream_mux_config(bits)
    if mux is None:
        raise MediaError("LATM: the StreamMuxConfig has not come yet")
    while part == 255:
        part = bits.u(8)
        size += part
    if 8 * size > bits.left():
        raise MediaError(f"LATM: a frame of {size} bytes, {bits.left() // 8} are there")
    return mux, bits.at, size


cdef object _stream_mux_config(Bits bits):
    """One program, one layer, one frame in each element: ISO 14496-3 1.7.3.1, table 1.42."""
    cdef uint64_t version = bits.u(1), begin, end, rest
    if version and bits.u(1):
        raise MediaError("LATM: audioMuxVersionA 1 is not defined")
    if version:
        _latm_value(bits)            # taraBufferFullness
    # allStreamsSameTimeFraming, numSubFrames, numProgram, numLayer
    if not bits.u(1) or bits.u(6) or bits.u(4) or bits.u(3):
        raise MediaError("LATM with several programs, layers or frames in one element")
    rest = _latm_value(bits) if version else 0
    begin = bits.at
    config = _read_asc(bits, False)
    if config.object_type not in (1, 2, 3, 4):
        raise MediaError(f"LATM: AAC of object type {config.object_type}")
    if config.channel_config:        # else GASpecificConfig was read to its end, which the element is
        bits.skip(1)                 # 4.4.1
        bits.skip(15 if bits.u(1) else 1)
    end = bits.at
    if version:
        if rest < end - begin:
            raise MediaError(f"LATM: an AudioSpecificConfig of {end - begin} bits, {rest} were said")
        bits.skip(rest - (end - begin))
    if bits.u(3):
        raise MediaError("LATM: frames of fixed length")
    bits.skip(8)                     # latmBufferFullness
    other_data = bits.u(1)           # bits behind each frame, which nobody reads
    if other_data and version:
        _latm_value(bits)
    elif other_data:
        while bits.u(1):
            bits.skip(8)
        bits.skip(8)
    if bits.u(1):
        bits.skip(8)                 # crcCheckSum
    core_rate = _SAMPLE_RATES[config.frequency_index] if config.frequency_index != _EXPLICIT_RATE else config.sample_rate
    return LatmConfig(_cut(bits.owner, begin, end), core_rate, config.sample_rate, config.channels)


cdef uint64_t _latm_value(Bits bits) except? 0xFFFFFFFFFFFFFFFF:
    """LatmGetValue: table 1.43."""
    cdef uint64_t count = bits.u(2)
    return bits.u(8 * <uint32_t>(count + 1))


cdef bytes _cut(bytes data, uint64_t begin, uint64_t end):
    """Bits from here to there, filled up with zeros to whole bytes."""
    count = end - begin              # as Python has it: an element is longer than a machine word
    return _filled(int.from_bytes(data, "big") >> (8 * len(data) - end) & ((1 << count) - 1), count)


cdef bytes _filled(value, count):
    """So many bits, filled up with zeros to whole bytes."""
    size = (count + 7) // 8
    return (value << (8 * size - count)).to_bytes(size, "big")


def build_asc(object_type, sample_rate, channel_config, program_config=b""):
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
    if not program_config:
        return _filled(value, count)
    _, fields, more, comment = _element_of(program_config)
    return _filled(value << more | fields, count + more) + comment


cdef tuple _element_of(bytes data):
    """The program_config_element that a raw_data_block begins with."""
    cdef Bits bits = Bits(data, "AAC program_config_element")
    if bits.u(3) != _ID_PCE:
        raise MediaError("AAC: expected a program_config_element")
    return _program_config(bits, 0)


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
    element = bytes(data[header_size:frame_size]) if channel_config == 0 else b""
    if channel_config == 0 and (not element or element[0] >> 5 != _ID_PCE):
        return AdtsHeader(b"", header_size, frame_size)
    return AdtsHeader(build_asc((head[2] >> 6) + 1, _SAMPLE_RATES[index], channel_config, element), header_size, frame_size)


def build_adts(asc, frame_size):
    config = parse_asc(asc)
    if not 1 <= config.object_type <= 4:
        raise MediaError(f"ADTS carries AAC audio object types 1 to 4, got {config.object_type}")
    if config.frequency_index == _EXPLICIT_RATE:
        raise MediaError(f"ADTS has no frequency index for {config.sample_rate} Hz")
    if not 1 <= config.channel_config <= 7 and not config.program_config:
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
