"""EsParser: what is told when a track becomes known, and data that go on as they came."""

from __future__ import annotations

import pytest
from ts_frames import SPLICE_CONFIG, splice_insert

from pushcast.esparser import DataParser, SpliceParser
from pushcast.media import Codec, Track
from pushcast.source import Clock, Source


def source_of(codec: Codec) -> Source:
    made = Source(Clock())
    made.set_tracks([Track(3, codec)])
    return made


def test_data_go_on_as_they_are() -> None:
    source = source_of(Codec.KLV)
    parser = DataParser(source, 3, Codec.KLV, b"\x06klv")
    assert (parser.known, parser.config, parser.facts) == (True, b"\x06klv", {})
    parser.feed(b"first", 900_000)
    parser.feed(b"second", 909_000)
    parser.feed(b"whenever")
    parser.feed(b"", 918_000)
    assert [(track, data) for track, _, _, _, data in source.recent()] == [(3, b"first"), (3, b"second")]
    assert parser.damaged == 1


def test_splices_count_from_their_frame() -> None:
    source = source_of(Codec.SCTE35)
    parser = SpliceParser(source, 3, Codec.SCTE35, SPLICE_CONFIG)
    parser.feed(splice_insert(1, 900_000), 890_000)
    ((_, _, _, _, section),) = source.recent()
    adjustment = int.from_bytes(section[4:9]) & (1 << 33) - 1
    assert adjustment == (1 << 33) - 890_000


@pytest.mark.parametrize("section", [b"\xfc", b"\xfd" + bytes(40), bytes(5000)])
def test_what_is_no_splice(section: bytes) -> None:
    source = source_of(Codec.SCTE35)
    parser = SpliceParser(source, 3, Codec.SCTE35, SPLICE_CONFIG)
    parser.feed(section, 890_000)
    assert (source.recent(), parser.damaged) == ([], 1)
