"""``pushcast demo``."""

from __future__ import annotations

import asyncio
import sys

import click

from pushcast.demo.run import run_demo


@click.command()
@click.option(
    "--seconds", type=click.IntRange(min=1), help="End by itself after so many seconds; without it Ctrl-C ends it."
)
def demo(seconds: int | None) -> None:
    """Push one clip over every protocol to verifying sinks; exit code 0 when every byte arrived right."""
    faults = asyncio.run(run_demo(seconds))
    for fault in faults:
        click.echo(f"pushcast: {fault}", err=True)
    if not faults:
        click.echo("every push was pushing, and every sink received it without an error")
    sys.exit(bool(faults))
