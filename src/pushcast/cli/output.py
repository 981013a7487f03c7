"""How commands write: lines, JSON, tables and lists of fields.

What is wider than its place is cut in the middle, as the ends of ids and URLs tell them apart; sentences are wrapped.
Elsewhere than on a terminal a line has at most 80 columns, no colour and no spaces at its end (rich's own tables pad
lines and cut at the end only, so rich only measures here).  Text from outside is printed escaped: no name moves the
cursor.
"""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import click
import orjson
from rich.cells import cell_len, set_cell_size

from pushcast.log import printable

PLAIN_WIDTH = 80
GAP = "  "
SHORTEST = 8  # a column is not made narrower than that: its lines then are too wide


@dataclass(frozen=True, slots=True)
class Column:
    """``shrinks``: its cells may be cut; ``colours``: of cells that say such a word."""

    title: str
    right: bool = False
    shrinks: bool = False
    colours: Mapping[str, str] = field(default_factory=dict)


def say(text: str) -> None:
    """One line, at once."""
    _write(printable(text))


def say_json(value: Any) -> None:
    """One JSON document."""
    click.echo(orjson.dumps(value, option=orjson.OPT_INDENT_2))


def say_json_line(value: Any) -> None:
    """One JSON document on one line."""
    click.echo(orjson.dumps(value))


def note(sentence: str) -> None:
    """A sentence beside the output."""
    click.echo(f"pushcast: {printable(sentence)}", err=True)


def say_table(columns: Sequence[Column], rows: Sequence[Sequence[str]]) -> None:
    for line in table(columns, rows, width(), colourful()):
        _write(line)


def say_fields(fields: Sequence[tuple[str, str]]) -> None:
    for line in field_lines(fields, width()):
        say(line)


def _write(line: str) -> None:
    """What the encoding of the terminal lacks becomes a question mark."""
    encoding = sys.stdout.encoding or "utf-8"
    click.echo(line.encode(encoding, "replace").decode(encoding))


def width() -> int:
    return max(shutil.get_terminal_size().columns, 40) if sys.stdout.isatty() else PLAIN_WIDTH


def colourful() -> bool:
    """See no-color.org."""
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def table(columns: Sequence[Column], rows: Sequence[Sequence[str]], room: int, colour: bool) -> list[str]:
    """The lines of a table: the titles, then the rows."""
    cells = [[column.title for column in columns], *([printable(cell) for cell in row] for row in rows)]
    widths = [max(cell_len(row[index]) for row in cells) for index in range(len(columns))]
    widths = _fit(widths, [column.shrinks for column in columns], room - len(GAP) * (len(columns) - 1))
    lines = []
    for row in cells:
        line = GAP.join(
            _place(cell, size, column, colour and row is not cells[0])
            for cell, size, column in zip(row, widths, columns, strict=True)
        )
        lines.append(line.rstrip())
    return lines


def _fit(widths: Sequence[int], shrinks: Sequence[bool], room: int) -> list[int]:
    """Takes from the widest of the columns that shrink until all fit, or none can give more."""
    fitting = list(widths)
    while sum(fitting) > room:
        widest = max((index for index, may in enumerate(shrinks) if may), key=fitting.__getitem__, default=None)
        if widest is None or fitting[widest] <= SHORTEST:
            break
        fitting[widest] -= 1
    return fitting


def _place(cell: str, size: int, column: Column, colour: bool) -> str:
    shown = cut(cell, size)
    space = " " * (size - cell_len(shown))
    if colour and cell in column.colours:
        shown = click.style(shown, fg=column.colours[cell])
    return space + shown if column.right else shown + space


def cut(text: str, size: int) -> str:
    """``text`` in at most ``size`` cells, with an ellipsis in the middle where something is missing."""
    if cell_len(text) <= size:
        return text
    head = (size - 1) // 2
    tail = size - 1 - head
    # set_cell_size cuts at the end, and puts a space where a character of two cells would stick out.
    return set_cell_size(text, head) + "…" + set_cell_size(text[::-1], tail)[::-1]


def field_lines(fields: Sequence[tuple[str, str]], room: int) -> list[str]:
    """Names and values below each other; a value that is a sentence is wrapped, another one is cut."""
    names = max((len(name) for name, _ in fields), default=0)
    left = room - names - len(GAP)
    lines = []
    for name, value in fields:
        shown = printable(value)
        parts = textwrap.wrap(shown, left) if " " in shown else [cut(shown, left)]
        for number, part in enumerate(parts or [""]):
            lines.append(f"{'' if number else name:{names}}{GAP}{cut(part, left)}".rstrip())
    return lines
