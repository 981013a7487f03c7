"""Memory that was freed is the system's again."""

from __future__ import annotations

import subprocess
import sys

SCRIPT = """
import ctypes
import sys
from pathlib import Path
from pushcast.heap import LARGE_BYTES, return_large_blocks

def resident_kib():
    return int(Path("/proc/self/smaps_rollup").read_text().partition("Private_Dirty:")[2].split()[0])

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]
if len(sys.argv) > 1:
    assert return_large_blocks()
before = resident_kib()
blocks = []
for _ in range(500):
    blocks.append(libc.malloc(LARGE_BYTES + 1))
    ctypes.memset(blocks[-1], 1, LARGE_BYTES)
    kept = libc.malloc(1000)  # what lies behind it stays
held = resident_kib()
for block in blocks:
    libc.free(block)
print(held - before, resident_kib() - before)
"""


def left_part(*arguments: str) -> float:
    """Of 16 MB in large blocks with small ones between them, in a process of its own, for the setting stays."""
    command = [sys.executable, "-c", SCRIPT, *arguments]
    held_kib, left_kib = map(int, subprocess.check_output(command, text=True).split())
    assert held_kib > 15_000
    return left_kib / held_kib


def test_large_blocks_are_given_back_whatever_lies_behind_them() -> None:
    """Not those for which the heap happens to have room at its end."""
    assert left_part("set") < 0.7
    assert left_part() > 0.9
