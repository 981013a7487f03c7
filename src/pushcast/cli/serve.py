"""``pushcast serve``: the configuration is read and checked here, the server does the rest."""

from __future__ import annotations

from pathlib import Path

import click

from pushcast import log
from pushcast.config import load_config
from pushcast.server import run


@click.command()
@click.option(
    "--config",
    "path",
    type=click.Path(path_type=Path),
    help="TOML file; without it the defaults and the PUSHCAST_ variables of the environment count.",
)
def serve(path: Path | None) -> None:
    """Take streams in and push them out, until SIGINT or SIGTERM."""
    config = load_config(path)
    log.setup(config.log.level)
    run(config)
