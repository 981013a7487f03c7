"""Runs: what one send takes from a ring, whatever lies between the spans."""

from __future__ import annotations

import pytest

from pushcast.ring import Ring
from pushcast.run import gathered

KEY = 1


def filled(*spans: bytes, lead: dict[int, bytes] | None = None) -> Ring:
    ring = Ring()
    for number, data in enumerate(spans):
        ring.write(data, 100 * number, KEY if lead and number in lead else 0, 0, (lead or {}).get(number))
    return ring


@pytest.mark.parametrize(
    ("arguments", "pieces", "final"),
    [
        ({}, [b"aaabbbbcc"], False),
        ({"seq": 1}, [b"bbbbcc"], False),
        ({"at": 2}, [b"abbbbcc"], False),
        ({"most": 5}, [b"aaabb"], False),
        ({"most": 3}, [b"aaa"], False),
        ({"seq": 1, "at": 1, "most": 4}, [b"bbbc"], False),
        ({"until": 2}, [b"aaabbbb"], True),
        ({"until": 2, "most": 7}, [b"aaabbbb"], True),
        ({"until": 2, "most": 6}, [b"aaabbb"], False),
        ({"until": 0}, [], True),
        ({"due_dts": 100}, [b"aaabbbb"], False),
        ({"due_dts": -1}, [], False),
        ({"seq": 3}, [], False),
    ],
)
def test_what_is_there(arguments: dict[str, int], pieces: list[bytes], final: bool) -> None:
    ring = filled(b"aaa", b"bbbb", b"cc")
    assert gathered(ring, arguments.pop("seq", 0), **arguments) == (pieces, final)


def test_a_lead_in_begins_a_piece() -> None:
    ring = filled(b"aaa", b"bbb", b"ccc", b"ddd", lead={1: b"-", 3: b"--"})
    assert gathered(ring, 0) == ([b"aaa", b"bbbccc", b"ddd"], False)
    assert gathered(ring, 0, most=4) == ([b"aaa", b"b"], False)
    assert gathered(ring, 0, most=3) == ([b"aaa"], False)


def test_no_more_pieces_than_a_send_takes() -> None:
    ring = filled(*(bytes([number]) for number in range(20)), lead=dict.fromkeys(range(20), b"-"))
    assert gathered(ring, 0) == ([bytes([number]) for number in range(8)], False)


def test_what_is_gone() -> None:
    ring = Ring(start_bytes=4096, reserve_bytes=4096, keep_ms=0)
    for number in range(20):
        ring.write(bytes(500), number)
    assert gathered(ring, 0) == ([], False)
    assert gathered(ring, ring.tail)[0]
