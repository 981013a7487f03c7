"""Targets: NAL units and parameter sets, and decoder configuration records of video.

``nal`` takes an access unit: in both forms apart and together again, through the parser of PES packets, and, with
lengths, through the muxers, as a publisher over RTMP would send it.

``videoconfig`` takes a record: read, written from what was read, and used by the muxers.
"""

from __future__ import annotations

from contextlib import suppress

from read_ts import AVC_PPS, AVC_SPS, HEVC_SETS, annexb

from fuzz.exact import Fields, exact
from fuzz.receiver import check_feed, check_source, feeds_of, new_source
from pushcast import nal as units
from pushcast import sps, videoconfig
from pushcast.errors import MediaError
from pushcast.flvcodecs import described
from pushcast.media import Codec, Track
from pushcast.nalparser import NalParser

SETS = {Codec.H264: (AVC_SPS, AVC_PPS), Codec.HEVC: tuple(HEVC_SETS)}
CONFIGS = {
    Codec.H264: videoconfig.build_avcc([AVC_SPS], [AVC_PPS]),
    Codec.HEVC: videoconfig.build_hvcc(*[[unit] for unit in HEVC_SETS]),
}
CODECS = tuple(SETS)
LENGTH_SIZES = (4, 2, 1)
RECORDS = (Codec.H264, Codec.HEVC, Codec.AV1, Codec.VP9)
KEY, CONFIG = 1, 2
TICKS = 3600


def nal(data: bytes) -> None:
    fields = Fields(data)
    how = fields.number()
    codec, length_size, key = CODECS[how & 1], LENGTH_SIZES[(how >> 1) % 3], how >> 3 & 1
    content = fields.rest()
    _annexb(content)
    _lengths(codec, length_size, content)
    _parameter_set(codec, content)
    _parsed(codec, content)
    _muxed(codec, length_size, key, content)


def _annexb(content: bytes) -> None:
    with suppress(MediaError):
        split = units.split_annexb(exact(content))
        assert sum(map(len, split)) < len(content)
        assert units.split_lengths(units.annexb_to_lengths(content)) == split
        if split:
            assert units.split_annexb(annexb(split)) == split


def _lengths(codec: Codec, length_size: int, content: bytes) -> None:
    with suppress(MediaError):
        split = units.split_lengths(exact(content), length_size)
        assert sum(len(unit) + length_size for unit in split) <= len(content)
        assert units.is_keyframe(codec, length_size, content) == (
            "key" in units.access_unit_roles(codec, length_size, content)
        )
        units.lengths_to_annexb(content, length_size)


def _parameter_set(codec: Codec, content: bytes) -> None:
    with suppress(MediaError):
        units.nal_unit_type(codec, exact(content))
    with suppress(MediaError):
        width, height, rate = sps.sps_info(codec, exact(content))
        assert 0 < width <= 16888
        assert 0 < height <= 16888
        assert 0 <= rate <= 1 << 32
    sps.picture_facts(codec, content)
    with suppress(MediaError):
        if codec is Codec.H264:
            assert videoconfig.parse_avcc(videoconfig.build_avcc([content], [AVC_PPS])).sps == [content]
        else:
            vps, _, pps = HEVC_SETS
            assert videoconfig.parse_hvcc(videoconfig.build_hvcc([vps], [content], [pps])).sps == [content]


def _parsed(codec: Codec, content: bytes) -> None:
    """As a PES packet behind a keyframe with parameter sets."""
    source = new_source()
    source.set_tracks([Track(0, codec)])
    parser = NalParser(source, 0, codec)
    parser.feed(annexb(SETS[codec]), 0)
    assert parser.known
    parser.feed(exact(content), TICKS)
    parser.feed(exact(content), TICKS)
    for _, _, _, flags, frame in source.recent():
        if not flags & CONFIG:
            assert all(units.split_lengths(frame))
    check_source(source)


def _muxed(codec: Codec, length_size: int, key: int, content: bytes) -> None:
    """As an access unit of a publisher, whose lengths may be anything."""
    source = new_source()
    config = bytearray(CONFIGS[codec])
    place = 4 if codec is Codec.H264 else 21
    config[place] = config[place] & 0xFC | length_size - 1
    source.set_tracks([Track(0, codec, config=bytes(config))])
    feeds = feeds_of(source)
    for number in range(3):
        source.push(0, number * TICKS, (number + 2) * TICKS, key, exact(content))
    check_source(source)
    for feed in feeds:
        check_feed(feed)


def videoconfig_(data: bytes) -> None:
    fields = Fields(data)
    codec = RECORDS[fields.number() % len(RECORDS)]
    record = fields.rest()
    with suppress(MediaError):
        avc = videoconfig.parse_avcc(exact(record))
        assert sum(map(len, avc.sps + avc.pps)) < len(record)
        with suppress(MediaError):
            again = videoconfig.parse_avcc(videoconfig.build_avcc(avc.sps, avc.pps))
            assert (again.sps, again.pps) == (avc.sps, avc.pps)
    with suppress(MediaError):
        hevc = videoconfig.parse_hvcc(exact(record))
        assert sum(map(len, hevc.vps + hevc.sps + hevc.pps)) < len(record)
        with suppress(MediaError):
            again = videoconfig.parse_hvcc(videoconfig.build_hvcc(hevc.vps, hevc.sps, hevc.pps))
            assert (again.vps, again.sps, again.pps) == (hevc.vps, hevc.sps, hevc.pps)
    with suppress(MediaError):
        config, facts = described(codec, record, b"")
        assert config == record
        _used(Track(0, codec, config=config, **facts), record)


def _used(track: Track, record: bytes) -> None:
    """By muxers: from the beginning, then as a change of the first one of the tests."""
    source = new_source()
    source.set_tracks([track])
    feeds = feeds_of(source)
    frame = b"\0\0\0\2\x65\x88" if track.codec is Codec.H264 else b"\0\0\0\3\x26\x01\xaf"
    source.push(0, 0, 0, KEY, frame)
    source.push(0, TICKS, TICKS, CONFIG, CONFIGS.get(track.codec, record))
    source.push(0, TICKS, TICKS, KEY, frame)
    source.push(0, 2 * TICKS, 2 * TICKS, CONFIG, exact(record))
    source.push(0, 2 * TICKS, 2 * TICKS, KEY, frame)
    check_source(source)
    for feed in feeds:
        check_feed(feed)
