"""AAC headers: AudioSpecificConfig, ADTS and LATM.  Whatever cannot be parsed or said raises MediaError."""

from dataclasses import dataclass

ReadableBuffer = bytes | bytearray | memoryview

@dataclass(frozen=True)
class AudioConfig:
    """An AudioSpecificConfig (ISO 14496-3 1.6.2).

    ``object_type`` and ``frequency_index`` are those of the core coder, which is what ADTS needs; ``sample_rate`` (Hz)
    and ``channels`` are those of the decoded output when SBR or PS is signalled explicitly.  ``frequency_index`` is 15
    for a rate outside the standard's table; ``channels`` is 0 when only a program_config_element would tell, and there
    is none; ``program_config`` is that element as it begins a raw_data_block (4.4.1.1), of ``channel_config`` 0.
    """

    object_type: int
    sample_rate: int
    channels: int
    frequency_index: int
    channel_config: int
    sbr: bool = ...
    ps: bool = ...
    program_config: bytes = ...

@dataclass(frozen=True)
class AdtsHeader:
    """An ADTS header, ISO 14496-3 1.A.2.

    ``asc``: the AudioSpecificConfig it amounts to, b"" when a program_config_element would tell the channels, and the
    frame begins with none; ``header_size``: 7 or 9; ``frame_size``: bytes with the header.
    """

    asc: bytes
    header_size: int
    frame_size: int

@dataclass(frozen=True)
class LatmConfig:
    """A StreamMuxConfig, ISO 14496-3 1.7.3.

    ``core_rate`` (Hz) is what frames of 1024 samples count by, ``sample_rate`` and ``channels`` are those of the
    decoded output.
    """

    asc: bytes
    core_rate: int
    sample_rate: int
    channels: int

def parse_asc(data: ReadableBuffer) -> AudioConfig: ...
def build_asc(object_type: int, sample_rate: int, channel_config: int, program_config: bytes = b"") -> bytes:
    """AudioSpecificConfig of plain AAC with frames of 1024 samples; ``sample_rate`` in Hz.

    ``program_config``: bytes that begin with the element as AudioConfig has it; what stands behind it is passed over.
    """

def parse_adts(data: ReadableBuffer) -> AdtsHeader:
    """The header at the start of data; only frames of one raw data block are taken."""

def build_adts(asc: ReadableBuffer, frame_size: int) -> bytes:
    """The 7-byte ADTS header of a raw frame of frame_size bytes; MediaError when ADTS cannot say what asc says."""

def parse_latm(data: ReadableBuffer, known: LatmConfig | None = None) -> tuple[LatmConfig, int, int]:
    """An AudioMuxElement with muxConfigPresent: the configuration in force (``known`` when it says "the same"), the bit
    at which the frame begins, and the frame's bytes.  One program, one layer, one frame is what is taken.
    """
