"""Who may do what through the API: tokens, their roles and their scopes.

A token comes by HTTP Basic authentication (RFC 7617, without the split at the colon): the whole decoded credential is
the token, as OvenMediaEngine has it, and the texts of refusals are OvenMediaEngine's.  It stands for a grant: a name
for the audit log, a role, and the virtual hosts and applications that it reaches.

Invariants: a credential is compared with every token, by digests of one length and in constant time, so that the time
of an answer tells nothing about any of them.  A grant holds no secret and may be logged.  What a request leaves open
(no application, no virtual host) is all of it: a grant with a scope does not reach it, so that a check which forgets to
name the application refuses too much instead of too little.

It does not know which request needs which role; api/ does.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from pushcast.config_sections import Api
from pushcast.errors import ConfigError, RequestError, Unauthorized
from pushcast.login_limit import LoginLimit, TooManyLogins

ACCESS_TOKEN = "access_token"
"""The name of the grant that ``api.access_token`` stands for, or the token that the state folder keeps instead."""


class Forbidden(RequestError):
    """The token is right, and what it was used for is beyond its grant."""

    code = "forbidden"
    status = 403


class Role(StrEnum):
    """What a token is for; each role includes those before it."""

    READ = "read"
    PUSH = "push"
    ADMIN = "admin"

    def includes(self, other: Role) -> bool:
        return _RANK[self] >= _RANK[other]


_RANK = {role: rank for rank, role in enumerate(Role)}


@dataclass(frozen=True, slots=True)
class Grant:
    """What the holder of a token may do.  ``vhosts`` and ``apps`` are the scope, None: all.

    A virtual host and an application are both in scope, or the pair is not: there are no scopes of single pairs.
    """

    name: str
    role: Role
    vhosts: frozenset[str] | None = None
    apps: frozenset[str] | None = None

    def allows(self, role: Role, vhost: str | None = None, app: str | None = None) -> bool:
        """Whether what needs this role may be done to this application.

        Without ``app`` to the virtual host as a whole, without both to the server.
        """
        return self.role.includes(role) and _reaches(self.vhosts, vhost) and _reaches(self.apps, app)

    def require(self, role: Role, vhost: str | None = None, app: str | None = None) -> None:
        """:raises Forbidden: when :meth:`allows` says no, with what is missing."""
        if not self.role.includes(role):
            raise Forbidden(f"Token '{self.name}' may not do this: it has role '{self.role}', needed: '{role}'")
        if not self.allows(role, vhost, app):
            where = f"[{'/'.join(name for name in (vhost, app) if name is not None)}]" if vhost else "the whole server"
            raise Forbidden(f"Token '{self.name}' has no access to {where}")

    def shows(self, vhost: str, app: str | None = None) -> bool:
        """Whether a list may name this virtual host or application: some of it is in scope."""
        return _reaches(self.vhosts, vhost) and (app is None or _reaches(self.apps, app))


def _reaches(scope: frozenset[str] | None, name: str | None) -> bool:
    return scope is None or name in scope


class Access:
    """All tokens of a server, each with its grant."""

    def __init__(self, tokens: Iterable[tuple[str, Grant]]) -> None:
        # A token that came through the environment may hold bytes that are no UTF-8: they are what the client sends.
        self._tokens = [(_digest(token.encode(errors="surrogateescape")), grant) for token, grant in tokens]

    def check(self, header: str | None) -> Grant:
        """The grant of the Authorization header's value.

        :raises Unauthorized: with the API's text for each way of being wrong.
        """
        given = _given(header)
        found: Grant | None = None
        for digest, grant in self._tokens:
            if hmac.compare_digest(digest, given):
                found = grant
        if found is None:
            raise Unauthorized("Invalid credential")
        return found


def configured_access(api: Api, access_token: str) -> Access:
    """The tokens of the configuration, and ``access_token`` (access_token.py), which may do everything.

    :raises ConfigError: one secret would stand for two grants.
    """
    owners = {access_token: ACCESS_TOKEN}
    tokens = [(access_token, Grant(ACCESS_TOKEN, Role.ADMIN))]
    for number, each in enumerate(api.tokens):
        secret = each.token.get_secret_value()
        if secret in owners:
            raise ConfigError(
                f"api.tokens[{number}].token: found the same secret as that of token '{owners[secret]}', "
                "allowed: a secret of its own"
            )
        owners[secret] = each.name
        tokens.append((secret, Grant(each.name, Role(each.role), _scope(each.vhosts), _scope(each.apps))))
    return Access(tokens)


def admit(access: Access, limit: LoginLimit, header: str | None, remote: str, now: float) -> Grant:
    """The grant of a request, or the refusal that fits: 401, or 429 when this address has failed too often.

    The token is looked at first, so a right one passes whatever the others behind its address did (login_limit.py).
    A request without the header is no failed login: it is how many clients ask whether they need one, and those send
    their token only after a 401.

    :raises Unauthorized: 401.  :raises TooManyLogins: 429.
    """
    try:
        return access.check(header)
    except Unauthorized:
        if header is not None and header.strip(" \t") and (wait_s := limit.fail(remote, now)):
            raise TooManyLogins(wait_s) from None
        raise


def _scope(names: tuple[str, ...] | None) -> frozenset[str] | None:
    return None if names is None else frozenset(names)


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()


# A client sends the same header again and again.  Finding it here takes as long as its hash, which is keyed, whatever
# tokens there are; what the digest is compared with is compared in constant time all the same.
@lru_cache(maxsize=64)
def _given(header: str | None) -> bytes:
    """The digest of what a header's value holds; raises Unauthorized."""
    return _digest(_credential(header))


def _credential(header: str | None) -> bytes:
    words = header.strip(" \t") if header is not None else ""
    if not words:
        raise Unauthorized("Authorization header is required to call API")
    scheme, space, credential = words.partition(" ")
    if not space or " " in credential:
        raise Unauthorized("Invalid authorization header")
    if scheme.lower() != "basic":
        raise Unauthorized(f"Not supported credential type: {scheme}")
    try:
        return base64.b64decode(credential, validate=True)
    except (binascii.Error, ValueError):
        raise Unauthorized("Invalid credential format") from None
