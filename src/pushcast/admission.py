"""Who may publish into an app, and what: the rules of the configuration, as questions with answers.

A publisher comes from an address, names an app and a stream, and shows a key or a token in the parameters of its URL.
``deny`` beats ``allow``; with keys or a secret for tokens, one right key or token is enough.  A right one passes
whatever else comes from its address (login_limit.py); what is wrong too often from one address is refused all the same,
and marked as told, so that a loop of it costs no line in the log.

Everything here may be asked on any thread: libsrt's asks in the middle of a handshake.  It opens no sockets, knows no
streams and asks no webhook (ingest/gate.py).
"""

from __future__ import annotations

import hashlib
import hmac
import threading
from collections import OrderedDict, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from ipaddress import IPv6Address, ip_address

from pushcast.config_sections import Publish
from pushcast.destinations import Ip, read_network
from pushcast.errors import RequestError
from pushcast.login_limit import LoginLimit
from pushcast.publish_token import BadToken, read_token
from pushcast.wildcard import matches

# A group of pictures of ten seconds has its keyframe in it once, wherever the window begins.
BITRATE_WINDOW_S = 10.0
# How long a holder of a name is safe from the next who wants it: at first, and at the most.  Two encoders that fight
# for one name double it each time, so that they end at one change a minute.
HOLD_S, MOST_HOLD_S = 3.0, 60.0
# Names that were fought for; some 200 bytes each.
REMEMBERED_NAMES = 4096


class Ground(Enum):
    """Why somebody may not publish, for who translates it into a protocol's code."""

    UNAUTHORIZED = auto()  # no key or token, or none that counts
    FORBIDDEN = auto()
    CONFLICT = auto()  # the name is taken
    OVERLOAD = auto()  # a limit is reached


class PublishRefused(RequestError):
    """This publisher may not publish this; str() holds no secret.  ``told``: it needs no line in the log."""

    code = "publish_refused"
    status = 403

    def __init__(self, ground: Ground, reason: str, told: bool = False) -> None:
        super().__init__(reason)
        self.ground = ground
        self.told = told


@dataclass(frozen=True, slots=True)
class Asked:
    """What a publisher asks for.  ``parameters`` are those of its URL, and hold its key."""

    vhost: str
    app: str
    stream: str
    address: str
    parameters: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def name(self) -> tuple[str, str, str]:
        return self.vhost, self.app, self.stream


@dataclass(frozen=True, slots=True)
class Limits:
    """Of one publication; 0: none."""

    max_tracks: int = 0
    max_bitrate_kbps: int = 0
    lifetime_s: float = 0.0


NO_LIMITS = Limits()


class Rules:
    """Those of one app."""

    def __init__(self, publish: Publish) -> None:
        self.replace = publish.duplicate == "replace"
        self.max_streams = publish.max_streams or 0
        self.limits = Limits(publish.max_tracks or 0, publish.max_bitrate_kbps or 0)
        self._allow = [read_network(text) for text in publish.allow]
        self._deny = [read_network(text) for text in publish.deny]
        self._keys = [_digest(key.get_secret_value()) for key in publish.keys]
        self._token_secret = publish.token_secret.get_secret_value() if publish.token_secret is not None else ""
        self._passphrases = {name: each.get_secret_value() for name, each in publish.srt_passphrases.items()}

    def check_address(self, address: Ip | None) -> None:
        """:raises PublishRefused: it is denied, or not among what is allowed."""
        if not self._allow and not self._deny:
            return
        denied = address is None or any(address in network for network in self._deny)
        if denied or (self._allow and not any(address in network for network in self._allow)):
            raise PublishRefused(Ground.FORBIDDEN, f"{address or 'this address'} may not publish here")

    def check_credential(self, asked: Asked, address: Ip | None) -> None:
        """:raises PublishRefused: neither key nor token, where one is wanted, or none that counts."""
        if not self._keys and not self._token_secret:
            return
        key, token = asked.parameters.get("key"), asked.parameters.get("token")
        if key is not None and self._has_key(key):
            return
        reason = "expected a publish key, got a wrong one" if self._keys else "expected a token, got a key"
        if token is not None and self._token_secret:
            try:
                read_token(token, self._token_secret).check(asked.vhost, asked.app, asked.stream, address)
                return
            except BadToken as error:
                reason = str(error)
        elif key is None:
            wanted = [word for word, there in (("key", self._keys), ("token", self._token_secret)) if there]
            reason = f"expected a {' or '.join(wanted)} in the URL's parameters, got none"
        raise PublishRefused(Ground.UNAUTHORIZED, reason)

    def passphrase(self, stream: str) -> str:
        """That of SRT for this stream; "": the app has none for it."""
        return next((each for name, each in self._passphrases.items() if matches(name, stream)), "")

    def _has_key(self, given: str) -> bool:
        """Digests of one length against each key, so that the time tells nothing about any of them."""
        found, right = _digest(given), False
        for key in self._keys:
            right |= hmac.compare_digest(found, key)
        return right


