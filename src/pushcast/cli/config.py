"""``pushcast config``: is a configuration right, and what does it come to with the environment over it?

Secrets are masked unless asked for: those the configuration knows as such, keys that are called like one, and in URLs
what may be one.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from pathlib import Path
from typing import Any

import click
from pydantic import SecretStr

from pushcast.cli.output import say, say_json
from pushcast.cli.toml import MASK, Masked, write_toml
from pushcast.config import Config, load_config
from pushcast.log import redact

_SECRET_KEYS = frozenset(
    {"accesstoken", "token", "streamkey", "passphrase", "password", "secret", "authorization", "cookie"}
)


def _config_file(command: Callable[..., None]) -> Callable[..., None]:
    path = click.Path(path_type=Path)
    command = click.argument("file", type=path, required=False)(command)
    return click.option("--config", "option", type=path, help="FILE, as serve takes it.")(command)


@click.group()
def config() -> None:
    """Check and show a configuration: FILE, and the PUSHCAST_ variables over it."""


@config.command()
@_config_file
def check(file: Path | None, option: Path | None) -> None:
    """Say whether the configuration is right: exit code 0, or 2 and what is wrong."""
    path = _chosen(file, option)
    found = load_config(path)
    apps = sum(len(vhost.apps) for vhost in found.vhosts)
    counts = (("vhost", len(found.vhosts)), ("app", apps), ("source", len(found.sources)))
    said = ", ".join(f"{count} {word}{'' if count == 1 else 's'}" for word, count in counts)
    say(f"{path if path is not None else 'configuration'}: right, {said}")


@config.command()
@_config_file
@click.option(
    "--redacted/--reveal", default=True, show_default=True, help="Mask secrets, or show them: tokens, keys, URLs."
)
@click.option("--json", "as_json", is_flag=True, help="As JSON instead of TOML.")
def show(file: Path | None, option: Path | None, redacted: bool, as_json: bool) -> None:
    """Print the configuration that counts, defaults and environment included."""
    found = plain_config(load_config(_chosen(file, option)), reveal=not redacted)
    if as_json:
        say_json(found)
    else:
        click.echo(write_toml(found).encode(), nl=False)  # TOML is UTF-8, whatever the terminal's encoding


def plain_config(found: Config, *, reveal: bool) -> dict[str, Any]:
    """The configuration as plain values, its secrets masked unless ``reveal``."""
    return {name: _plain(value, name, reveal) for name, value in found.model_dump().items()}


def _chosen(file: Path | None, option: Path | None) -> Path | None:
    if file is not None and option is not None:
        raise click.UsageError("found FILE and --config, allowed: one of them")
    return file if file is not None else option


def _plain(value: Any, name: str, reveal: bool) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(each, str(key), reveal) for key, each in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(each, name, reveal) for each in value]
    if isinstance(value, SecretStr):
        secret = value.get_secret_value()
        return secret if reveal or not secret else _mask(secret)
    if isinstance(value, Enum):
        value = value.value
    if value is None or isinstance(value, (bool, int, float)):
        return value
    text = str(value)
    return text if reveal else _without_secrets(text, name)


def _without_secrets(text: str, name: str) -> str:
    called_secret = name.replace("_", "").replace("-", "").lower() in _SECRET_KEYS
    if text and (called_secret or ("://" in text and not text.startswith("file:"))):
        masked = _mask(text)
        return masked if masked != text else text
    return text


def _mask(secret: str) -> Masked:
    """Of a URL scheme, host and port stay: a push's key, or that of a web hook, stands behind them."""
    return Masked(redact(secret, keep_path=False)) if "://" in secret else MASK
