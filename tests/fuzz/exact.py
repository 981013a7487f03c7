"""Bytes of an input where a read over their end is seen.

A bytes object has a zero behind its end, which a parser could read unnoticed; an array of numpy has exactly its own
bytes, and the sanitizer's red zone behind them.  `Fields` takes an input apart into what steers a target and what it
feeds; whatever is missing at the end reads as zero, so that every input means something.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np


def exact(data: bytes) -> memoryview:
    """A copy of the bytes that ends where its memory does."""
    return memoryview(np.frombuffer(data, np.uint8).copy() if data else np.empty(0, np.uint8))


def portions(data: bytes, step: int) -> Iterator[memoryview]:
    """The bytes in pieces of ``step``, each in memory of its own."""
    for at in range(0, len(data), step):
        yield exact(data[at : at + step])


class Fields:
    """What an input says, from its beginning on."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def number(self, size: int = 1) -> int:
        """The next ``size`` bytes, big-endian."""
        return int.from_bytes(self.take(size).ljust(size, b"\0"), "big")

    def take(self, size: int) -> bytes:
        """Up to ``size`` bytes."""
        start = self._at
        self._at = min(start + size, len(self._data))
        return self._data[start : self._at]

    def rest(self) -> bytes:
        return self.take(len(self._data))

    @property
    def left(self) -> int:
        return len(self._data) - self._at
