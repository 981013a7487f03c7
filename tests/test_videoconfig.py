"""Decoder configuration records: those of real encoders found again, one by hand, then hostile bytes."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import pytest
from hostile_bytes import check_damage, check_truncations
from hypothesis import given, settings
from hypothesis import strategies as st
from parameter_sets import BASELINE_SPS, HEVC_PPS, HEVC_SPS, HEVC_VPS, PPS, SPS

from pushcast import nal, sps, videoconfig
from pushcast.errors import MediaError
from pushcast.media import Codec

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
        avc = videoconfig.parse_avcc(config)
        assert (avc.length_size, avc.profile, avc.level) == (4, config[1], config[3])
        assert videoconfig.build_avcc(avc.sps, avc.pps) == config
        got_width, got_height, got_rate = sps.sps_info(Codec.H264, avc.sps[0])
        assert got_rate == pytest.approx(float(rate), rel=1e-6)
        codec = Codec.H264
    else:
        hevc = videoconfig.parse_hvcc(config)
        assert (hevc.length_size, hevc.profile, hevc.level) == (4, config[1] & 31, config[12])
        built = videoconfig.build_hvcc(hevc.vps, hevc.sps, hevc.pps)
        # An encoder may say more about parallelism and add SEI; profile, level, chroma, depths and layers must agree.
        assert built[:13] + built[16:22] == config[:13] + config[16:22]
        assert videoconfig.parse_hvcc(built) == hevc
        got_width, got_height, _ = sps.sps_info(Codec.HEVC, hevc.sps[0])
        codec = Codec.HEVC
    assert (got_width, got_height) == (width, height)
    assert [nal.is_keyframe(codec, 4, frame) for frame in frames] == [True, False]


def test_avcc_by_hand() -> None:
    """ISO 14496-15 5.3.3.1.2, written out; with the tail of the high profiles and without it."""
    record = b"\x01\x64\x00\x1f\xff\xe1" + bytes([0, len(SPS)]) + SPS + b"\x01" + bytes([0, len(PPS)]) + PPS
    assert videoconfig.parse_avcc(record) == videoconfig.AvcConfig(4, [SPS], [PPS], 100, 31)
    assert videoconfig.build_avcc([SPS], [PPS]) == record + b"\xfd\xf8\xf8\x00"
    assert videoconfig.parse_avcc(record[:4] + b"\xfd" + record[5:]).length_size == 2
    baseline = videoconfig.build_avcc([BASELINE_SPS], [PPS, PPS])
    assert baseline.endswith(b"\x02" + 2 * (bytes([0, len(PPS)]) + PPS))


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: videoconfig.build_avcc([], [PPS]), "1 to 31 units of NAL type 7"),
        (lambda: videoconfig.build_avcc([PPS], [PPS]), "expected a unit of NAL type 7, got 8"),
        (lambda: videoconfig.build_avcc([SPS], [PPS + bytes(70000)]), "at most 65535"),
        (lambda: videoconfig.build_avcc([SPS[:2]], [PPS]), "at least 4 bytes"),
        (lambda: videoconfig.build_hvcc([b"\x40\x01"], [b"\x42\x01"], [b"\x44\x01"]), "HEVC SPS ends early"),
        (lambda: videoconfig.parse_avcc(b"\x02" + bytes(9)), "expected version 1, got 2"),
        (lambda: videoconfig.parse_avcc(b"\1\x42\0\x1e\xfe\xe0\0"), "expected 1, 2 or 4, got 3"),
    ],
)
def test_refusals_say_what_is_wrong(build: Callable[[], object], words: str) -> None:
    with pytest.raises(MediaError, match=words):
        build()


PARSERS: dict[str, tuple[Callable[[bytes], object], bytes]] = {
    "avcC": (videoconfig.parse_avcc, videoconfig.build_avcc([SPS, BASELINE_SPS], [PPS])),
    "hvcC": (videoconfig.parse_hvcc, videoconfig.build_hvcc([HEVC_VPS], [HEVC_SPS], [HEVC_PPS])),
    "build avcC": (lambda data: videoconfig.build_avcc([data], [PPS]), SPS),
    "build hvcC": (lambda data: videoconfig.build_hvcc([HEVC_VPS], [data], [HEVC_PPS]), HEVC_SPS),
}


@pytest.mark.parametrize("name", PARSERS)
def test_every_truncation(name: str) -> None:
    check_truncations(*PARSERS[name])


@pytest.mark.parametrize("name", PARSERS)
@given(data=st.data())
@settings(deadline=None, max_examples=150)
def test_damaged_and_random_bytes(name: str, data: st.DataObject) -> None:
    check_damage(*PARSERS[name], data)


def _units(*kinds: int) -> st.SearchStrategy[list[list[bytes]]]:
    """One or two units of each of these first bytes; the second byte is no profile that has more to say."""
    return st.tuples(
        *(
            st.lists(
                st.binary(min_size=3, max_size=90).map(lambda tail, kind=kind: bytes((kind, 66)) + tail),
                min_size=1,
                max_size=3,
            )
            for kind in kinds
        )
    ).map(list)


@given(sets=_units(0x67, 0x68), tail=st.binary(max_size=20))
def test_any_avc_sets_come_back_whatever_follows(sets: list[list[bytes]], tail: bytes) -> None:
    record = videoconfig.build_avcc(*sets)
    found = videoconfig.parse_avcc(record + tail)
    assert [found.sps, found.pps] == sets


@given(sets=_units(0x40, 0x44), tail=st.binary(max_size=20))
def test_any_hevc_sets_come_back_whatever_follows(sets: list[list[bytes]], tail: bytes) -> None:
    vps, pps = sets
    found = videoconfig.parse_hvcc(videoconfig.build_hvcc(vps, [HEVC_SPS], pps) + tail)
    assert (found.vps, found.sps, found.pps) == (vps, [HEVC_SPS], pps)
