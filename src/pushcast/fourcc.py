"""The FourCCs of enhanced RTMP v2."""

from __future__ import annotations

from pushcast.media import Codec

CODECS = {
    int.from_bytes(name, "big"): codec
    for name, codec in {
        b"avc1": Codec.H264,
        b"hvc1": Codec.HEVC,
        b"av01": Codec.AV1,
        b"vp09": Codec.VP9,
        b"mp4a": Codec.AAC,
        b".mp3": Codec.MP3,
        b"Opus": Codec.OPUS,
        b"fLaC": Codec.FLAC,
        b"ac-3": Codec.AC3,
        b"ec-3": Codec.EAC3,
    }.items()
}
FOURCCS = {codec: fourcc.to_bytes(4, "big") for fourcc, codec in CODECS.items()}
FLAC_SIGNATURE = b"fLaC\x80\x00\x00\x22"  # and the head of a metadata block: STREAMINFO, the last one, 34 bytes
