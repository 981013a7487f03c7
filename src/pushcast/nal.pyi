"""NAL units: splitting and joining access units, telling what a unit is.

Whatever cannot be parsed raises MediaError.

``codec`` is a pushcast.media.Codec, H264 or HEVC; a *unit* is a NAL unit without start code or length.
"""

ReadableBuffer = bytes | bytearray | memoryview

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
