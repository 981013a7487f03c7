"""The URL of a server as the client commands take it: ``http[s]://host[:port][/prefix]``.

A prefix is what a proxy puts before ``/v1``.  User info is refused: the token has an option of its own, and whoever
writes it into the URL would see it in every message.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

import click

DEFAULT_URL = "http://127.0.0.1:8081"
ALLOWED_URL = "http://host[:port] or https://host[:port], with the path that a proxy puts before /v1"


@dataclass(frozen=True, slots=True)
class ServerUrl:
    """Where the API is; ``text`` is the URL without a slash at its end."""

    text: str
    tls: bool
    host: str
    port: int
    prefix: str

    @property
    def is_loopback(self) -> bool:
        """Whether the server surely runs on this machine."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return False


def parse_server_url(text: str) -> ServerUrl:
    """:raises ValueError: with what was found and what is allowed."""
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ValueError(f"found no URL, allowed: {ALLOWED_URL}") from None
    if "@" in parts.netloc:
        raise ValueError(f"found user info, allowed: {ALLOWED_URL} (--token takes the token)")
    if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment or not _plain(text):
        raise ValueError(f"found {text[:80]!r}, allowed: {ALLOWED_URL}")
    tls = parts.scheme == "https"
    return ServerUrl(
        text=text.rstrip("/"),
        tls=tls,
        host=host,
        port=port if port is not None else 443 if tls else 80,
        prefix=parts.path.rstrip("/"),
    )


def _plain(text: str) -> bool:
    """A path goes into the request as it is written."""
    return text.isascii() and text.isprintable() and " " not in text


def read_option(ctx: click.Context, param: click.Parameter, value: str) -> ServerUrl:
    """click's callback for ``--url``."""
    try:
        return parse_server_url(value)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error
