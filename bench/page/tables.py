"""Figures as words and as Markdown tables."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence

from bench.page.accepted import LEAST_ROUNDS, Judged
from bench.page.figures import Figure

WIDTH = 120
NOTHING = "–"


def number(value: float | None) -> str:
    """Three digits, or all of those before the point."""
    if value is None:
        return NOTHING
    if float(value).is_integer() or abs(value) >= 100:
        return f"{value:,.0f}"
    digits = next(digits for digits, least in ((1, 10), (2, 1), (3, 0)) if abs(value) >= least)
    return f"{value:.{digits}f}"


def spread(values: Mapping[str, float] | Figure | None, unit: float = 1) -> str:
    """median (low..high); the median alone when they are the same."""
    if values is None:
        return NOTHING
    if isinstance(values, Figure):
        values = {"median": values.found, "low": values.low, "high": values.high}
    median, low, high = (number(values[name] / unit) for name in ("median", "low", "high"))
    return median if low == high else f"{median} ({low}..{high})"


def paragraph(text: str) -> str:
    return textwrap.fill(" ".join(text.split()), WIDTH, break_long_words=False, break_on_hyphens=False)


def table(head: Sequence[str], rows: Iterable[Sequence[str]], words: Sequence[int] = (0,)) -> str:
    """Columns of ``words`` begin at the left, figures end at the right."""
    rules = ["---" if column in words else "--:" for column in range(len(head))]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, rules, *rows))


def verdicts(lines: Sequence[Judged]) -> str:
    """The table of what must hold, those of a subject together."""
    subjects = list(dict.fromkeys(line.bound.subject for line in lines))
    rows = [_verdict(line) for line in sorted(lines, key=lambda line: subjects.index(line.bound.subject))]
    head = ("", "Line", "Bound", "Figure", "Low..high", "Rounds", "Holds", "Remarks")
    return table(head, rows, words=(0, 1, 6, 7))


def _verdict(line: Judged) -> tuple[str, ...]:
    bound, found = line.bound, line.figure
    sign = "≥" if bound.at_least else "≤"
    allowed = number(bound.allowed) if bound.allowed >= 100 else f"{bound.allowed:.3g}"
    begin = (bound.subject, bound.name, f"{sign} {allowed} {bound.unit}".strip())
    if found is None:
        return (*begin, NOTHING, NOTHING, NOTHING, "not measured", "")
    return (
        *begin,
        f"**{number(found.found)}** {bound.unit}".strip(),
        f"{number(found.low)}..{number(found.high)}" if found.rounds > 1 else NOTHING,
        str(found.rounds),
        ("yes" if line.holds else "**no**") + (", few rounds" if found.rounds < LEAST_ROUNDS else ""),
        found.remark,
    )


def counted(lines: Sequence[Judged]) -> str:
    """How many hold, in a sentence or two."""
    held, broken, unknown = (sum(line.holds is verdict for line in lines) for verdict in (True, False, None))
    few = sum(line.figure is not None and line.figure.rounds < LEAST_ROUNDS for line in lines)
    said = f"Of {len(lines)} lines {held} hold, {broken} do not, {unknown} were not measured."
    return said + (f" {few} rest on fewer than {LEAST_ROUNDS} rounds." if few else "")
