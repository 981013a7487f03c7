"""Sections put together from packets, and their CRC."""

from collections.abc import Iterable

ReadableBuffer = bytes | bytearray | memoryview

def crc32(data: ReadableBuffer) -> int:
    """CRC_32 of ISO/IEC 13818-1 annex A; 0 over a section that ends with its own."""

def sections(packets: Iterable[tuple[ReadableBuffer, bool]], most: int = 4096) -> tuple[list[bytes], int]:
    """The whole sections in payloads (bytes, and whether a section starts in them), and how many could not be."""
