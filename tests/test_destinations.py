"""Where pushes may go: rules, their order, every spelling of an address, and that no connect gets around them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from pushcast.config import load_config
from pushcast.destinations import ALLOWED_RULES, METADATA, DestinationPolicy, DestinationRefused, parse_rule
from pushcast.egress import PROTOCOLS
from pushcast.egress.resolve import check_request, enforce, resolve
from pushcast.errors import ConfigError, EngineError, InvalidRequest, Retry

SECRET = "sEcr3t-key"


@pytest.fixture(autouse=True)
def _default_policy() -> Iterator[None]:
    yield
    enforce(DestinationPolicy())


def refusal(policy: DestinationPolicy, host: str, port: int, address: str) -> str:
    """Empty when the destination is permitted."""
    try:
        policy.check_name(host, port)
        policy.check_address(host, port, address)
    except DestinationRefused as error:
        return str(error)
    return ""


@pytest.mark.parametrize(
    ("rule", "host", "port", "address", "met"),
    [
        ("203.0.113.0/24", "h", 4711, "203.0.113.255", True),
        ("203.0.113.0/24", "h", 4711, "203.0.114.0", False),
        ("203.0.113.7", "h", 4711, "203.0.113.7", True),
        ("203.0.113.7", "h", 4711, "203.0.113.8", False),
        ("203.0.113.7:4711", "h", 4711, "203.0.113.7", True),
        ("203.0.113.7:4711", "h", 4712, "203.0.113.7", False),
        ("203.0.113.0/24:4710-4712", "h", 4710, "203.0.113.7", True),
        ("203.0.113.0/24:4710-4712", "h", 4712, "203.0.113.7", True),
        ("203.0.113.0/24:4710-4712", "h", 4709, "203.0.113.7", False),
        ("203.0.113.0/24:4710-4712", "h", 4713, "203.0.113.7", False),
        ("0.0.0.0/0", "h", 4711, "203.0.113.7", True),
        ("0.0.0.0/0", "h", 4711, "2001:db8::7", False),
        ("::/0", "h", 4711, "2001:db8::7", True),
        ("::/0", "h", 4711, "203.0.113.7", False),
        ("2001:db8::/32", "h", 4711, "2001:db8:ffff::7", True),
        ("2001:db8::7", "h", 4711, "2001:0db8:0:0::0007", True),
        ("[2001:db8::7]", "h", 4711, "2001:db8::7", True),
        ("[2001:db8::7]:4711", "h", 4711, "2001:db8::7", True),
        ("[2001:db8::7]:4711", "h", 4712, "2001:db8::7", False),
        ("[2001:db8::/32]:4711-4712", "h", 4712, "2001:db8:5::7", True),
        ("fe80::/10", "h", 4711, "fe80::7%lo", True),
        ("203.0.113.7", "h", 4711, "::ffff:203.0.113.7", True),
        ("203.0.113.7", "h", 4711, "::ffff:cb00:7107", True),
        ("ingest.example.com", "ingest.example.com", 4711, "192.0.2.9", True),
        ("ingest.example.com", "INGEST.Example.com", 4711, "192.0.2.9", True),
        ("ingest.example.com", "ingest.example.com.", 4711, "192.0.2.9", True),
        ("Ingest.Example.Com.", "ingest.example.com", 4711, "192.0.2.9", True),
        ("ingest.example.com", "a.ingest.example.com", 4711, "192.0.2.9", False),
        ("ingest.example.com:4711", "ingest.example.com", 4712, "192.0.2.9", False),
        ("ingest.example.com:4711", "ingest.example.com", 4711, "192.0.2.9", True),
        ("*.example.com", "a.example.com", 4711, "192.0.2.9", True),
        ("*.example.com", "a.b.example.com", 4711, "192.0.2.9", True),
        ("*.example.com", "example.com", 4711, "192.0.2.9", False),
        ("*.example.com", "badexample.com", 4711, "192.0.2.9", False),
        ("*.example.com:4000-5000", "a.example.com", 4711, "192.0.2.9", True),
        ("*.example.com:4000-4500", "a.example.com", 4711, "192.0.2.9", False),
        ("bücher.example", "xn--bcher-kva.example", 4711, "192.0.2.9", True),
        ("xn--bcher-kva.example", "BÜCHER.example", 4711, "192.0.2.9", True),
        ("ingest.example.com", "ｉｎｇｅｓｔ.example。com", 4711, "192.0.2.9", True),
    ],
)
def test_what_a_rule_meets(rule: str, host: str, port: int, address: str, met: bool) -> None:
    denied = refusal(DestinationPolicy(deny=[rule]), host, port, address)
    assert bool(denied) is met
    assert f"'{rule}' in destinations.deny" in denied or not met
    assert bool(refusal(DestinationPolicy(allow=[rule]), host, port, address)) is not met


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ("", "it is no network, address or host name"),
        ("*", "it is no network, address or host name"),
        ("*.*.example", "it is no network, address or host name"),
        ("a.*.example", "it is no network, address or host name"),
        ("a b", "it is no network, address or host name"),
        ("a..b", "it is no network, address or host name"),
        ("bob@host", "it is no network, address or host name"),
        ("2852039166", "it is no address (IPv6 with a port goes in brackets)"),
        ("0xa9fea9fe", "it is no address (IPv6 with a port goes in brackets)"),
        ("169.254.43518", "it is no address (IPv6 with a port goes in brackets)"),
        ("10.0.0.256", "it is no address (IPv6 with a port goes in brackets)"),
        ("10.0.0.0/33", "its mask is not from /0 to /32"),
        ("10.0.0.0/", "its mask is not from /0 to /32"),
        ("10.0.0.0/255.0.0.0", "its mask is not from /0 to /32"),
        ("2001:db8::/129", "its mask is not from /0 to /128"),
        ("10.1.0.0/8", "its address has bits behind its mask"),
        ("::ffff:10.0.0.0/104", "it is IPv4 written as IPv6, and no rule sees it like that"),
        ("fe80::1%lo", "it has a zone, which no rule looks at"),
        ("example.com/24", "it is no address (IPv6 with a port goes in brackets)"),
        ("rtmp://host/app", "it is a URL, and a rule has only a host and ports"),
        ("host:", "it ends before its port"),
        ("[::1]:", "it ends before its port"),
        ("host:0", "its ports are not from 1 to 65535, the lower one first"),
        ("host:65536", "its ports are not from 1 to 65535, the lower one first"),
        ("host:9-8", "its ports are not from 1 to 65535, the lower one first"),
        ("host:http", "its ports are not from 1 to 65535, the lower one first"),
        ("host:80-", "its ports are not from 1 to 65535, the lower one first"),
        ("[::1", "brackets are for IPv6, [2001:db8::/32]:port"),
        ("[::1]80", "brackets are for IPv6, [2001:db8::/32]:port"),
        ("[10.0.0.1]:80", "brackets are for IPv6, [2001:db8::/32]:port"),
    ],
)
def test_what_is_no_rule(rule: str, reason: str) -> None:
    with pytest.raises(ValueError, match=r".") as caught:
        parse_rule(rule)
    assert str(caught.value) == reason


INSIDE = ["10.0.0.0/8", "*.lab.example"]


@pytest.mark.parametrize(
    ("allow", "deny", "host", "address", "text"),
    [
        ([], [], "h.example", "203.0.113.7", ""),
        ([], [], "h.example", "127.0.0.1", ""),
        (INSIDE, [], "10.7.7.7", "10.7.7.7", ""),
        (INSIDE, [], "h.lab.example", "203.0.113.7", ""),
        (INSIDE, [], "h.example", "10.7.7.7", ""),
        (INSIDE, [], "203.0.113.7", "203.0.113.7", "it is not in destinations.allow"),
        (INSIDE, [], "h.example", "203.0.113.7", "its address 203.0.113.7 is not in destinations.allow"),
        (INSIDE, ["10.7.0.0/16"], "10.7.7.7", "10.7.7.7", "it is denied by '10.7.0.0/16' in destinations.deny"),
        (
            INSIDE,
            ["10.7.0.0/16"],
            "h.lab.example",
            "10.7.7.7",
            "its address 10.7.7.7 is denied by '10.7.0.0/16' in destinations.deny",
        ),
        (INSIDE, ["bad.lab.example"], "bad.lab.example", "10.7.7.7", "it is denied by 'bad.lab.example' in"),
        (["0.0.0.0/0"], ["0.0.0.0/0"], "203.0.113.7", "203.0.113.7", "it is denied by '0.0.0.0/0' in"),
        (["127.0.0.1"], [], "0.0.0.0", "0.0.0.0", "it is not in destinations.allow"),
        (["192.0.2.7"], [], "64:ff9b::c000:207", "64:ff9b::c000:207", "it is not in destinations.allow"),
        (["64:ff9b::/96"], ["192.0.2.7"], "n", "64:ff9b::c000:207", "is denied by '192.0.2.7' in destinations.deny"),
        ([], ["192.0.2.7"], "n", "2002:c000:207::1", "its address 2002:c000:207::1 is denied by '192.0.2.7' in"),
        ([], ["127.0.0.0/8"], "0.0.0.0", "0.0.0.0", "it is denied by '127.0.0.0/8' in destinations.deny"),
        ([], ["::1"], "::", "::", "it is denied by '::1' in destinations.deny"),
    ],
)
def test_deny_beats_allow(allow: list[str], deny: list[str], host: str, address: str, text: str) -> None:
    found = refusal(DestinationPolicy(allow, deny), host, 4711, address)
    assert text in found
    assert bool(found) is bool(text)


@pytest.mark.parametrize("address", METADATA)
def test_metadata_is_denied_whatever_is_configured(address: str) -> None:
    for policy in (DestinationPolicy(), DestinationPolicy(allow=[address]), DestinationPolicy(deny=["192.0.2.7"])):
        assert f"'{address}' always: cloud metadata" in refusal(policy, "innocent.example", 80, address)


def test_a_refusal_says_what_and_never_again() -> None:
    with pytest.raises(EngineError) as caught:
        DestinationPolicy(deny=["2001:db8::/32"]).check_address("2001:db8::7", 4711, "2001:db8::7")
    assert str(caught.value) == (
        "destination [2001:db8::7]:4711 is refused: it is denied by '2001:db8::/32' in destinations.deny"
    )
    assert caught.value.retry is Retry.NEVER
    assert (caught.value.status, caught.value.code) == (400, "destination_refused")
    assert isinstance(caught.value, InvalidRequest)
    with pytest.raises(DestinationRefused) as escaped:
        DestinationPolicy(deny=["*.example"]).check_name("a\x1b[2J.example", 4711)
    assert str(escaped.value).isprintable()


LOOPBACK = [
    "127.0.0.1",
    "127.77.0.9",
    "2130706433",
    "0x7f000001",
    "0x7f.1",
    "127.1",
    "0177.0.0.1",
    "127.0.0.1.",
    "１２７.0.0.1",
    "0.0.0.0",
    "0",
    "::ffff:127.0.0.1",
    "::ffff:7f00:1",
    "0:0:0:0:0:ffff:7f00:0001",
    "::1",
    "::1%lo",
    "::",
    "localhost",
    "LOCALHOST.",
]


@pytest.mark.parametrize("host", LOOPBACK)
async def test_no_spelling_gets_around_a_denied_network(host: str) -> None:
    enforce(DestinationPolicy(deny=["127.0.0.0/8:4711", "[::1]:4711"]))
    with pytest.raises((DestinationRefused, OSError)):  # some are no address for the system
        await resolve(host, 4711, type=socket.SOCK_STREAM)
    enforce(DestinationPolicy(deny=["127.0.0.0/8:4712"]))
    if host in ("127.0.0.1", "2130706433", "0x7f.1", "::ffff:7f00:1", "0", "::1", "localhost"):
        assert await resolve(host, 4711, type=socket.SOCK_STREAM), "it is the rule that refused, not the system"


@pytest.mark.parametrize("host", ["169.254.169.254", "2852039166", "0xA9FEA9FE", "169.254.43518", "::ffff:a9fe:a9fe"])
async def test_metadata_in_every_spelling(host: str) -> None:
    with pytest.raises(DestinationRefused, match="cloud metadata"):
        await resolve(host, 80, type=socket.SOCK_DGRAM)


URLS = [
    ("rtmp", "rtmp://{host}:{port}/app", socket.SOCK_STREAM),
    ("mpegts", "tcp://{host}:{port}", socket.SOCK_STREAM),
    ("mpegts", "udp://{host}:{port}", socket.SOCK_DGRAM),
    ("srt", f"srt://{{host}}:{{port}}?passphrase={SECRET}", socket.SOCK_DGRAM),
]


@pytest.mark.parametrize("host", ["127.0.0.1", "0x7f.1", "[::ffff:127.0.0.1]", "localhost"])
@pytest.mark.parametrize(("protocol", "url", "kind"), URLS)
async def test_nothing_is_sent_to_a_refused_destination(
    protocol: str, url: str, kind: socket.SocketKind, host: str
) -> None:
    with socket.socket(socket.AF_INET, kind) as listening:
        listening.bind(("127.0.0.1", 0))
        listening.setblocking(False)
        if kind == socket.SOCK_STREAM:
            listening.listen()
        port = listening.getsockname()[1]
        enforce(DestinationPolicy(deny=[f"127.0.0.0/8:{port}", f"[::1]:{port}"]))
        target = PROTOCOLS[protocol].parse(url.format(host=host, port=port), SECRET)
        with pytest.raises(DestinationRefused) as caught:
            await asyncio.wait_for(PROTOCOLS[protocol].connect(target, 0), 10)
        assert f":{port} is refused: " in str(caught.value)
        assert SECRET not in str(caught.value)
        with pytest.raises(BlockingIOError):
            listening.accept() if kind == socket.SOCK_STREAM else listening.recv(1)


class NameServer:
    """Stands for the name servers: every name has these addresses."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses
        self.asked: list[str] = []
        self.real = socket.getaddrinfo

    def __call__(self, host: str, port: int, *args: object, **named: object) -> list[tuple[object, ...]]:
        if int(named.get("flags", 0)) & socket.AI_NUMERICHOST:  # type: ignore[call-overload]
            return self.real(host, port, *args, **named)  # type: ignore[arg-type]
        self.asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in self.addresses]


