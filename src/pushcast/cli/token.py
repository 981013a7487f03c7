"""``pushcast token``: where the access token of the API lies, what it is, and fresh ones, also for publishers."""

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
from pushcast.destinations import read_network
from pushcast.publish_token import Scope, make_token


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


@token.command()
@click.option("--config", "path", type=click.Path(path_type=Path), help="The TOML file that serve is given.")
@click.option("--vhost", default="default", show_default=True, help="The virtual host of the app.")
@click.option("--app", default="app", show_default=True, help="The app, whose publish.token_secret signs.")
@click.option("--stream", default="", help="A stream name, with wildcards if wanted; without: all.")
@click.option("--ip", default="", help="The publisher's address or network; without: any.")
@click.option("--hours", type=click.FloatRange(0, 87_600, min_open=True), default=24.0, show_default=True)
def publish(path: Path | None, vhost: str, app: str, stream: str, ip: str, hours: float) -> None:
    """Print a signed token that lets somebody publish: for ?token= behind the stream."""
    apps = {(each.name, own.name): own for each in load_config(path).vhosts for own in each.apps}
    found = apps.get((vhost, app))
    if found is None:
        raise Refused(f"there is no app {vhost}/{app} in the configuration")
    if found.publish.token_secret is None:
        raise Refused(f"the app {vhost}/{app} takes no tokens: it has no publish.token_secret")
    try:
        scope = Scope(vhost, app, stream, str(read_network(ip)) if ip else "")
    except ValueError as error:
        raise Refused(f"--ip: {error}") from None
    click.echo(make_token(found.publish.token_secret.get_secret_value(), scope, hours * 3600))


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
