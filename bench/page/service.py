"""The sections whose lines stand as their benches judged them: the API as a service, and what TLS costs."""

from __future__ import annotations

from bench.page.files import BENCHES, Sources
from bench.page.tables import number, paragraph, table

SERVICE = ("api", "siege", "restart")
HEAD = ("", "Line", "Bound", "Figure", "Holds")


def service(sources: Sources) -> list[str]:
    """Nothing when none of it was measured."""
    rows = _rows(sources, SERVICE)
    if not rows:
        return []
    return [
        "## The API as a service",
        paragraph(
            """
            Answers beside a bare Sanic handler that returns the same bytes, with 64 clients (a pair is a durable start
            and the stop of the same push); what receivers of running pushes notice of attacks on the API; and a server
            that is killed in the middle of 500 starts and started again.
            """
        ),
        table(HEAD, rows, words=(0, 1, 4)),
    ]


def tls(sources: Sources) -> list[str]:
    """Nothing when it was not measured."""
    rows = _rows(sources, ("rtmps",))
    if not rows:
        return []
    return [
        "## RTMPS",
        paragraph(
            """
            As many RTMPS pushes as RTMP pushes, in turns; nginx takes the TLS off before the same receiver. The CPU
            time is that of pushcast alone, for each Gbit that arrives.
            """
        ),
        table(HEAD, rows, words=(0, 1, 4)),
    ]


def _rows(sources: Sources, kinds: tuple[str, ...]) -> list[tuple[str, ...]]:
    return [
        (
            f"`{BENCHES[kind]}`",
            line["name"],
            f"{'≥' if line['at_least'] else '≤'} {number(line['allowed'])} {line['unit']}".strip(),
            f"**{number(line['found'])}** {line['unit']}".strip(),
            "yes" if line["holds"] else "**no**",
        )
        for kind in kinds
        if kind in sources
        for line in sources[kind].data.get("lines", ())
    ]