async def test_a_name_is_reached_by_those_of_its_addresses_that_are_permitted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", NameServer("192.0.2.7", "198.51.100.7", "192.0.2.8"))
    enforce(DestinationPolicy(deny=["192.0.2.0/24"]))
    assert await resolve("mixed.example", 4711, type=socket.SOCK_STREAM) == [(socket.AF_INET, ("198.51.100.7", 4711))]
    enforce(DestinationPolicy(deny=["192.0.2.0/24", "198.51.100.0/24"]))
    with pytest.raises(DestinationRefused, match=r"its address 192\.0\.2\.7 is denied by '192\.0\.2\.0/24'"):
        await resolve("mixed.example", 4711, type=socket.SOCK_STREAM)


async def test_a_name_that_moves_to_a_denied_address_is_refused_from_then_on(monkeypatch: pytest.MonkeyPatch) -> None:
    servers = NameServer("192.0.2.7")
    monkeypatch.setattr(socket, "getaddrinfo", servers)
    assert await resolve("moving.example", 4711, type=socket.SOCK_STREAM)
    servers.addresses = (METADATA[0],)
    with pytest.raises(DestinationRefused, match="cloud metadata"):
        await resolve("moving.example", 4711, type=socket.SOCK_STREAM)


async def test_a_denied_name_is_not_even_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    servers = NameServer("192.0.2.7")
    monkeypatch.setattr(socket, "getaddrinfo", servers)
    enforce(DestinationPolicy(deny=["*.bad.example"]))
    with pytest.raises(DestinationRefused):
        await resolve("a.bad.example", 4711, type=socket.SOCK_STREAM)
    assert servers.asked == []


