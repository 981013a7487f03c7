"""What the shell completes from the server: ids of pushes and names of streams.

The shell waits for it at each press of the tab key, so a server that is slow, away or refuses is no completion.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from pushcast.cli.options import Session, session_for_completion
from pushcast.errors import EngineError

TIMEOUT_S = 1.0


def complete_push_ids(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Ids of the app's pushes, those of the command line left out."""
    taken = ctx.params.get(param.name or "")
    known = _ask(ctx, lambda session: [push["id"] for push in session.act("pushes", {})])
    return [each for each in known if each.startswith(incomplete) and not (isinstance(taken, tuple) and each in taken)]


def complete_stream_names(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Names of the app's live streams."""
    return [each for each in _ask(ctx, lambda session: session.read("streams")) if each.startswith(incomplete)]


def _ask(ctx: click.Context, question: Callable[[Session], Any]) -> list[str]:
    try:
        found = question(session_for_completion(ctx, TIMEOUT_S))
    except (EngineError, OSError, click.ClickException, TypeError, KeyError):
        return []  # an answer of another shape is none either
    return [each for each in found if isinstance(each, str)] if isinstance(found, list) else []
