"""Sequence parameter sets: picture size, frame rate, and what a decoder configuration record repeats of them.

H.264 is ITU-T H.264 7.3.2.1.1 and annex E, HEVC is ITU-T H.265 7.3.2.2.  Emulation prevention is removed from a copy of
the unit.
"""
from libc.stdint cimport int64_t, uint32_t, uint64_t

from pushcast.bits cimport Bits
from pushcast.nal cimport CODEC_NAMES, check_codec, check_unit

from pushcast.errors import MediaError

# Profiles whose SPS and avcC say chroma format and bit depth: H.264 7.3.2.1.1.
cdef frozenset CHROMA_PROFILES = frozenset({44, 83, 86, 100, 110, 118, 122, 128, 134, 135, 138, 139, 244})
# sqrt(8 * MaxFS) of level 6.2, in macroblocks: H.264 A.3.1; the HEVC limit of level 6.2, in samples: H.265 A.4.1.
_MAX_MACROBLOCKS = 1055
_MAX_HEVC_SIDE = 16888


def sps_info(uint32_t codec, sps):
    check_codec(codec)
    unit = bytes(sps)
    check_unit(f"{CODEC_NAMES[codec]} SPS", unit, codec, 7 if codec == 1 else 33)
    facts = avc_sps(unit) if codec == 1 else hevc_sps(unit)
    return facts["width"], facts["height"], facts["frame_rate"]


def picture_facts(uint32_t codec, sps):
    try:
        width, height, frame_rate = sps_info(codec, sps)
    except MediaError:           # a picture size that we cannot read is no reason to refuse what a decoder may well take
        return {}
    return {"width": width, "height": height, "frame_rate": frame_rate}


cdef bytes rbsp(bytes unit):
    """The unit without its emulation prevention bytes: H.264 7.4.1.  No match overlaps the one before."""
    return unit.replace(b"\0\0\3", b"\0\0")


cdef dict avc_sps(bytes unit):
    """seq_parameter_set_data: H.264 7.3.2.1.1."""
    cdef Bits bits = Bits(rbsp(unit), "H.264 SPS")
    cdef uint64_t chroma = 1, luma = 8, chroma_depth = 8, separate = 0, order, wide, high, frame_only
    bits.skip(8)
    profile = bits.u(8)
    bits.skip(16)
    bits.ue()
    if profile in CHROMA_PROFILES:
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


cdef dict hevc_sps(bytes unit):
    """seq_parameter_set_rbsp up to the bit depths: H.265 7.3.2.2."""
    cdef Bits bits = Bits(rbsp(unit), "HEVC SPS")
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
