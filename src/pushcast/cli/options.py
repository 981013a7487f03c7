"""The options that every client command has, and the session with a server that they make."""

from __future__ import annotations

import functools
import ssl
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import click

from pushcast.cli.client import TIMEOUT_S, Client
from pushcast.cli.credentials import find_token
from pushcast.cli.server_url import DEFAULT_URL, ServerUrl, read_option


@dataclass(frozen=True, slots=True)
class Session:
    """One app of one server, and whether answers are shown as JSON."""

    client: Client
    vhost: str
    app: str
    as_json: bool

    def act(self, action: str, body: Mapping[str, Any], timeout_s: float | None = None) -> Any:
        """``POST ...:action``; raises what Client.call raises."""
        return self.client.call("POST", f"{self._path}:{action}", body, timeout_s=timeout_s)

    def read(self, *segments: str) -> Any:
        """``GET`` of what lies below the app; raises what Client.call raises."""
        return self.client.call("GET", "/".join((self._path, *(quote(segment, safe="") for segment in segments))))

    @property
    def _path(self) -> str:
        return f"/v1/vhosts/{quote(self.vhost, safe='')}/apps/{quote(self.app, safe='')}"


_OPTIONS = (
    click.option(
        "--url",
        callback=read_option,
        metavar="URL",
        envvar="PUSHCAST_URL",
        default=DEFAULT_URL,
        show_default=True,
        show_envvar=True,
        help="The server.",
    ),
    click.option(
        "--token",
        envvar="PUSHCAST_TOKEN",
        show_envvar=True,
        help="Its access token; without it that of this machine's server.",
    ),
    click.option(
        "--ca",
        type=click.Path(exists=True, dir_okay=False),
        help="PEM file of the authority that an https server is trusted by, in place of the system's.",
    ),
    click.option("--vhost", default="default", show_default=True, help="Virtual host."),
    click.option("--app", default="app", show_default=True, help="Application."),
    click.option("--json", "as_json", is_flag=True, help="Print what the server answered, as JSON."),
)


def client_options(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command the options above; it is called with ``session`` in their place."""

    @functools.wraps(command)
    def with_session(**given: Any) -> None:
        for text in _texts(given):
            try:
                text.encode()
            except UnicodeEncodeError:
                raise click.UsageError("found bytes that are no UTF-8, allowed: UTF-8 text") from None
        session = _open(given, TIMEOUT_S)
        command(session=session, **given)

    made: Callable[..., None] = with_session
    for option in reversed(_OPTIONS):
        made = option(made)
    return made


def _texts(given: Mapping[str, Any]) -> Iterator[str]:
    for name, value in given.items():
        for each in value if isinstance(value, tuple) else (value,):
            if isinstance(each, str) and name != "token":  # a token is bytes to the server
                yield each


def _open(given: dict[str, Any], timeout_s: float) -> Session:
    """A session; takes what it needs out of ``given``."""
    url, ca = given.pop("url"), given.pop("ca")
    if ca is not None and not url.tls:
        raise click.UsageError(f"--ca: found a URL without TLS, {url.text}, allowed: https://host[:port]")
    client = Client(url, find_token(given.pop("token") or "", url), _trust(ca) if ca is not None else None, timeout_s)
    return Session(client, given.pop("vhost"), given.pop("app"), given.pop("as_json"))


def _trust(ca: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca)
    except (OSError, ValueError) as error:
        raise click.UsageError(f"--ca: {ca}: found no certificate, allowed: a file of PEM certificates") from error


def session_for_completion(ctx: click.Context, timeout_s: float) -> Session:
    """The session of a command line that is still being written."""
    given = {name: ctx.params.get(name) for name in ("url", "token", "ca", "vhost", "app", "as_json")}
    if not isinstance(given["url"], ServerUrl):
        raise click.UsageError("--url: found no URL")  # click leaves out what is wrong while a line is completed
    return _open(given, timeout_s)
