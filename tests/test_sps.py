"""Sequence parameter sets by hand, then hostile bytes; test_videoconfig holds those of real encoders against ours."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hostile_bytes import check_damage, check_truncations
from hypothesis import given, settings
from hypothesis import strategies as st
from parameter_sets import BASELINE_SPS, HEVC_SPS, SPS

from pushcast import sps
from pushcast.errors import MediaError
from pushcast.media import Codec

H264, HEVC = Codec.H264, Codec.HEVC


def test_sps_rate_and_size_by_hand() -> None:
    assert sps.sps_info(H264, SPS) == (1280, 720, 30.0)
    assert sps.sps_info(H264, BASELINE_SPS) == (640, 480, 25.0)
    assert sps.sps_info(HEVC, HEVC_SPS) == (638, 358, 0.0)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: sps.sps_info(H264, b""), "parameter set of 0 bytes"),
        (lambda: sps.sps_info(Codec.AAC, SPS), "expected codec H.264"),
    ],
)
def test_refusals_say_what_is_wrong(build: Callable[[], object], words: str) -> None:
    with pytest.raises(MediaError, match=words):
        build()


PARSERS: dict[str, tuple[Callable[[bytes], object], bytes]] = {
    "AVC SPS": (lambda data: sps.sps_info(H264, data), SPS),
    "HEVC SPS": (lambda data: sps.sps_info(HEVC, data), HEVC_SPS),
}


@pytest.mark.parametrize("name", PARSERS)
def test_every_truncation(name: str) -> None:
    check_truncations(*PARSERS[name])


@pytest.mark.parametrize("name", PARSERS)
@given(data=st.data())
@settings(deadline=None, max_examples=150)
def test_damaged_and_random_bytes(name: str, data: st.DataObject) -> None:
    check_damage(*PARSERS[name], data)
