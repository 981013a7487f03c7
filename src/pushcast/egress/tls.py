"""TLS of a destination: what a push asks for, the handshake on the event loop, what its failures mean.

The request member ``tls`` (all of it optional): ``serverName`` instead of the URL's host, ``ca`` (authorities as PEM
text) instead of the system's, ``fingerprint`` (SHA-256 of the server's certificate, which then counts instead of
authorities and name), ``certificate`` and ``key`` (PEM text) to show to the server, ``insecure`` (nothing is held
against anything).  A push that is insecure says so in its ``warnings``.

Connections to one endpoint with the same settings share a context, and resume the session of the latest one.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any

from pushcast.egress.readiness import readiness
from pushcast.errors import ConnectionLost, InvalidRequest, TlsError
from pushcast.tls import HandshakeFailure, TlsConnection, TlsSession
from pushcast.tlscontext import TlsContext

FINGERPRINT_BYTES = 32
MAX_PEM_CHARS = 64 * 1024  # some forty certificates
CONTEXTS = 256
SESSIONS = 1024

_CAUSES = {
    "expired": "its certificate has expired",
    "not yet valid": "its certificate is not valid yet",
    "wrong name": "its certificate is for another name than {name}",
    "self-signed": "its certificate is self-signed: pin it with tls.fingerprint, or trust it with tls.ca",
    "unknown issuer": "nobody that we trust has issued its certificate: tls.ca takes other authorities",
    "untrusted": "its certificate is not to be trusted ({text})",
    "plain text": "what it answered is not TLS: this is a plain-text port, which rtmp:// reaches",
    "closed": "it closed the connection in the middle of it, as a plain-text port does, which rtmp:// reaches",
    "alert": "the server refused it ({text})",
    "other": "{text}",
}


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """What is asked of a server's certificate, and what we show; PEM texts may be secret and have no repr."""

    server_name: str = ""
    authorities: str = field(default="", repr=False)
    fingerprint: bytes = b""
    certificate: str = field(default="", repr=False)
    key: str = field(default="", repr=False)
    insecure: bool = False

    @property
    def verify(self) -> bool:
        """Whether OpenSSL holds the certificate against authorities and name."""
        return not self.insecure and not self.fingerprint


_MEMBERS = {"serverName": str, "ca": str, "fingerprint": str, "certificate": str, "key": str, "insecure": bool}


def read_tls(member: object) -> TlsSettings:
    """The settings of a request's ``tls``.  :raises InvalidRequest: the member, what was found, what is allowed."""
    if not isinstance(member, Mapping):
        raise InvalidRequest(f"tls: found {type(member).__name__}, allowed an object with {', '.join(_MEMBERS)}")
    for name, value in member.items():
        kind = _MEMBERS.get(name)
        if kind is None:
            raise InvalidRequest(f"tls.{str(name)[:40]}: not known, allowed are {', '.join(_MEMBERS)}")
        if type(value) is not kind:
            raise InvalidRequest(f"tls.{name}: found {type(value).__name__}, allowed {kind.__name__}")
        if isinstance(value, str) and len(value) > MAX_PEM_CHARS:
            raise InvalidRequest(f"tls.{name}: found {len(value)} characters, allowed {MAX_PEM_CHARS}")
    settings = TlsSettings(
        server_name=_server_name(member.get("serverName", "")),
        authorities=member.get("ca", ""),
        fingerprint=_fingerprint(member.get("fingerprint", "")),
        certificate=member.get("certificate", ""),
        key=member.get("key", ""),
        insecure=member.get("insecure", False),
    )
    if bool(settings.certificate) != bool(settings.key):
        raise InvalidRequest("tls.certificate and tls.key: found one of them, allowed both or none")
    if settings.authorities or settings.certificate:
        _checked(settings)
    return settings


def _server_name(name: str) -> str:
    try:
        if len(name.encode("idna")) < 256 and name.isprintable():
            return name
    except UnicodeError:
        pass
    raise InvalidRequest(f"tls.serverName: found '{name[:40]}', allowed the name of a host")


def _fingerprint(text: str) -> bytes:
    words = text.removeprefix("sha256:").removeprefix("SHA256:").replace(":", "").strip()
    try:
        found = bytes.fromhex(words)
    except ValueError:
        found = b"?"
    if len(found) not in (0, FINGERPRINT_BYTES):
        raise InvalidRequest(
            f"tls.fingerprint: found '{text[:40]}', allowed the SHA-256 of a certificate, 64 hexadecimal digits"
        )
    return found


def _checked(settings: TlsSettings) -> None:
    """Whether OpenSSL can read it, told by the name that the API gives it."""
    try:
        _context(settings)
    except ValueError as error:
        argument, _, what = str(error).partition(": ")
        raise InvalidRequest(f"tls.{'ca' if argument == 'authorities' else argument}: {what}") from None


_contexts: dict[TlsSettings, TlsContext] = {}


def _context(settings: TlsSettings) -> TlsContext:
    """The one of these settings, made when it is missing."""
    context = _contexts.get(settings)
    if context is None:
        pem = (each.encode() for each in (settings.authorities, settings.certificate, settings.key))
        context = TlsContext(settings.verify, *pem)
        if len(_contexts) >= CONTEXTS:
            _contexts.pop(next(iter(_contexts)), None)
        _contexts[settings] = context
    return context


async def _shared_context(settings: TlsSettings) -> TlsContext:
    """The same; one with the system's authorities reads all of them, some 20 ms that the event loop has not."""
    known = _contexts.get(settings)
    return known if known is not None else await asyncio.to_thread(_context, settings)


class TlsSessions:
    """The latest session of each endpoint, which spares a reconnect the server's certificate and its check."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, int, TlsSettings], TlsSession] = OrderedDict()

    def get(self, endpoint: tuple[str, int, TlsSettings]) -> TlsSession | None:
        return self._known.get(endpoint)

    def keep(self, endpoint: tuple[str, int, TlsSettings], connection: TlsConnection) -> None:
        """For the next connection; the oldest goes when there are too many."""
        session = connection.session()
        if session is not None:
            self._known[endpoint] = session
            self._known.move_to_end(endpoint)
            if len(self._known) > SESSIONS:
                self._known.popitem(last=False)


async def shake_hands(fd: int, host: str, settings: TlsSettings, session: TlsSession | None) -> TlsConnection:
    """TLS over a connected socket.  :raises TlsError: who the server is, or that it is no TLS server."""
    name = settings.server_name or host
    connection = TlsConnection(await _shared_context(settings), fd, name, _is_address(name), session)
    try:
        while not connection.handshake():
            await readiness().readable(fd)
    except HandshakeFailure as failure:
        words = _CAUSES[failure.cause].format(name=name, text=failure)
        raise TlsError(f"the TLS handshake failed: {words}") from None
    except OSError as error:
        raise ConnectionLost(f"the connection was lost during the TLS handshake: {error.strerror}") from error
    if settings.fingerprint and connection.fingerprint != settings.fingerprint:
        raise TlsError(
            f"the TLS handshake failed: the fingerprint of its certificate is {connection.fingerprint.hex()},"
            f" tls.fingerprint is {settings.fingerprint.hex()}"
        )
    return connection


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def described(connection: TlsConnection, settings: TlsSettings) -> dict[str, Any]:
    """What the API shows of a connection."""
    by = "nothing" if settings.insecure else "fingerprint" if settings.fingerprint else "authorities and name"
    return {
        "version": connection.version,
        "cipher": connection.cipher,
        "verifiedBy": by,
        "resumed": connection.resumed,
    }
