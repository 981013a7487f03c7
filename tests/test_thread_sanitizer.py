"""`make sanitize-threads` can fail: its command sees two Python threads race in C, and nothing where they do not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "tests" / "races" / "known_race.c"
RACED = 66
# ctypes lets the GIL go during a call; the calls wait for each other.
TWO_THREADS = """
import ctypes, sys, threading
count = getattr(ctypes.CDLL(sys.argv[1]), sys.argv[2])
threads = [threading.Thread(target=count, args=(1000,)) for _ in range(2)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    built = tmp_path_factory.mktemp("race") / "known_race.so"
    subprocess.run(["gcc", "-shared", "-fPIC", "-g", "-fsanitize=thread", str(SOURCE), "-o", str(built)], check=True)
    return built


@pytest.mark.parametrize(("function", "code"), [("count_in_order", 0), ("count_anyhow", RACED)])
def test_a_race_is_seen_and_order_is_not_taken_for_one(library: Path, function: str, code: int) -> None:
    command = [str(ROOT / "tools" / "thread-sanitizer"), sys.executable, "-c", TWO_THREADS, str(library), function]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == code, done.stderr
    assert ("data race" in done.stderr and function in done.stderr) == (code == RACED)
