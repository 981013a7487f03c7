"""Where pushes may go: rules that allow and deny destinations.

Whoever may start a push makes this host connect to an address of their choice, also to one that only this host
reaches.  A rule is a network, an address or a host name, with ports if wanted:

    10.0.0.0/8    203.0.113.7:1935    [2001:db8::/32]:9000-9999    ingest.example.com    *.example.com:1935

Invariants: ``deny`` beats ``allow``, an empty ``allow`` means all.  What counts is the address that is about to be
connected to, not how somebody spelled it: rules of networks see what the resolver made of the name, with IPv4 taken out
of the IPv6 addresses that only carry it, and egress/resolve.py is the one place that asks.  Rules of names see the name
as it was written, so to deny a name denies no address that it has.

The addresses of cloud metadata services are always denied (METADATA).  It does not resolve names and opens no sockets.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from pushcast.errors import InvalidRequest
from pushcast.log import endpoint, printable

ALLOWED_RULES = (
    "networks (10.0.0.0/8), addresses and host names (*.example.com), each with :port or :low-high if wanted, "
    "IPv6 with a port in brackets"
)

ALLOWED_NETWORKS = "a list of networks (10.0.0.0/8) and addresses"

# Cloud providers answer there, to whoever asks from this host, with the host's credentials.  Nobody receives a stream
# there, so there is no reason to open them and no key that does.
METADATA = (
    "169.254.169.254",  # instance metadata of AWS, Google, Azure and most others
    "fd00:ec2::254",  # the same of AWS, over IPv6
    "169.254.170.2",  # credentials of an AWS ECS task
    "169.254.170.23",  # credentials of an AWS EKS pod
    "fd00:ec2::23",  # the same, over IPv6
)

_PORTS = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")
_NAME = re.compile(r"(?=.{1,253}\Z)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*")
# What the system reads as an IPv4 address, if at all: as a rule it is a mistaken address, never a name.
_ENDS_IN_NUMBER = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)\.?", re.IGNORECASE)
_NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052: the network turns these into IPv4

Ip = IPv4Address | IPv6Address


class DestinationRefused(InvalidRequest):
    """The rules forbid this destination; only another destination or other rules help."""

    code = "destination_refused"


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: a network, or a name (beginning with a dot: all names below it), and a range of ports."""

    text: str
    network: IPv4Network | IPv6Network | None
    name: str
    low_port: int
    high_port: int

    def meets_address(self, address: Ip, port: int) -> bool:
        return self.network is not None and address in self.network and self.low_port <= port <= self.high_port

    def meets_name(self, name: str, port: int) -> bool:
        if not self.name or not self.low_port <= port <= self.high_port:
            return False
        return name.endswith(self.name) if self.name.startswith(".") else name == self.name


def parse_rule(text: str) -> Rule:
    """:raises ValueError: with the reason when it is no rule."""
    if "://" in text:
        raise ValueError("it is a URL, and a rule has only a host and ports")
    what, ports = _split(text)
    low, high = _read_ports(ports)
    if ":" in what or "/" in what or _ENDS_IN_NUMBER.fullmatch(what):
        return Rule(text, read_network(what), "", low, high)
    wildcard = what.startswith("*.")
    name = _as_asked(what[2:] if wildcard else what)
    if not _NAME.fullmatch(name):
        raise ValueError("it is no network, address or host name")
    return Rule(text, None, f".{name}" if wildcard else name, low, high)


