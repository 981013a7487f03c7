"""The query of an SRT push URL: ffmpeg's option names and units, explicit suffixes, and srt-tools names where they do
not collide.

The trap of this dialect: latencies and ``timeout`` are in microseconds, ``connect_timeout`` is in milliseconds, and
libsrt itself counts in milliseconds throughout.  Option ranges: libsrt docs/API/API-socket-options.md.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from pushcast.egress.url import Options, ip_literal, refused
from pushcast.errors import InvalidRequest
from pushcast.srt import has_bonding, library_version

TS_PACKET_BYTES = 188
DEFAULT_DATAGRAM_BYTES = 7 * TS_PACKET_BYTES
_LIVE_PAYLOAD_BYTES = 1456  # MTU 1500 - IPv4 and UDP 28 - SRT 16
_HEADER_BYTES = 44  # IPv4, UDP and SRT: what the MSS holds beside the payload

# The handshake carries a latency in 16 bits of milliseconds.
_MAX_LATENCY_US = 65_535_000
# Outside of these somebody has taken one unit for another.
_LEAST_LIKELY_LATENCY_US, _MOST_LIKELY_LATENCY_US = 1_000, 60_000_000
_MAX_TIMEOUT_US = 600_000_000
_MAX_INT32 = 2**31 - 1
_MAX_BYTES_PER_S = 10**12
_VERSION = re.compile(r"([0-9]{1,3})\.([0-9]{1,3})\.([0-9]{1,3})")


# (names in the URL, libsrt's option, least, most), plain numbers.  mss and fc come first: libsrt checks the buffers
# against them.
_INTEGERS = (
    (("mss",), "mss", TS_PACKET_BYTES + _HEADER_BYTES, 1500),
    (("ffs", "fc"), "fc", 32, 1_000_000),
    (("sndbuf",), "sndbuf", 32 * 1500, 1 << 30),
    (("rcvbuf",), "rcvbuf", 32 * 1500, 1 << 30),
    (("send_buffer_size", "udp_sndbuf"), "udp_sndbuf", 16_384, 1 << 30),
    (("recv_buffer_size", "udp_rcvbuf"), "udp_rcvbuf", 16_384, 1 << 30),
    (("maxbw",), "maxbw", -1, _MAX_BYTES_PER_S),
    (("inputbw",), "inputbw", 0, _MAX_BYTES_PER_S),
    (("mininputbw",), "mininputbw", 0, _MAX_BYTES_PER_S),
    (("oheadbw",), "oheadbw", 5, 100),
    (("ipttl",), "ipttl", 1, 255),
    (("iptos",), "iptos", 0, 255),
    (("kmrefreshrate",), "kmrefreshrate", 0, _MAX_INT32),
    (("kmpreannounce",), "kmpreannounce", 0, _MAX_INT32),
    (("lossmaxttl",), "lossmaxttl", 0, _MAX_INT32),
    (("snddropdelay",), "snddropdelay", -1, 60_000),
    (("retransmitalgo",), "retransmitalgo", 0, 1),
)
_BOOLEANS = (
    (("tlpktdrop",), "tlpktdrop"),
    (("nakreport",), "nakreport"),
    (("enforced_encryption", "enforcedencryption"), "enforcedencryption"),
)
# Options that have one value which makes sense on a live caller.
_CHOICES = (
    (("transtype",), ("live",)),
    (("smoother", "congestion"), ("live",)),
    (("messageapi",), ("1", "true", "yes", "on")),
)


# What the tools of libsrt and URLs call a group, its members and its limits.
_GROUPS = ("grouptype", "nodes", "groupconnect", "groupminstabletimeo", "weight")


@dataclass(frozen=True, slots=True)
class SrtOptions:
    """What a query asked for.

    ``socket`` pairs libsrt's option names and values (libsrt's units) in the order to set them; ``timeout_s`` bounds
    the whole connect, name resolution included, None when not given; ``adapter`` is the local address to bind, empty
    for any.
    """

    socket: tuple[tuple[str, int | bytes], ...] = field(default=(), repr=False)
    datagram_bytes: int = DEFAULT_DATAGRAM_BYTES
    timeout_s: float | None = None
    adapter: str = ""
    warnings: tuple[str, ...] = ()

    def get(self, name: str) -> int | bytes | None:
        return dict(self.socket).get(name)

    @property
    def latency_ms(self) -> int:
        """The latency that we ask for; the peer may ask for more."""
        asked = self.get("peerlatency")
        return asked if isinstance(asked, int) else 120

    @property
    def encrypted(self) -> bool:
        return self.get("passphrase") is not None


def parse_options(query: str) -> SrtOptions:
    """Raises InvalidRequest with the API's text."""
    options = Options(query)
    if options.text("mode") not in (None, "caller"):
        raise InvalidRequest("Unsupported connection mode")
    _refuse_groups(options)
    for names, allowed in _CHOICES:
        options.choice(*names, allowed=allowed)
    found: dict[str, int | bytes] = {}
    for names, option, low, high in _INTEGERS:
        _put(found, option, options.integer(*names, low=low, high=high))
    for names, option in _BOOLEANS:
        _put(found, option, options.boolean(*names))
    warnings = _read_latency(options, found)
    timeout_us = _read_timeouts(options, found)
    _read_security(options, found)
    _put(found, "streamid", options.secret("streamid", low=0, high=512))
    _put(found, "minversion", _version(options.text("minversion")))
    _put(found, "packetfilter", options.secret("packetfilter", low=0, high=512))
    _put(found, "bindtodevice", options.secret("bindtodevice", low=1, high=15))
    datagram_bytes = _datagram_bytes(options, found)
    adapter = ip_literal("adapter", options.text("adapter"))
    options.log_unknown("srt")
    return SrtOptions(
        socket=tuple(found.items()),
        datagram_bytes=datagram_bytes,
        timeout_s=None if timeout_us is None else timeout_us / 1_000_000,
        adapter=adapter,
        warnings=warnings,
    )


