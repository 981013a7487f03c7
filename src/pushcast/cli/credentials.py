"""Which access token a client command sends.

The one that was given; else the one that a server with this environment uses: configured there, or kept in the state
folder.  That one is a secret of this machine, so it goes to a loopback address only: a URL that names another host
must come with a token.  Nothing here makes a token; the server does.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from pushcast.access_token import FILE_NAME, obtain_access_token
from pushcast.cli.server_url import ServerUrl
from pushcast.config import Config, load_config


@dataclass(frozen=True, slots=True)
class AccessToken:
    """A token, empty when there is none; ``origin`` is what a refusal of it says beside the server's words."""

    secret: str = field(repr=False)
    origin: str


def find_token(given: str, server: ServerUrl) -> AccessToken:
    """The token for ``server``.  :raises ConfigError: the environment or the state folder is wrong."""
    if given:
        return AccessToken(given, "the token is that of --token or PUSHCAST_TOKEN")
    if not server.is_loopback:
        return AccessToken("", "--token or PUSHCAST_TOKEN gives a token; that of this machine is not sent elsewhere")
    config = load_config()
    if config.api.access_token is not None:
        secret = config.api.access_token.get_secret_value()
        return AccessToken(secret, "the token is that of PUSHCAST_API__ACCESS_TOKEN")
    path = kept_path(config)
    if not os.path.lexists(path):
        return AccessToken("", f"--token or PUSHCAST_TOKEN gives a token; there is none in {path}")
    return AccessToken(read_kept(config), f"the token is that of {path}")


def kept_path(config: Config) -> Path:
    """Where a server without a configured token keeps its own."""
    return config.state.path / FILE_NAME


def read_kept(config: Config) -> str:
    """The token in the file at ``kept_path``, which exists.  :raises ConfigError: it cannot be read or is none."""
    return obtain_access_token(None, config.state.path)
