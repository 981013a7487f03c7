"""``pushcast token``: where the access token of the API lies, what it is, and a fresh one."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

import click

from pushcast.access_token import TOKEN_BYTES
from pushcast.cli.credentials import kept_path, read_kept
from pushcast.cli.failure import Refused
from pushcast.cli.output import note
from pushcast.config import Config, load_config


@click.group(invoke_without_command=True)
@click.option("--config", "path", type=click.Path(path_type=Path), help="The TOML file that serve is given.")
@click.option("--show", is_flag=True, help="Print the token itself.")
@click.pass_context
def token(ctx: click.Context, path: Path | None, show: bool) -> None:
    """Print the path of the API's access token."""
    if ctx.invoked_subcommand is not None:
        return
    config = load_config(path)
    # As bytes: a path or a token that no terminal can show is still what a script asks for.
    click.echo(_token(config).encode(errors="surrogateescape") if show else os.fsencode(_file(config)))


@token.command()
def new() -> None:
    """Print a fresh random token, for api.access_token of a configuration."""
    click.echo(secrets.token_urlsafe(TOKEN_BYTES))


def _file(config: Config) -> Path:
    if config.api.access_token is not None:
        raise Refused("found the token in the configuration, api.access_token, and in no file; --show prints it")
    path = kept_path(config)
    if not os.path.lexists(path):
        note(f"there is no {path} yet, the first start of pushcast serve makes it")
    return path


def _token(config: Config) -> str:
    if config.api.access_token is not None:
        return config.api.access_token.get_secret_value()
    if not os.path.lexists(kept_path(config)):
        raise Refused(f"there is no {kept_path(config)} yet, the first start of pushcast serve makes it")
    return read_kept(config)
