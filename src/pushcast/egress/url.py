"""Push URLs: splitting, and reading the options of their query.

The query is split the way ffmpeg's URLs are meant: everything behind the first ``?`` belongs to it (a ``#`` too: SRT
stream ids begin with one), options are separated by ``&``, the first of two equal names counts.  Values are
percent-decoded; ``+`` stays ``+``. Every refusal is an InvalidRequest whose text names the option, what was found and
what is allowed; secrets are never shown.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import unquote_to_bytes

from pushcast.errors import InvalidRequest
from pushcast.log import logger

_log = logger("egress")

# Longer than any real URL: a stream id holds 512 bytes, thrice that when percent-encoded.
_MAX_URL_CHARS = 4096
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)([^?#]*)(?:\?(.*))?")
_AUTHORITY = re.compile(r"(?:\[([0-9A-Fa-f:.]+(?:%[A-Za-z0-9_.-]+)?)\]|([^\[\]:@%\\]+))(?::([0-9]{1,5}))?")
_NUMBER = re.compile(r"-?[0-9]{1,18}")
_DURATION = re.compile(r"([0-9]{1,12})(?:\.([0-9]{1,6}))?(us|ms|s)?")
_PRINTABLE_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,31}")
_MICROSECONDS = {"us": 1, "ms": 1_000, "s": 1_000_000}


@dataclass(frozen=True)
class Url:
    scheme: str
    host: str
    port: int | None
    query: str = field(repr=False)


def split_url(url: str) -> Url:
    """Split ``scheme://host[:port][/path][?query]``; the path means nothing here.  Raises ``Could not parse url``."""
    matched = _URL.fullmatch(url) if len(url) <= _MAX_URL_CHARS else None
    # str.isprintable refuses every control character and every space but U+0020.
    if matched is None or not url.isprintable() or " " in url:
        raise InvalidRequest("Could not parse url")
    scheme, authority, _, query = matched.groups()
    found = _AUTHORITY.fullmatch(authority)
    port = int(found[3]) if found is not None and found[3] else None
    if found is None or (port is not None and not 1 <= port <= 65535):
        raise InvalidRequest("Could not parse url")
    return Url(scheme, found[1] or found[2], port, query or "")


def require_port(url: Url) -> int:
    if url.port is None:
        raise InvalidRequest(f"Could not parse url: {url.scheme} needs a port, {url.scheme}://host:port")
    return url.port


class Options:
    """The options of one query; each reader takes its option out, so that at the end the unknown ones remain.

    A reader takes several names of one option (dialects differ) and returns None when none of them is there.
    """

    def __init__(self, query: str) -> None:
        self._values: dict[str, str] = {}
        for option in query.split("&"):
            name, equals, value = option.partition("=")
            if option:
                self._values.setdefault(name, value if equals else "")

    def text(self, *names: str) -> str | None:
        """The value as text; the names are tried in order."""
        raw = self.raw(*names)
        if raw is None:
            return None
        try:
            return raw.decode()
        except UnicodeDecodeError:
            raise InvalidRequest(f"Option {names[0]}: found bytes that are not UTF-8") from None

    def raw(self, *names: str) -> bytes | None:
        """The percent-decoded bytes of the value."""
        found = None
        for name in names:
            value = self._values.pop(name, None)
            if value is not None and found is None:
                found = unquote_to_bytes(value)
        return found

    def secret(self, *names: str, low: int, high: int) -> bytes | None:
        """Bytes of a secret, ``low``..``high`` of them and none of them zero."""
        value = self.raw(*names)
        if value is None or (low <= len(value) <= high and 0 not in value):
            return value
        raise InvalidRequest(
            f"Option {names[0]}: found {len(value)} bytes, allowed {low}..{high} bytes without a zero byte"
        )

    def integer(self, *names: str, low: int, high: int) -> int | None:
        value = self.text(*names)
        if value is None:
            return None
        number = int(value) if _NUMBER.fullmatch(value) else None
        if number is None or not low <= number <= high:
            raise refused(names[0], value, f"a number {low}..{high}")
        return number

    def boolean(self, *names: str) -> bool | None:
        value = self.text(*names)
        if value is None:
            return None
        if value.lower() in ("1", "true", "yes", "on"):
            return True
        if value.lower() in ("0", "false", "no", "off"):
            return False
        raise refused(names[0], value, "0 or 1")

    def duration_us(self, *names: str, unit: str, low_us: int, high_us: int) -> int | None:
        """A time in microseconds.  A bare number counts in ``unit``; a suffix (us, ms, s) says its own."""
        value = self.text(*names)
        if value is None:
            return None
        matched = _DURATION.fullmatch(value)
        if matched is not None and (matched[2] is None or matched[3] is not None):
            scale = _MICROSECONDS[matched[3] or unit]
            microseconds = int(matched[1]) * scale + int((matched[2] or "0").ljust(6, "0")) * scale // 1_000_000
            if low_us <= microseconds <= high_us:
                return microseconds
        raise refused(names[0], value, f"{low_us}us..{high_us}us, a number without suffix counts in {unit}")

    def choice(self, *names: str, allowed: tuple[str, ...]) -> str | None:
        value = self.text(*names)
        if value is None or value in allowed:
            return value
        raise refused(names[0], value, " or ".join(allowed))

    def log_unknown(self, protocol: str) -> None:
        """One line for each option that nobody took, as ffmpeg ignores them; what may not be a name is not shown."""
        for name, value in self._values.items():
            shown = f"option {name}" if value and _PRINTABLE_NAME.fullmatch(name) else "an option without a value"
            _log.warning("%s url: %s is not known here and was ignored", protocol, shown)


def ip_literal(name: str, text: str | None) -> str:
    """The text when it is an IP address, "" for nothing."""
    try:
        return str(ip_address(text)) if text else ""
    except ValueError:
        raise refused(name, text or "", "an IPv4 or IPv6 address") from None


def refused(name: str, found: str, allowed: str) -> InvalidRequest:
    return InvalidRequest(f"Option {name}: found '{found[:40]}', allowed {allowed}")
