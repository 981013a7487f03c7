"""NAL units, parameter sets, decoder configuration records, AAC headers.

Whatever cannot be parsed raises MediaError.

``codec`` is a pushcast.media.Codec, H264 or HEVC; a *unit* is a NAL unit without start code or length.
"""

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

@dataclass(frozen=True)
class AudioConfig:
    """An AudioSpecificConfig (ISO 14496-3 1.6.2).

    ``object_type`` and ``frequency_index`` are those of the core coder, which is what ADTS needs; ``sample_rate`` (Hz)
    and ``channels`` are those of the decoded output when SBR or PS is signalled explicitly.  ``frequency_index`` is 15
    for a rate outside the standard's table; ``channels`` is 0 when only a program_config_element would tell.
    """

    object_type: int
    sample_rate: int
    channels: int
    frequency_index: int
    channel_config: int
    sbr: bool = ...
    ps: bool = ...

@dataclass(frozen=True)
class AdtsHeader:
    """An ADTS header, ISO 14496-3 1.A.2.

    ``asc``: the AudioSpecificConfig it amounts to; ``header_size``: 7 or 9; ``frame_size``: bytes with the header.
    """

    asc: bytes
    header_size: int
    frame_size: int

def split_annexb(data: ReadableBuffer) -> list[bytes]:
    """Units of an Annex B byte stream, in order; MediaError when it does not begin with a start code."""

def annexb_to_lengths(data: ReadableBuffer) -> bytes:
    """Annex B to units with 4-byte lengths."""

def split_lengths(data: ReadableBuffer, length_size: int = 4) -> list[bytes]:
    """Units of a length-prefixed access unit; MediaError when a length runs over the end."""

def lengths_to_annexb(data: ReadableBuffer, length_size: int = 4) -> bytes:
    """Length-prefixed units to Annex B with 4-byte start codes."""

def nal_unit_type(codec: int, unit: ReadableBuffer) -> int: ...
def access_unit_roles(codec: int, length_size: int, data: ReadableBuffer) -> frozenset[str]:
    """What a length-prefixed access unit holds: ``aud``, ``vps``, ``sps``, ``pps``, ``key`` (an IDR or IRAP slice)."""

def is_keyframe(codec: int, length_size: int, data: ReadableBuffer) -> bool:
    """True when the length-prefixed access unit is an IDR picture (H.264) or an IRAP picture (HEVC)."""

def parse_avcc(data: ReadableBuffer) -> AvcConfig: ...
def build_avcc(sps: Iterable[bytes], pps: Iterable[bytes]) -> bytes:
    """avcC with 4-byte lengths, with chroma format and bit depths for the profiles that have them."""

def parse_hvcc(data: ReadableBuffer) -> HvcConfig: ...
def build_hvcc(vps: Iterable[bytes], sps: Iterable[bytes], pps: Iterable[bytes]) -> bytes:
    """hvcC with 4-byte lengths; profile, tier and level are the first SPS's."""

def sps_info(codec: int, sps: ReadableBuffer) -> tuple[int, int, float]:
    """(width, height, frames per second) after cropping; the rate is 0.0 without VUI timing, and for HEVC."""

def parse_asc(data: ReadableBuffer) -> AudioConfig: ...
def build_asc(object_type: int, sample_rate: int, channel_config: int) -> bytes:
    """AudioSpecificConfig of plain AAC with frames of 1024 samples; ``sample_rate`` in Hz."""

def parse_adts(data: ReadableBuffer) -> AdtsHeader:
    """The header at the start of data; only frames of one raw data block are taken."""

def build_adts(asc: ReadableBuffer, frame_size: int) -> bytes:
    """The 7-byte ADTS header of a raw frame of frame_size bytes; MediaError when ADTS cannot say what asc says."""
