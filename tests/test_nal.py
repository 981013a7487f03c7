"""NAL units, configuration records and AAC headers: one table for both directions, then hostile bytes."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pushcast import nal
from pushcast.errors import MediaError
from pushcast.media import Codec

H264, HEVC = Codec.H264, Codec.HEVC

# Of x264: high profile, 1280x720, 4:2:0 8 bit, 30 frames per second, with its PPS; baseline profile, 640x480, 25.
SPS = bytes.fromhex("6764001facd9405005bb0110000003001000000303c0f1831960")
PPS = bytes.fromhex("68ebe3cb22c0")
BASELINE_SPS = bytes.fromhex("6742c01ed900a03db011000003000100000300320f162e48")
# Of x265: main profile, 638x358.
HEVC_VPS = bytes.fromhex("40010c01ffff01600000030090000003000003003f959809")
HEVC_SPS = bytes.fromhex("42010101600000030090000003000003003fa005020169d565959a4932bc05a02000000300200000030321")
HEVC_PPS = bytes.fromhex("4401c172b46240")

CLIPS = {
    "avc crop": ("libx264", "1918x1078", "30000/1001", "yuv420p", []),
    "avc odd 444": ("libx264", "321x179", "24", "yuv444p", []),
    "avc interlaced 422": ("libx264", "720x576", "25", "yuv422p", ["-flags", "+ilme+ildct"]),
    "avc 10 bit": ("libx264", "640x360", "50", "yuv420p10le", []),
    "avc baseline": ("libx264", "176x144", "15", "yuv420p", ["-profile:v", "baseline"]),
    "hevc crop": ("libx265", "1278x716", "25", "yuv420p", []),
    "hevc 10 bit": ("libx265", "640x360", "25", "yuv422p10le", []),
}


@pytest.fixture(scope="module", params=CLIPS)
def clip(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str, str, Fraction]:
    """(file, encoder, size, rate) of one frame encoded with parameters that the parser must find again."""
    encoder, size, rate, pixels, extra = CLIPS[request.param]
    path = tmp_path_factory.mktemp("nal") / "clip.mp4"
    quiet = ["-x265-params", "log-level=none"] if encoder == "libx265" else []
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", f"color=gray:s=64x64:r={rate}", "-frames:v", "2"]
    command += ["-vf", f"format={pixels},scale={size}"]
    command += ["-c:v", encoder, "-preset", "ultrafast", *quiet, *extra, str(path)]
    subprocess.run(command, check=True)
    return path, encoder, size, Fraction(rate)


def test_parameter_sets_of_real_encoders(clip: tuple[Path, str, str, Fraction]) -> None:
    path, encoder, size, rate = clip
    with av.open(str(path)) as container:
        config = bytes(container.streams.video[0].codec_context.extradata or b"")
        frames = [bytes(packet) for packet in container.demux() if packet.size]
    width, height = (int(side) for side in size.split("x"))
    if encoder == "libx264":
        avc = nal.parse_avcc(config)
        assert (avc.length_size, avc.profile, avc.level) == (4, config[1], config[3])
        assert nal.build_avcc(avc.sps, avc.pps) == config
        got_width, got_height, got_rate = nal.sps_info(H264, avc.sps[0])
        assert got_rate == pytest.approx(float(rate), rel=1e-6)
        codec = H264
    else:
        hevc = nal.parse_hvcc(config)
        assert (hevc.length_size, hevc.profile, hevc.level) == (4, config[1] & 31, config[12])
        built = nal.build_hvcc(hevc.vps, hevc.sps, hevc.pps)
        # An encoder may say more about parallelism and add SEI; profile, level, chroma, depths and layers must agree.
        assert built[:13] + built[16:22] == config[:13] + config[16:22]
        assert nal.parse_hvcc(built) == hevc
        got_width, got_height, _ = nal.sps_info(HEVC, hevc.sps[0])
        codec = HEVC
    assert (got_width, got_height) == (width, height)
    assert [nal.is_keyframe(codec, 4, frame) for frame in frames] == [True, False]


def test_sps_rate_and_size_by_hand() -> None:
    assert nal.sps_info(H264, SPS) == (1280, 720, 30.0)
    assert nal.sps_info(H264, BASELINE_SPS) == (640, 480, 25.0)
    assert nal.sps_info(HEVC, HEVC_SPS) == (638, 358, 0.0)


UNITS = {
    "one": [b"\x65\x11\x22"],
    "sets and slice": [SPS, PPS, b"\x65\x88\x84\x00\x00\x03\x01"],
    "slices": [b"\x41\x9a" + bytes([7]) * 300, b"\x41\x9b\x01"],
}


@pytest.mark.parametrize("units", UNITS.values(), ids=UNITS)
@pytest.mark.parametrize("start", [b"\0\0\1", b"\0\0\0\1"], ids=["3", "4"])
@pytest.mark.parametrize("tail", [b"", b"\0\0\0"], ids=["bare", "trailing zeros"])
def test_annexb_and_lengths(units: list[bytes], start: bytes, tail: bytes) -> None:
    annexb = b"".join(start + unit for unit in units) + tail
    lengths = b"".join(len(unit).to_bytes(4, "big") + unit for unit in units)
    assert nal.split_annexb(annexb) == units
    assert nal.annexb_to_lengths(memoryview(annexb)) == lengths
    assert nal.split_lengths(lengths) == units
    assert nal.lengths_to_annexb(lengths) == b"".join(b"\0\0\0\1" + unit for unit in units)


@pytest.mark.parametrize("size", [1, 2, 4])
def test_length_sizes(size: int) -> None:
    units = [b"\x67\x42", b"", b"\x65" + bytes([3]) * 90]
    data = b"".join(len(unit).to_bytes(size, "big") + unit for unit in units)
    assert nal.split_lengths(data, size) == [units[0], units[2]]
    for cut in range(1, len(data)):
        if cut not in (size + 2, 2 * size + 2):
            with pytest.raises(MediaError, match="runs over its end"):
                nal.split_lengths(data[:cut], size)


@pytest.mark.parametrize("size", [0, 3, 5])
def test_length_size_3_is_refused(size: int) -> None:
    with pytest.raises(MediaError, match="expected 1, 2 or 4"):
        nal.split_lengths(b"\0\0\0\1\x65", size)


ROLES = {
    (H264, 9): "aud",
    (H264, 7): "sps",
    (H264, 8): "pps",
    (H264, 5): "key",
    (HEVC, 35): "aud",
    (HEVC, 32): "vps",
    (HEVC, 33): "sps",
    (HEVC, 34): "pps",
    **{(HEVC, kind): "key" for kind in range(16, 22)},
}


@pytest.mark.parametrize("codec", [H264, HEVC])
def test_roles(codec: Codec) -> None:
    """Every type of both codecs; what stands in no row of the table has no role."""
    for kind in range(32 if codec is H264 else 64):
        unit = bytes([0x60 | kind]) if codec is H264 else bytes([kind << 1, 1])
        data = len(unit).to_bytes(2, "big") + unit
        role = ROLES.get((codec, kind))
        assert nal.nal_unit_type(codec, unit) == kind
        assert nal.access_unit_roles(codec, 2, data) == ({role} if role else set())
        assert nal.is_keyframe(codec, 2, data) == (role == "key")


def test_avcc_by_hand() -> None:
    """ISO 14496-15 5.3.3.1.2, written out; with the tail of the high profiles and without it."""
    record = b"\x01\x64\x00\x1f\xff\xe1" + bytes([0, len(SPS)]) + SPS + b"\x01" + bytes([0, len(PPS)]) + PPS
    assert nal.parse_avcc(record) == nal.AvcConfig(4, [SPS], [PPS], 100, 31)
    assert nal.build_avcc([SPS], [PPS]) == record + b"\xfd\xf8\xf8\x00"
    assert nal.parse_avcc(record[:4] + b"\xfd" + record[5:]).length_size == 2
    baseline = nal.build_avcc([BASELINE_SPS], [PPS, PPS])
    assert baseline.endswith(b"\x02" + 2 * (bytes([0, len(PPS)]) + PPS))


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: nal.build_avcc([], [PPS]), "1 to 31 units of NAL type 7"),
        (lambda: nal.build_avcc([PPS], [PPS]), "expected a unit of NAL type 7, got 8"),
        (lambda: nal.build_avcc([SPS], [PPS + bytes(70000)]), "at most 65535"),
        (lambda: nal.build_avcc([SPS[:2]], [PPS]), "at least 4 bytes"),
        (lambda: nal.build_hvcc([b"\x40\x01"], [b"\x42\x01"], [b"\x44\x01"]), "HEVC SPS ends early"),
        (lambda: nal.parse_avcc(b"\x02" + bytes(9)), "expected version 1, got 2"),
        (lambda: nal.parse_avcc(b"\1\x42\0\x1e\xfe\xe0\0"), "expected 1, 2 or 4, got 3"),
        (lambda: nal.split_annexb(b"\x65\0\0\1\x65"), "does not begin with a start code"),
        (lambda: nal.split_annexb(bytes(9)), "no start code"),
        (lambda: nal.sps_info(H264, b""), "parameter set of 0 bytes"),
        (lambda: nal.sps_info(Codec.AAC, SPS), "expected codec H.264"),
        (lambda: nal.nal_unit_type(H264, b""), "empty NAL unit"),
        (lambda: nal.build_asc(2, 1 << 24, 2), "does not fit 24 bits"),
        (lambda: nal.build_asc(2, 48000, 9), "channel configuration 9 is reserved"),
        (lambda: nal.build_asc(31, 48000, 2), "audio object type 31"),
        (lambda: nal.build_adts(bytes.fromhex("1190"), 8185), "1 to 8184 fit"),
        (lambda: nal.build_adts(bytes.fromhex("1190"), 0), "1 to 8184 fit"),
        (lambda: nal.build_adts(nal.build_asc(2, 47999, 2), 100), "no frequency index for 47999 Hz"),
        (lambda: nal.build_adts(nal.build_asc(42, 48000, 2), 100), "object types 1 to 4, got 42"),
        (lambda: nal.build_adts(nal.build_asc(2, 48000, 0), 100), "channel configurations 1 to 7, got 0"),
    ],
)
def test_refusals_say_what_is_wrong(build: Callable[[], object], words: str) -> None:
    with pytest.raises(MediaError, match=words):
        build()


def _fields(*fields: tuple[int, int]) -> bytes:
    """(bits, value) one after the other, filled up with zeros to whole bytes."""
    text = "".join(f"{value:0{bits}b}" for bits, value in fields)
    text += "0" * (-len(text) % 8)
    return int(text, 2).to_bytes(len(text) // 8, "big")


LC_24K_STEREO = ((5, 2), (4, 6), (4, 2), (3, 0))
LC_24K_MONO = ((5, 2), (4, 6), (4, 1), (3, 0))
# ISO 14496-3 1.6.2.1: bytes, then object type, output rate, channels, frequency index, channel configuration, sbr, ps.
ASC = {
    "48 kHz stereo": (b"\x11\x90", nal.AudioConfig(2, 48000, 2, 3, 2)),
    "44.1 kHz stereo": (b"\x12\x10", nal.AudioConfig(2, 44100, 2, 4, 2)),
    "7.1": (b"\x11\xb8", nal.AudioConfig(2, 48000, 8, 3, 7)),
    "main, mono": (_fields((5, 1), (4, 7), (4, 1)), nal.AudioConfig(1, 22050, 1, 7, 1)),
    "escape": (_fields((5, 31), (6, 10), (4, 3), (4, 2)), nal.AudioConfig(42, 48000, 2, 3, 2)),
    "explicit rate": (_fields((5, 2), (4, 15), (24, 96001), (4, 2)), nal.AudioConfig(2, 96001, 2, 15, 2)),
    "explicit rate with an index": (_fields((5, 2), (4, 15), (24, 32000), (4, 1)), nal.AudioConfig(2, 32000, 1, 5, 1)),
    "SBR around LC": (_fields((5, 5), (4, 6), (4, 2), (4, 3), (5, 2)), nal.AudioConfig(2, 48000, 2, 6, 2, True)),
    "PS around LC": (_fields((5, 29), (4, 7), (4, 1), (4, 4), (5, 2)), nal.AudioConfig(2, 44100, 2, 7, 1, True, True)),
    "SBR, explicit rate": (
        _fields((5, 5), (4, 6), (4, 2), (4, 15), (24, 47000), (5, 2)),
        nal.AudioConfig(2, 47000, 2, 6, 2, True),
    ),
    "sync extension": (
        _fields(*LC_24K_STEREO, (11, 0x2B7), (5, 5), (1, 1), (4, 3)),
        nal.AudioConfig(2, 48000, 2, 6, 2, True),
    ),
    "sync extension with PS": (
        _fields(*LC_24K_MONO, (11, 0x2B7), (5, 5), (1, 1), (4, 3), (11, 0x548), (1, 1)),
        nal.AudioConfig(2, 48000, 2, 6, 1, True, True),
    ),
    "sync extension without SBR": (
        _fields(*LC_24K_STEREO, (11, 0x2B7), (5, 5), (1, 0)),
        nal.AudioConfig(2, 24000, 2, 6, 2),
    ),
    "another extension": (
        _fields(*LC_24K_STEREO, (11, 0x2B6), (5, 5), (1, 1), (4, 3)),
        nal.AudioConfig(2, 24000, 2, 6, 2),
    ),
}
BUILT = ("48 kHz stereo", "44.1 kHz stereo", "7.1", "main, mono", "escape", "explicit rate")


@pytest.mark.parametrize("name", ASC)
def test_audio_specific_config(name: str) -> None:
    data, config = ASC[name]
    assert nal.parse_asc(data) == config
    if name in BUILT:
        assert nal.build_asc(config.object_type, config.sample_rate, config.channel_config) == data


@given(st.integers(1, 4), st.sampled_from([7350, 12000, 44100, 96000]), st.integers(1, 7), st.integers(1, 8184))
@settings(deadline=None, max_examples=60)
def test_adts_both_ways(object_type: int, rate: int, channel_config: int, size: int) -> None:
    asc = nal.build_asc(object_type, rate, channel_config)
    header = nal.build_adts(asc, size)
    assert nal.parse_adts(header + b"tail") == nal.AdtsHeader(asc, 7, size + 7)
    with_crc = bytes([header[0], header[1] & 0xFE]) + header[2:] + b"\x12\x34"
    if size > 2:
        assert nal.parse_adts(with_crc).header_size == 9


def test_adts_by_hand() -> None:
    """LC, 48 kHz, stereo, 300 bytes: ISO 14496-3 1.A.2.2."""
    assert nal.build_adts(bytes.fromhex("1190"), 300).hex() == "fff14c80267ffc"


# Hostile bytes: whatever comes, the answer is a value or MediaError.

PARSERS: dict[str, tuple[Callable[[bytes], object], bytes]] = {
    "avcC": (nal.parse_avcc, nal.build_avcc([SPS, BASELINE_SPS], [PPS])),
    "hvcC": (nal.parse_hvcc, nal.build_hvcc([HEVC_VPS], [HEVC_SPS], [HEVC_PPS])),
    "AVC SPS": (lambda data: nal.sps_info(H264, data), SPS),
    "HEVC SPS": (lambda data: nal.sps_info(HEVC, data), HEVC_SPS),
    "ASC": (nal.parse_asc, ASC["sync extension with PS"][0]),
    "ADTS": (nal.parse_adts, bytes.fromhex("fff14c80267ffc")),
    "Annex B": (nal.split_annexb, b"\0\0\0\1" + SPS + b"\0\0\1" + PPS),
    "lengths": (nal.split_lengths, b"\0\0\0\6" + PPS + b"\0\0\0\2\x41\x9a"),
    "keyframe": (lambda data: nal.is_keyframe(HEVC, 2, data), b"\0\2\x26\1\0\3\x40\1\2"),
    "build avcC": (lambda data: nal.build_avcc([data], [PPS]), SPS),
    "build hvcC": (lambda data: nal.build_hvcc([HEVC_VPS], [data], [HEVC_PPS]), HEVC_SPS),
}


def _answer(parse: Callable[[bytes], object], data: bytes) -> object:
    try:
        return parse(data)
    except MediaError as error:
        return str(error)


@pytest.mark.parametrize("name", PARSERS)
def test_every_truncation(name: str) -> None:
    parse, sample = PARSERS[name]
    for size in range(len(sample)):
        assert _answer(parse, sample[:size]) != ""


@pytest.mark.parametrize("name", PARSERS)
@given(data=st.data())
@settings(deadline=None, max_examples=150)
def test_damaged_and_random_bytes(name: str, data: st.DataObject) -> None:
    parse, sample = PARSERS[name]
    _answer(parse, data.draw(st.binary(max_size=80)))
    damaged = bytearray(sample)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(sample) - 1))] = data.draw(st.integers(0, 255))
    _answer(parse, bytes(damaged))


_UNIT = st.binary(min_size=1, max_size=40).filter(lambda unit: b"\0\0" not in unit and unit[-1] != 0)


@given(st.lists(_UNIT, min_size=1, max_size=6))
@settings(deadline=None, max_examples=100)
def test_split_annexb_is_the_inverse_of_joining(units: list[bytes]) -> None:
    # No NAL unit begins with a zero byte: it would belong to the start code.
    units = [b"\x41" + unit for unit in units]
    assert nal.split_annexb(b"".join(b"\0\0\1" + unit for unit in units)) == units
