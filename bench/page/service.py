"""The section on the API as a service: its lines as the benches of it judged them."""

from __future__ import annotations

from bench.page.files import BENCHES, Sources
from bench.page.tables import number, paragraph, table

KINDS = ("api", "siege", "restart")


def service(sources: Sources) -> list[str]:
    """Nothing when none of it was measured."""
    rows = [
        (
            f"`{BENCHES[kind]}`",
            line["name"],
            f"{'≥' if line['at_least'] else '≤'} {number(line['allowed'])} {line['unit']}".strip(),
            f"**{number(line['found'])}** {line['unit']}".strip(),
            "yes" if line["holds"] else "**no**",
        )
        for kind in KINDS
        if kind in sources
        for line in sources[kind].data.get("lines", ())
    ]
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
        table(("", "Line", "Bound", "Figure", "Holds"), rows, words=(0, 1, 4)),
    ]
