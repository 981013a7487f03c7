"""Audio and video messages of RTMP, taken apart (FLV 10.1 E.4, Enhanced RTMP v2)."""

from typing import Any

ReadableBuffer = bytes | bytearray | memoryview

def tags(video: bool, data: ReadableBuffer) -> list[dict[str, Any]] | int | None:
    """Each track of a message; None for what is malformed, the number of a plain codec that is not known.

    Members: ``fourcc``, ``track_id``, ``kind`` (0 configuration, 1 frame, 2 end, 4 metadata, 16 command), ``key``,
    ``composition_ms``, ``nanos``, ``body``.
    """
