"""Patterns of names: ``*`` stands for any characters, ``?`` for one or none, and the whole name must fit.

That is how OvenMediaEngine's StreamMap has them.  Case counts.

What is known besides, such as the name of another stream, goes in as a text among the pieces, and stands for itself
whatever characters it has.  Invariant: no pattern costs more than one step for each of its characters, where a regular
expression with many ``*`` could take hours.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from enum import Enum

MAX_PATTERN_CHARS = 255  # the longest stream name; the cost of a match grows with it


class Wildcard(Enum):
    ANY = "*"
    ONE_OR_NONE = "?"


_PIECE = re.compile(r"[*?]|[^*?]+")


def pieces(pattern: str) -> Iterator[Wildcard | str]:
    for piece in _PIECE.findall(pattern):
        yield Wildcard(piece) if piece in "*?" else piece


def fits(pattern: Iterable[Wildcard | str], name: str) -> bool:
    """Whether the whole name fits these pieces.

    ``reached`` has bit i set when the pattern so far can stand for the first i characters of the name.
    """
    places: dict[str, int] = {}
    for index, character in enumerate(name):
        places[character] = places.get(character, 0) | 1 << index
    ends = (2 << len(name)) - 1
    reached = 1
    for piece in pattern:
        if piece is Wildcard.ANY:
            reached = ends & -(reached & -reached)  # the first place that was reached, and all behind it
        elif piece is Wildcard.ONE_OR_NONE:
            reached = (reached | reached << 1) & ends
        else:
            for character in piece:
                reached = (reached & places.get(character, 0)) << 1
    return reached >> len(name) & 1 == 1


def matches(pattern: str, name: str) -> bool:
    return fits(pieces(pattern), name)