class DestinationPolicy:
    """The rules of a server.  :raises ValueError: one of the texts is no rule."""

    def __init__(self, allow: Iterable[str] = (), deny: Iterable[str] = ()) -> None:
        self._allow = [parse_rule(text) for text in allow]
        self._deny = [parse_rule(text) for text in deny]
        self._metadata = [parse_rule(text) for text in METADATA]

    def check_name(self, host: str, port: int) -> None:
        """:raises DestinationRefused: the host as it was written is denied, whatever its addresses are."""
        name = _as_asked(host)
        for rule in self._deny:
            if rule.meets_name(name, port):
                raise DestinationRefused(f"{_shown(host, port)}: it is denied by '{rule.text}' in destinations.deny")

    def check_address(self, host: str, port: int, address: str) -> None:
        """``address`` is one that ``host`` resolved to and that is about to be connected to.

        :raises DestinationRefused: it is denied, or it is not among what is allowed.
        """
        itself, *others = _reached(ip_address(address.partition("%")[0]))
        which = "it" if address == host else f"its address {address}"
        for rules, where in ((self._metadata, "always: cloud metadata"), (self._deny, "in destinations.deny")):
            for rule in rules:
                if any(rule.meets_address(each, port) for each in (itself, *others)):
                    raise DestinationRefused(f"{_shown(host, port)}: {which} is denied by '{rule.text}' {where}")
        name = _as_asked(host)
        if self._allow and not any(
            rule.meets_address(itself, port) or rule.meets_name(name, port) for rule in self._allow
        ):
            raise DestinationRefused(f"{_shown(host, port)}: {which} is not in destinations.allow")


def _split(text: str) -> tuple[str, str]:
    """What a rule is about, and its ports (empty: all)."""
    if text.startswith("["):
        what, bracket, rest = text[1:].partition("]")
        if not bracket or ":" not in what or (rest and not rest.startswith(":")):
            raise ValueError("brackets are for IPv6, [2001:db8::/32]:port")
        ports = rest[1:]
        colon = rest[:1]
    elif text.count(":") > 1:
        return text, ""
    else:
        what, colon, ports = text.partition(":")
    if colon and not ports:
        raise ValueError("it ends before its port")
    return what, ports


def _read_ports(text: str) -> tuple[int, int]:
    if not text:
        return 0, 65535
    found = _PORTS.fullmatch(text)
    low, high = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
    if not 1 <= low <= high <= 65535:
        raise ValueError("its ports are not from 1 to 65535, the lower one first")
    return low, high


def read_network(text: str) -> IPv4Network | IPv6Network:
    """A network or an address.  :raises ValueError: with the reason when it is none."""
    written, slash, mask = text.partition("/")
    try:
        address = ip_address(written)
    except ValueError:
        raise ValueError("it is no address (IPv6 with a port goes in brackets)") from None
    if isinstance(address, IPv6Address):
        if address.scope_id:
            raise ValueError("it has a zone, which no rule looks at")
        if address.ipv4_mapped is not None:
            raise ValueError("it is IPv4 written as IPv6, and no rule sees it like that")
    if slash and not (re.fullmatch("[0-9]{1,3}", mask) and int(mask) <= address.max_prefixlen):
        raise ValueError(f"its mask is not from /0 to /{address.max_prefixlen}")
    try:
        return ip_network((address, int(mask) if slash else address.max_prefixlen))
    except ValueError:
        raise ValueError("its address has bits behind its mask") from None


def _as_asked(host: str) -> str:
    """A name as the resolver asks for it: ASCII (``getaddrinfo`` encodes like this), lower case, no dot at its end."""
    with contextlib.suppress(UnicodeError):  # the resolver refuses such a name too
        host = host.encode("idna").decode()
    return host.removesuffix(".").lower()


def _reached(address: Ip) -> tuple[Ip, ...]:
    """The address that the kernel connects to, and those that it may mean behind it."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return _reached(address.ipv4_mapped)
        if address in _NAT64:
            return address, IPv4Address(address.packed[12:])
        if address.sixtofour is not None:
            return address, address.sixtofour
    if address.is_unspecified:
        return address, ip_address("127.0.0.1" if address.version == 4 else "::1")  # Linux connects to this host
    return (address,)


def _shown(host: str, port: int) -> str:
    return f"destination {printable(endpoint(host, port))} is refused"