class Admission:
    """The rules of all apps, by (vhost, app); an app without rules lets everybody in."""

    def __init__(self, apps: Mapping[tuple[str, str], Publish]) -> None:
        self._rules = {name: Rules(publish) for name, publish in apps.items()}
        self._open = Rules(Publish())
        self._limit = LoginLimit()
        self._limit_lock = threading.Lock()

    def rules(self, vhost: str, app: str) -> Rules:
        return self._rules.get((vhost, app), self._open)

    def check(self, asked: Asked, now_s: float) -> None:
        """Address, then key or token.  ``now_s`` is monotonic.  :raises PublishRefused: he may not publish."""
        rules, address = self.rules(asked.vhost, asked.app), _address(asked.address)
        rules.check_address(address)
        try:
            rules.check_credential(asked, address)
        except PublishRefused as refused:
            with self._limit_lock:
                wait_s = self._limit.fail(asked.address, now_s)
            if wait_s:
                reason = f"too many wrong keys or tokens from this address, try again in {wait_s} s"
                raise PublishRefused(refused.ground, reason, told=True) from None
            raise


class Succession:
    """When the holder of a name may be replaced; kept from becoming a fight (HOLD_S)."""

    def __init__(self) -> None:
        self._fights: OrderedDict[tuple[str, str, str], tuple[int, float]] = OrderedDict()

    def wait_s(self, name: tuple[str, str, str], since_s: float, now_s: float) -> float:
        """How long its holder, who is there since ``since_s``, is still safe; 0: he may be replaced."""
        return max(0.0, since_s + min(HOLD_S * 2.0 ** self._rounds(name, now_s), MOST_HOLD_S) - now_s)

    def note(self, name: tuple[str, str, str], now_s: float) -> None:
        """He is being replaced."""
        # More rounds than these change nothing.
        self._fights[name] = min(self._rounds(name, now_s) + 1, 10), now_s
        self._fights.move_to_end(name)
        if len(self._fights) > REMEMBERED_NAMES:
            self._fights.popitem(last=False)

    def _rounds(self, name: tuple[str, str, str], now_s: float) -> int:
        rounds, at_s = self._fights.get(name, (0, now_s))
        return rounds if now_s - at_s < 2 * MOST_HOLD_S else 0


class Watch:
    """Holds one publication to what it may still do while it is live.  ``now_s`` is the same clock throughout."""

    def __init__(self, limits: Limits, now_s: float, byte_count: int = 0) -> None:
        self._limits = limits
        self._begun_s = now_s
        self._seen: deque[tuple[float, int]] = deque([(now_s, byte_count)])

    def reason_to_stop(self, now_s: float, byte_count: int) -> str:
        """Why it must end, "" while it need not; ``byte_count``: all that came so far."""
        lifetime_s, most_kbps = self._limits.lifetime_s, self._limits.max_bitrate_kbps
        if lifetime_s and now_s - self._begun_s >= lifetime_s:
            return f"its lifetime of {lifetime_s:g} s is over"
        if not most_kbps:
            return ""
        self._seen.append((now_s, byte_count))
        while len(self._seen) > 2 and self._seen[1][0] <= now_s - BITRATE_WINDOW_S:
            self._seen.popleft()
        from_s, from_bytes = self._seen[0]
        came_kbits = (byte_count - from_bytes) * 8 / 1000
        # What a whole window may bring, whenever in it: a burst at its beginning is none too many.
        if came_kbits <= most_kbps * max(BITRATE_WINDOW_S, now_s - from_s):
            return ""
        found = came_kbits / max(now_s - from_s, 1)
        return f"expected at most {most_kbps} kbit/s over {BITRATE_WINDOW_S:g} s, got {found:.0f} kbit/s"


def _address(text: str) -> Ip | None:
    """The address that rules see: IPv4 out of the IPv6 addresses that only carry it."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (address.ipv4_mapped if isinstance(address, IPv6Address) else None) or address


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode(errors="replace")).digest()
