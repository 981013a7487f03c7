"""Where a port for MPEG-TS listens, as a URL of the configuration."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlsplit

from pushcast.log import endpoint

ALLOWED_URL = (
    "udp://HOST:PORT, rtp://HOST:PORT (HOST of this machine or a multicast group, with ?interface=ADDRESS and "
    "&source=ADDRESS) or tcp://HOST:PORT, each with ?program=NUMBER"
)
_OPTIONS = {"udp": {"interface", "source", "program"}, "rtp": {"interface", "source", "program"}, "tcp": {"program"}}


@dataclass(frozen=True, slots=True)
class ListenUrl:
    """Where a port listens.  ``interface`` and ``source`` (of a source-specific group) are addresses, "" for any."""

    scheme: str
    host: str
    port: int
    interface: str = ""
    source: str = ""
    program: int = 0

    @property
    def multicast(self) -> bool:
        return self.scheme != "tcp" and ipaddress.ip_address(self.host).is_multicast

    def __str__(self) -> str:
        return f"{self.scheme}://{endpoint(self.host, self.port)}"


def parse_listen_url(url: str) -> ListenUrl:
    """:raises ValueError: it is none; the text says what is wrong."""
    parts = urlsplit(url)
    if parts.scheme not in _OPTIONS or not parts.hostname or not parts.port or parts.path.strip("/") or parts.username:
        raise ValueError(f"expected {ALLOWED_URL}")
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    for name in options.keys() - _OPTIONS[parts.scheme]:
        raise ValueError(f'it has the option "{name[:32]}", allowed: {", ".join(sorted(_OPTIONS[parts.scheme]))}')
    addresses = {name: str(ipaddress.ip_address(options.get(name, "0.0.0.0"))) for name in ("interface", "source")}
    program = options.get("program", "0")
    if not program.isdecimal() or int(program) > 0xFFFF:
        raise ValueError("program: expected a number from 0 (the first one) to 65535")
    host = str(ipaddress.ip_address(parts.hostname))
    listen = ListenUrl(
        parts.scheme,
        host,
        parts.port,
        addresses["interface"] if "interface" in options else "",
        addresses["source"] if "source" in options else "",
        int(program),
    )
    of_groups = listen.interface or listen.source
    if of_groups and not (listen.multicast and ipaddress.ip_address(host).version == 4):
        raise ValueError("interface and source are of IPv4 multicast groups")
    return listen
