"""Hostile bytes for parsers: whatever comes, the answer is a value or MediaError."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import strategies as st

from pushcast.errors import MediaError


def _answer(parse: Callable[[bytes], object], data: bytes) -> object:
    try:
        return parse(data)
    except MediaError as error:
        return str(error)


def check_truncations(parse: Callable[[bytes], object], sample: bytes) -> None:
    for size in range(len(sample)):
        assert _answer(parse, sample[:size]) != ""


def check_damage(parse: Callable[[bytes], object], sample: bytes, data: st.DataObject) -> None:
    """Random bytes, and the sample with up to four of its bytes changed."""
    _answer(parse, data.draw(st.binary(max_size=80)))
    damaged = bytearray(sample)
    for _ in range(data.draw(st.integers(1, 4))):
        damaged[data.draw(st.integers(0, len(sample) - 1))] = data.draw(st.integers(0, 255))
    _answer(parse, bytes(damaged))
