"""The clocks of a transport stream, wherever they stand in it."""

from __future__ import annotations


def clocks(data: bytes) -> list[tuple[int, int]]:
    """(packet, PCR at 27 MHz) of each packet that has one."""
    found = []
    for at in range(0, len(data), 188):
        if data[at + 3] & 0x20 and data[at + 4] and data[at + 5] & 0x10:
            value = int.from_bytes(data[at + 6 : at + 12], "big")
            found.append((at // 188, (value >> 15) * 300 + (value & 0x1FF)))
    return found
