"""Target: headers of AAC, and the audio frames that parsers find in the bytes of PES packets."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from fuzz.exact import Fields, exact, portions
from fuzz.receiver import check_feed, check_source, feeds_of, new_source
from pushcast import aac as headers
from pushcast.audioparser import (
    Ac3Parser,
    AdtsParser,
    AudioParser,
    LatmParser,
    MpegAudioParser,
    OpusParser,
    audio_facts,
)
from pushcast.errors import MediaError
from pushcast.flvcodecs import described
from pushcast.media import Codec, Track
from pushcast.source import Source

PARSERS: tuple[tuple[Codec, Callable[[Source], AudioParser]], ...] = (
    (Codec.AAC, lambda source: AdtsParser(source, 0, Codec.AAC)),
    (Codec.AAC, lambda source: LatmParser(source, 0, Codec.AAC)),
    (Codec.MP2, lambda source: MpegAudioParser(source, 0, Codec.MP2)),
    (Codec.AC3, lambda source: Ac3Parser(source, 0, Codec.AC3)),
    (Codec.OPUS, lambda source: OpusParser(source, 0, 2)),
    (Codec.OPUS, lambda source: OpusParser(source, 0, 8)),
)
OUT_OF_BAND = (Codec.AAC, Codec.OPUS, Codec.FLAC, Codec.MP3, Codec.AC3, Codec.EAC3)
STEPS = (1, 13, 184, 100_000)


def aac(data: bytes) -> None:
    fields = Fields(data)
    how, step = fields.number(), STEPS[fields.number() & 3]
    content = fields.rest()
    _asc(content)
    _adts(content)
    _latm(content)
    for codec in (Codec.MP3, Codec.AC3):
        audio_facts(codec, exact(content))
    _described(OUT_OF_BAND[how % len(OUT_OF_BAND)], content)
    codec, make = PARSERS[how % len(PARSERS)]
    whole, pieces = _frames(codec, make, content, max(1, len(content))), _frames(codec, make, content, step)
    assert [frame for *_, frame in whole] == [frame for *_, frame in pieces], "portions change what is found"


def _asc(content: bytes) -> None:
    with suppress(MediaError):
        config = headers.parse_asc(exact(content))
        assert 0 < config.sample_rate < 1 << 24
        assert 0 <= config.channels <= (3 + 3 * 2 * 15 if config.program_config else 8)
        with suppress(MediaError):
            header = headers.parse_adts(headers.build_adts(content, 200))
            assert header.frame_size == 207
            assert headers.parse_asc(header.asc).frequency_index == config.frequency_index
        if not config.sbr:
            with suppress(MediaError):
                built = headers.build_asc(
                    config.object_type, config.sample_rate, config.channel_config, config.program_config
                )
                assert headers.parse_asc(built) == config


def _adts(content: bytes) -> None:
    with suppress(MediaError):
        header = headers.parse_adts(exact(content))
        assert header.header_size < header.frame_size < 1 << 13
        headers.parse_asc(header.asc)


def _latm(content: bytes) -> None:
    known = None
    for _ in range(2):
        with suppress(MediaError):
            known, begin, size = headers.parse_latm(exact(content), known)
            assert begin + 8 * size <= 8 * len(content)
            assert headers.parse_asc(known.asc).sample_rate > 0


def _described(codec: Codec, content: bytes) -> None:
    """As the sequence header, or the first frame, of a publisher over RTMP."""
    with suppress(MediaError):
        config, facts = described(codec, content, content[:64])
        source = new_source()
        source.set_tracks([Track(0, codec, config=config, **facts)])
        feeds = feeds_of(source)
        for number in range(3):
            source.push(0, number * 1920, number * 1920, 1, exact(content[:9000]))
        source.push(0, 5760, 5760, 2, exact(content[:9000]))
        source.push(0, 5760, 5760, 1, exact(content[:9000]))
        check_source(source)
        for feed in feeds:
            check_feed(feed)


def _frames(
    codec: Codec, make: Callable[[Source], AudioParser], content: bytes, step: int
) -> list[tuple[int, int, int, int, bytes]]:
    """What a parser finds when the bytes come in such portions; only the first has a time."""
    source = new_source()
    source.set_tracks([Track(0, codec)])
    parser = make(source)
    for number, portion in enumerate(portions(content, step)):
        parser.feed(portion, None if number else 900_000)
    check_source(source)
    found = source.recent()
    assert sum(len(frame) for *_, frame in found) <= 2 * len(content) + 64
    return found
