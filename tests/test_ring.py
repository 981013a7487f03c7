"""The ring: what is written is read back, what is gone is said to be gone, the arena grows with the media it holds."""

from __future__ import annotations

import os
import random
import subprocess
import sys

import pytest

from pushcast.errors import MediaError
from pushcast.ring import Ring

KEY = 1
FRAME_TICKS = 3600


def fill(ring: Ring, frames: int, size: int, gop: int = 25, lead: bytes | None = None) -> None:
    for number in range(ring.head, ring.head + frames):
        key = number % gop == 0
        ring.write(bytes([number % 251]) * size, number * FRAME_TICKS, KEY if key else 0, 3, lead if key else None)


def test_spans_read_back_until_they_are_gone() -> None:
    ring = Ring(reserve_bytes=1 << 20, start_bytes=8192, spans=64, keep_ms=100)
    rng = random.Random(7)
    sizes: dict[int, int] = {}
    for number in range(3000):
        size = rng.randint(1, 900)
        lead = b"L" * rng.randint(1, 90) if number % 25 == 0 else None
        seq = ring.write(bytes([number % 251]) * size, number * FRAME_TICKS, KEY if lead else 0, 0, lead)
        assert seq == number
        sizes[seq] = size
        for held in range(ring.tail, ring.head):
            assert ring.read(held) == bytes([held % 251]) * sizes[held]
    with pytest.raises(IndexError, match=f"span {ring.tail - 1}: the ring holds"):
        ring.read(ring.tail - 1)
    with pytest.raises(IndexError):
        ring.read(ring.head)


def test_neighbours_are_contiguous_except_at_lead_in_and_wrap() -> None:
    ring = Ring(reserve_bytes=65536, start_bytes=65536, spans=1024, keep_ms=0)
    fill(ring, 400, 500, lead=b"x" * 40)
    wraps = 0
    for seq in range(ring.tail + 1, ring.head):
        offset, _, lead, *_ = ring.span(seq)
        before, size, *_ = ring.span(seq - 1)
        if offset < before:
            wraps += 1
        else:
            assert offset - lead == before + size
    assert wraps == 1


def test_lead_in_stands_before_its_span() -> None:
    ring = Ring()
    ring.write(b"plain", 0)
    ring.write(b"shared", 90, KEY, 0, b"private")
    assert ring.read(1) == b"shared"
    assert ring.read_lead(1) == b"private"
    assert ring.read_lead(0) == b""
    assert ring.last_key == 1


def test_the_index_bounds_the_number_of_spans() -> None:
    ring = Ring(spans=16)
    fill(ring, 100, 10)
    assert ring.head - ring.tail <= 16
    assert ring.read(ring.tail) == bytes([ring.tail % 251]) * 10


LAPS_OF_THE_INDEX = """
import os
from pathlib import Path
from pushcast.ring import Ring

def resident_bytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")

before = resident_bytes()
rings = [Ring(reserve_bytes=16384, start_bytes=16384, keep_ms=0) for _ in range(100)]
for ring in rings:
    for _ in range(9000):
        ring.write(b"0123456789abcdef0123456789abcdef", 0)
print(resident_bytes() - before)
"""


def test_the_index_costs_what_the_held_spans_need() -> None:
    """Some 512 spans of 32 bytes stand in such an arena; the 8192 of the index would be 25 MiB for all rings."""
    # A process of its own, in which nothing else grows; with the address sanitizer, freed memory is not kept either.
    environment = {
        **os.environ,
        "ASAN_OPTIONS": "detect_leaks=0:quarantine_size_mb=0:thread_local_quarantine_size_kb=0",
    }
    command = [sys.executable, "-c", LAPS_OF_THE_INDEX]
    grown = int(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)
    assert grown < 100 * 64 * 1024


def test_every_held_span_is_right_when_numbers_come_round_the_index() -> None:
    """Arenas that hold less than a page of the index, about two, and more than the whole index."""
    for spans, arena_bytes in ((1024, 4096), (1024, 16384), (1024, 65536), (128, 16384), (256, 4096), (64, 4096)):
        ring = Ring(reserve_bytes=arena_bytes, start_bytes=arena_bytes, spans=spans, keep_ms=0)
        rng = random.Random(spans + arena_bytes)
        for number in range(4 * spans + 1000):
            size = arena_bytes // 4 if number % 501 == 500 else rng.randint(1, 30)
            ring.write(bytes([number % 251]) * size, number * FRAME_TICKS)
            if number % 61 == 0 or size > 30:
                assert ring.head - ring.tail <= spans
                for seq in range(ring.tail, ring.head):
                    assert ring.span(seq)[3] == seq * FRAME_TICKS
                    assert set(ring.read(seq)) == {seq % 251}


@pytest.mark.parametrize(
    ("kbit_per_s", "gop", "least_ms"),
    [(2500, 50, 4000), (2500, 250, 20000), (20000, 50, 4000)],
    ids=["2.5 Mbit/s, 2 s GOP", "2.5 Mbit/s, 10 s GOP: two GOPs", "20 Mbit/s"],
)
def test_the_arena_grows_until_it_holds_the_media(kbit_per_s: int, gop: int, least_ms: int) -> None:
    ring = Ring(keep_ms=4000)
    fill(ring, 25 * 90, kbit_per_s * 1000 // 8 // 25, gop)
    held_ms = (ring.span(ring.head - 1)[3] - ring.span(ring.tail)[3]) / 90
    assert held_ms >= least_ms * 0.9
    assert ring.capacity_bytes <= kbit_per_s * 125 * least_ms / 1000 * 2.5 + (1 << 20)


def test_rate_is_measured_over_media_time() -> None:
    ring = Ring()
    fill(ring, 200, 12500)
    assert ring.bytes_per_s == pytest.approx(312500, rel=0.05)


def test_a_frame_larger_than_the_ring_allows_is_refused_and_harms_nothing() -> None:
    ring = Ring(reserve_bytes=65536, start_bytes=65536)
    ring.write(b"a", 0)
    with pytest.raises(MediaError, match="a frame of 16385 bytes: at most 16384 fit"):
        ring.write(bytes(16385), 90)
    ring.write(bytes(16384), 90)
    assert ring.read(0) == b"a"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"spans": 100}, "spans: found 100, expected a power of two"),
        ({"start_bytes": 100}, "start_bytes: found 100, expected 4096 to reserve_bytes"),
        ({"keep_ms": -1}, "keep_ms: found -1"),
    ],
)
def test_bad_arguments(arguments: dict[str, int], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Ring(**arguments)