def _refuse_groups(options: Options) -> None:
    """Groups of links (bonding) cannot be had; without this one they would silently become a single link."""
    for name in _GROUPS:
        value = options.text(name)
        if value is None:
            continue
        missing = (
            "are not carried yet" if has_bonding() else f"need bonding, which libsrt {library_version()} here has not"
        )
        raise InvalidRequest(f"Option {name}: found '{value[:40]}', allowed: none; groups {missing}")


def _put(found: dict[str, int | bytes], option: str, value: int | bytes | None) -> None:
    if value is not None:
        found[option] = value


def _read_latency(options: Options, found: dict[str, int | bytes]) -> tuple[str, ...]:
    """``latency`` sets both directions; the named directions win over it, as in libsrt the later option does.

    Returns what looks like a mistake in the unit, a sentence each.
    """
    warnings: list[str] = []

    def read_ms(*names: str) -> int | None:
        microseconds = options.duration_us(*names, unit="us", low_us=0, high_us=_MAX_LATENCY_US)
        if microseconds is None:
            return None
        if 0 < microseconds < _LEAST_LIKELY_LATENCY_US:
            warnings.append(f"{names[0]} is {microseconds} us, less than 1 ms: a bare number counts in microseconds")
        elif microseconds > _MOST_LIKELY_LATENCY_US:
            warnings.append(f"{names[0]} is {microseconds / 1e6:g} s: a bare number counts in microseconds")
        return microseconds // 1_000

    both, receiver, peer = read_ms("latency", "tsbpddelay"), read_ms("rcvlatency"), read_ms("peerlatency")
    _put(found, "rcvlatency", both if receiver is None else receiver)
    _put(found, "peerlatency", both if peer is None else peer)
    return tuple(warnings)


def _read_timeouts(options: Options, found: dict[str, int | bytes]) -> int | None:
    """``timeout`` bounds the whole connect; libsrt's own bound of the handshake follows it unless it is given."""
    timeout_us = options.duration_us("timeout", unit="us", low_us=1_000, high_us=_MAX_TIMEOUT_US)
    handshake_us = options.duration_us("connect_timeout", "conntimeo", unit="ms", low_us=1_000, high_us=_MAX_TIMEOUT_US)
    handshake_us = timeout_us if handshake_us is None else handshake_us
    _put(found, "conntimeo", None if handshake_us is None else -(-handshake_us // 1_000))
    idle_us = options.duration_us("peeridletimeo", unit="ms", low_us=1_000_000, high_us=_MAX_TIMEOUT_US)
    _put(found, "peeridletimeo", None if idle_us is None else idle_us // 1_000)
    return timeout_us


def _read_security(options: Options, found: dict[str, int | bytes]) -> None:
    passphrase = options.secret("passphrase", low=0, high=79)
    if passphrase and len(passphrase) < 10:
        raise InvalidRequest(f"Option passphrase: found {len(passphrase)} bytes, allowed 10..79 bytes")
    _put(found, "passphrase", passphrase or None)
    key_bytes = options.choice("pbkeylen", allowed=("0", "16", "24", "32"))
    _put(found, "pbkeylen", None if key_bytes is None else int(key_bytes))


def _version(text: str | None) -> int | None:
    """``1.5.3`` or libsrt's number for it, 0x010503, decimal."""
    if text is None:
        return None
    matched = _VERSION.fullmatch(text)
    if matched is not None:
        major, minor, patch = (int(part) for part in matched.groups())
        if max(major, minor, patch) <= 255:
            return major << 16 | minor << 8 | patch
    elif text.isascii() and text.isdecimal() and len(text) <= 8:
        return int(text)
    raise refused("minversion", text, "a version such as 1.5.0")


def _datagram_bytes(options: Options, found: dict[str, int | bytes]) -> int:
    """Whole TS packets that fit into the payload size asked for; libsrt is told the same size."""
    mss = found.get("mss", 1500)
    most = min(_LIVE_PAYLOAD_BYTES, int(mss) - _HEADER_BYTES)
    names = ("payload_size", "pkt_size", "payloadsize")
    asked = options.integer(*names, low=TS_PACKET_BYTES, high=_LIVE_PAYLOAD_BYTES)
    if asked is not None and asked > most:
        raise refused("payload_size", str(asked), f"{TS_PACKET_BYTES}..{most} with an mss of {mss!r}")
    size = min(most, DEFAULT_DATAGRAM_BYTES if asked is None else asked) // TS_PACKET_BYTES * TS_PACKET_BYTES
    found["payloadsize"] = size
    return size