@pytest.mark.parametrize(
    ("host", "port", "refused"),
    [
        ("169.254.169.254", 80, True),
        ("0xA9FEA9FE", 80, True),
        ("::ffff:169.254.169.254", 80, True),
        ("10.0.0.7", 4711, True),
        ("10.0.0.7", 4712, False),
        ("bad.example", 4711, True),
        ("good.example", 4711, False),
        ("no-such-host.invalid", 4711, False),
        ("a..b", 4711, False),
        ("nul\0byte", 4711, False),
    ],
)
def test_at_the_request_what_needs_no_lookup_is_refused(
    host: str, port: int, refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    servers = NameServer("10.0.0.7")
    monkeypatch.setattr(socket, "getaddrinfo", servers)
    enforce(DestinationPolicy(deny=["10.0.0.0/8:4711", "bad.example"]))
    if refused:
        with pytest.raises(InvalidRequest) as caught:
            check_request(host, port)
        assert caught.value.status == 400
    else:
        check_request(host, port)
    assert servers.asked == []


def test_rules_of_the_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "given.toml"
    monkeypatch.setenv("OUR_NET", "203.0.113.0/24")
    file.write_text('[destinations]\nallow = ["env:OUR_NET", "*.example.com:1935"]\ndeny = ["[fd00::/8]:1-1024"]')
    found = load_config(file).destinations
    assert (found.allow, found.deny) == (("203.0.113.0/24", "*.example.com:1935"), ("[fd00::/8]:1-1024",))
    DestinationPolicy(found.allow, found.deny)
    monkeypatch.setenv("PUSHCAST_DESTINATIONS__DENY__0", "192.0.2.7")
    assert load_config().destinations.deny == ("192.0.2.7",)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('deny = ["192.0.2.7", "10.1.0.0/8"]', 'a list ("10.1.0.0/8": its address has bits behind its mask)'),
        (
            'deny = ["rtmp://host/app/swordfish"]',
            'a list ("rtmp://host/***": it is a URL, and a rule has only a host and ports)',
        ),
        ('deny = ["env:A_SECRET"]', 'a list ("env:A_SECRET": it is no network, address or host name)'),
        ("deny = [7]", "a list (not all of it are texts)"),
        ('deny = "192.0.2.7"', '"192.0.2.7"'),
    ],
)
def test_one_sentence_for_a_wrong_rule(tmp_path: Path, text: str, found: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_SECRET", "sword fish")
    file = tmp_path / "given.toml"
    file.write_text(f"[destinations]\n{text}")
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    assert str(caught.value) == f"{file}: destinations.deny: found {found}, allowed: {ALLOWED_RULES}"
