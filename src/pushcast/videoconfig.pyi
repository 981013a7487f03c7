"""Decoder configuration records of video: avcC and hvcC.  Whatever cannot be parsed raises MediaError."""

from collections.abc import Iterable
from dataclasses import dataclass

ReadableBuffer = bytes | bytearray | memoryview

@dataclass(frozen=True)
class AvcConfig:
    """An AVCDecoderConfigurationRecord, ISO 14496-15 5.3.3: length size (1, 2 or 4 bytes), profile_idc, level_idc."""

    length_size: int
    sps: list[bytes]
    pps: list[bytes]
    profile: int
    level: int

@dataclass(frozen=True)
class HvcConfig:
    """An HEVCDecoderConfigurationRecord, ISO 14496-15 8.3.3: as AvcConfig, profile and level being the general ones."""

    length_size: int
    vps: list[bytes]
    sps: list[bytes]
    pps: list[bytes]
    profile: int
    level: int

def parse_avcc(data: ReadableBuffer) -> AvcConfig: ...
def build_avcc(sps: Iterable[bytes], pps: Iterable[bytes]) -> bytes:
    """avcC with 4-byte lengths, with chroma format and bit depths for the profiles that have them."""

def parse_hvcc(data: ReadableBuffer) -> HvcConfig: ...
def build_hvcc(vps: Iterable[bytes], sps: Iterable[bytes], pps: Iterable[bytes]) -> bytes:
    """hvcC with 4-byte lengths; profile, tier and level are the first SPS's."""
