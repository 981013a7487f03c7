"""Signed tokens that let somebody publish: JSON Web Tokens (RFC 7519) under HS256 (RFC 7518, 3.2).

A token says until when it counts (``exp``, always there) and, if wanted, from when on (``nbf``), for which virtual host
(``vhost``), application (``app``), stream (``stream``, a name or a pattern with ``*``) and publisher (``ip``, an
address or a network).  What it does not say, it does not restrict.  So whoever hands out tokens needs the secret and
nothing else of pushcast: any library for JWT makes them.

Invariant: of a token nothing counts before its signature has been found right, and no text here holds any of it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from ipaddress import ip_network
from typing import Any

import jwt

from pushcast.destinations import Ip, read_network
from pushcast.wildcard import matches

ALGORITHM = "HS256"
# Many times what all claims take; an SRT stream id holds 512 characters of everything.
MAX_TOKEN_CHARS = 4096
LEEWAY_S = 5  # between the clock of who made it and ours


class BadToken(ValueError):
    """It lets nobody in; str() says why and holds nothing of it."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What a token is for; "" is all.  ``stream`` may have wildcards, ``ip`` is an address or a network."""

    vhost: str = ""
    app: str = ""
    stream: str = ""
    ip: str = ""

    def check(self, vhost: str, app: str, stream: str, address: Ip | None) -> None:
        """:raises BadToken: it is for others."""
        if self.vhost not in ("", vhost) or self.app not in ("", app):
            raise BadToken("the token is for another app")
        if self.stream and not matches(self.stream, stream):
            raise BadToken("the token is for another stream")
        if self.ip and (address is None or address not in ip_network(self.ip)):
            raise BadToken("the token is for another address")


def make_token(secret: str, scope: Scope, seconds: float) -> str:
    """A token that counts from now on for so long."""
    now_s = int(time.time())
    claims = {name: value for name, value in asdict(scope).items() if value}
    return jwt.encode({**claims, "iat": now_s, "exp": now_s + int(seconds)}, secret, ALGORITHM)


def read_token(token: str, secret: str) -> Scope:
    """What a token is for.  :raises BadToken: its signature, its times or what it says are not right."""
    if len(token) > MAX_TOKEN_CHARS:
        raise BadToken(f"the token has more than {MAX_TOKEN_CHARS} characters")
    try:
        claims = jwt.decode(
            token,
            secret,
            algorithms=[ALGORITHM],
            leeway=LEEWAY_S,
            options={"require": ["exp"], "verify_aud": False, "verify_iat": False},
        )
    except jwt.ExpiredSignatureError:
        raise BadToken("the token has expired") from None
    except jwt.ImmatureSignatureError:
        raise BadToken("the token does not count yet") from None
    except jwt.MissingRequiredClaimError:
        raise BadToken("the token does not say until when it counts (exp)") from None
    except (jwt.PyJWTError, ValueError, RecursionError):
        raise BadToken("the token is not right") from None
    return Scope(_text(claims, "vhost"), _text(claims, "app"), _text(claims, "stream"), _network(claims))


def _text(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name, "")
    if not isinstance(value, str) or (name in claims and not value):
        raise BadToken(f"the token's claim {name} is no text")
    return value


def _network(claims: Mapping[str, Any]) -> str:
    text = _text(claims, "ip")
    if text:
        try:
            return str(read_network(text))
        except ValueError:
            raise BadToken("the token's claim ip is no address or network") from None
    return ""
