"""The codecs of enhanced RTMP by their FourCCs, and what their decoder configurations say.

A configuration inside pushcast is what ISO files and libavformat have: avcC, hvcC, av1C, vpcC, AudioSpecificConfig,
OpusHead, and the STREAMINFO of FLAC without the signature before it.
"""

from __future__ import annotations

from pushcast import aac, audioparser, sps, videoconfig
from pushcast.errors import MediaError
from pushcast.fourcc import CODECS
from pushcast.media import Codec
from pushcast.opus import opus_head

# Their frames say all that a decoder needs, or they may come without a sequence header.
_WITHOUT = {Codec.MP3, Codec.AC3, Codec.EAC3, Codec.OPUS}
STREAMINFO_BYTES = 34

Facts = dict[str, int | float]


def needs_config(fourcc: int) -> bool:
    """A decoder needs a sequence header before the first frame."""
    return CODECS.get(fourcc) not in _WITHOUT


def described(codec: Codec, config: bytes, frame: bytes) -> tuple[bytes, Facts]:
    """The configuration as pushcast has it, and the members of Track that it says.

    ``frame``: the beginning of the first frame, of codecs that come without a configuration.

    :raises MediaError: it cannot be read.
    """
    match codec:
        case Codec.H264:
            return config, _picture(codec, videoconfig.parse_avcc(config).sps)
        case Codec.HEVC:
            return config, _picture(codec, videoconfig.parse_hvcc(config).sps)
        case Codec.AV1 | Codec.VP9:
            if len(config) < 4:
                raise MediaError(f"found a configuration of {len(config)} bytes, expected av1C or vpcC")
            return config, {}
        case Codec.AAC:
            audio = aac.parse_asc(config)
            return config, {"sample_rate": audio.sample_rate, "channels": audio.channels}
        case Codec.OPUS:
            head = config or opus_head(2)
            if not head.startswith(b"OpusHead") or len(head) < 19:
                raise MediaError("found no OpusHead")
            return head, {"sample_rate": 48000, "channels": head[9]}
        case Codec.FLAC:
            return _flac(config)
        case _:
            return b"", audioparser.audio_facts(codec, frame)


def _picture(codec: Codec, sets: list[bytes]) -> Facts:
    """By the first sequence parameter set of a record, which may have none: ISO 14496-15 5.3.3.1.2."""
    if not sets:
        raise MediaError("found a configuration without a sequence parameter set, expected at least one")
    return sps.picture_facts(codec, sets[0])


def _flac(config: bytes) -> tuple[bytes, Facts]:
    """RFC 9639 8.2."""
    info = config[8 : 8 + STREAMINFO_BYTES] if config.startswith(b"fLaC") else config[:STREAMINFO_BYTES]
    if len(info) < STREAMINFO_BYTES:
        raise MediaError(f"found {len(info)} bytes of STREAMINFO, expected {STREAMINFO_BYTES}")
    packed = int.from_bytes(info[10:14], "big")
    return info, {"sample_rate": packed >> 12, "channels": (packed >> 9 & 7) + 1}
