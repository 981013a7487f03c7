"""Sequence parameter sets; what cannot be parsed raises MediaError."""

ReadableBuffer = bytes | bytearray | memoryview

def sps_info(codec: int, sps: ReadableBuffer) -> tuple[int, int, float]:
    """(width, height, frames per second) after cropping; the rate is 0.0 without VUI timing, and for HEVC."""

def picture_facts(codec: int, sps: bytes) -> dict[str, int | float]:
    """width, height and frame_rate as members of Track; {} when they cannot be read."""
