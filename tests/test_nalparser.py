"""NalParser: access units with start codes to units with lengths, and the parameter sets in them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from read_ts import AVC_PPS, AVC_SPS, HEVC_SETS, annexb

from pushcast import nal, videoconfig
from pushcast.media import Codec, Track
from pushcast.nalparser import NalParser
from pushcast.source import Clock, Source

IDR, SLICE = b"\x65\x88\x01\x02\x03", b"\x41\x9a\x04\x05"
HEVC_IDR = b"\x26\x01\xaf\x02\x03"
KEY, CONFIG = 1, 2


class Video:
    """A parser whose track the source knows from the beginning."""

    def __init__(self, codec: Codec = Codec.H264) -> None:
        self.source = Source(Clock())
        self.source.set_tracks([Track(0, codec)])
        self.parser = NalParser(self.source, 0, codec)

    def units(self) -> list[tuple[int, list[bytes]]]:
        """(flags, units) of each frame."""
        return [(flags, nal.split_lengths(data)) for _, _, _, flags, data in self.source.recent() if not flags & CONFIG]


def test_units_come_through_untouched() -> None:
    video = Video()
    told: list[str] = []
    video.parser.on_known(lambda: told.append("known"))
    video.parser.feed(annexb([SLICE]), 0)
    assert (video.units(), told, video.parser.known) == ([], [], False), "nothing can be shown before parameter sets"
    video.parser.feed(annexb([b"\x09\xf0", AVC_SPS, AVC_PPS, IDR]), 3600)
    video.parser.feed(b"\0\0\1" + SLICE + b"\0\0\0\1" + SLICE + b"\0\0\0", 7200, 7200)
    assert told == ["known"]
    assert video.parser.config == videoconfig.build_avcc([AVC_SPS], [AVC_PPS])
    assert video.parser.facts["width"] > 0
    assert video.units() == [(KEY, [b"\x09\xf0", AVC_SPS, AVC_PPS, IDR]), (0, [SLICE, SLICE])]


def test_hevc() -> None:
    video = Video(Codec.HEVC)
    video.parser.feed(annexb([*HEVC_SETS, HEVC_IDR]), 0)
    assert video.parser.config == videoconfig.build_hvcc(*[[unit] for unit in HEVC_SETS])
    assert video.units() == [(KEY, [*HEVC_SETS, HEVC_IDR])]


def test_another_sps_is_a_change_before_its_frame() -> None:
    video = Video()
    other = AVC_SPS[:3] + b"\x20" + AVC_SPS[4:]
    for sps in (AVC_SPS, AVC_SPS, other):
        video.parser.feed(annexb([sps, AVC_PPS, IDR]), 0)
    assert [flags for _, _, _, flags, _ in video.source.recent()] == [KEY, KEY, CONFIG, KEY]
    assert video.source.recent()[2][4] == videoconfig.build_avcc([other], [AVC_PPS])


def test_a_picture_that_is_said_to_be_a_random_access_point_is_one() -> None:
    """Open GOPs and pictures that refresh step by step have no IDR."""
    video = Video()
    video.parser.feed(annexb([AVC_SPS, AVC_PPS, SLICE]), 0, None, True)
    assert video.units()[0][0] == KEY


@pytest.mark.parametrize("data", [b"\0\0\0\0", b"no start code here", b"\0\0\1", b"\0\0\1\0\0\0"])
def test_what_holds_no_unit_is_counted(data: bytes) -> None:
    video = Video()
    video.parser.feed(data, 0)
    assert (video.units(), video.parser.damaged) == ([], 1)


def test_parameter_sets_that_cannot_be_read() -> None:
    video = Video()
    for _ in range(3):
        video.parser.feed(annexb([b"\x67\x42", b"\x68", IDR]), 0)
    assert not video.parser.known
    assert video.parser.damaged == 1, "the same ones are looked at once"


def test_more_parameter_sets_than_anybody_has() -> None:
    video = Video()
    video.parser.feed(annexb([AVC_SPS] + [AVC_PPS] * 100 + [IDR]), 0)
    assert video.parser.known
    assert len(video.units()[0][1]) == 102


@given(st.lists(st.binary(max_size=40), max_size=12))
def test_any_bytes_between_start_codes(parts: list[bytes]) -> None:
    video = Video()
    video.parser.feed(b"\0\0\0\1" + AVC_SPS + b"\0\0\1" + AVC_PPS + b"".join(b"\0\0\1" + part for part in parts), 0)
    for _, units in video.units():
        assert all(units)
