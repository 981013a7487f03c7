"""A regression guard: what a packet, a message and a turn cost in instructions, and what they allocate.

Counts do not depend on the machine's speed or load; timed benches are no tests.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from instructions.callgrind import Profile, read_profile
from instructions.figures import expected, verdict
from instructions.measure import Measured, measure

MUXING_AND_EGRESS = ("ts_packet", "rtmp_message", "udp_turn", "tcp_turn")
INGEST = ("ingest_message", "ingest_message_128", "ingest_large_message")


@pytest.fixture(scope="module")
def counted() -> dict[str, Measured]:
    return measure()


@pytest.mark.parametrize("path", MUXING_AND_EGRESS + INGEST)
def test_a_path_costs_what_it_did(counted: dict[str, Measured], path: str) -> None:
    assert verdict(counted[path].instructions, expected()[path]) == ""


def test_every_path_has_its_figure(counted: dict[str, Measured]) -> None:
    assert set(counted) == set(expected()) == {*MUXING_AND_EGRESS, *INGEST}


@pytest.mark.parametrize("path", MUXING_AND_EGRESS)
def test_muxing_and_egress_allocate_nothing(counted: dict[str, Measured], path: str) -> None:
    assert counted[path].units > 0
    assert counted[path].allocations == counted[path].python_calls == {}


@pytest.mark.parametrize("path", INGEST)
def test_a_read_of_media_makes_one_python_object(counted: dict[str, Measured], path: str) -> None:
    """The list of messages for Python, which is empty."""
    calls = dict.fromkeys(("PyList_New", "PyObject_GetBuffer", "PyBuffer_Release"), counted[path].units)
    assert counted[path].python_calls == calls


@pytest.mark.parametrize("path", ["ingest_message", "ingest_message_128"])
def test_ingest_keeps_its_buffers(counted: dict[str, Measured], path: str) -> None:
    assert counted[path].allocations == {}


def test_a_large_picture_costs_a_few_allocations(counted: dict[str, Measured]) -> None:
    """Its buffer doubles from 4 KiB on and goes back afterwards: it would be idle until the next such picture."""
    pictures, allocations = counted["ingest_large_message"].units, counted["ingest_large_message"].allocations
    assert set(allocations) == {"free", "realloc"}
    assert allocations["free"] == pictures
    assert pictures < allocations["realloc"] <= 10 * pictures


@pytest.mark.parametrize(("measured", "word"), [(94.9, "-5.1%"), (95.1, ""), (104.9, ""), (105.1, "+5.1%")])
def test_the_band_has_two_sides(measured: float, word: str) -> None:
    assert (word in verdict(measured, 100.0)) if word else verdict(measured, 100.0) == ""


DUMP = """\
# callgrind format
desc: Trigger: Client Request: some_path
positions: line
events: Ir
summary: 0

ob=(1) /lib/ours.so
fl=(1) a.c
fn=(1) write'2
12 40
+3 2
fi=(2) a.h
* 1
cob=(2) /lib/libc.so.6
cfi=(3) malloc.c
cfn=(2) malloc
calls=7 100
* 9000
fe=(1)
-1 3

fn=(3) helper
cfn=(1)
calls=2 12
+1 500

ob=(2)
fn=(2)
100 8000
cfn=(4) free
calls=1 9
* 5
"""


def test_a_dump_is_read_as_callgrind_means_it(tmp_path: Path) -> None:
    path = tmp_path / "out.1"
    path.write_text(DUMP)
    profile = read_profile(path)
    assert profile == Profile(
        "some_path",
        Counter({"/lib/ours.so": 46, "/lib/libc.so.6": 8000}),
        Counter(
            {
                ("/lib/ours.so", "write", "malloc"): 7,
                ("/lib/ours.so", "helper", "write"): 2,
                ("/lib/libc.so.6", "malloc", "free"): 1,
            }
        ),
    )
