"""TLS for the API: a certificate and its key in PEM files, taken anew when the files change.

The context that the listener holds stays the same for its life.  Each connection is moved, when its ClientHello is
there, to the context of the newest certificate, which was loaded as a whole or not at all.  (To load a certificate into
a context that serves already would keep the old one beside it when the kind of key changes, from RSA to EC, and half of
it when the key does not fit.)  OpenSSL calls the hook that does this for every ClientHello, also one that names no
server.

A connection keeps the certificate that it began with.  A new file that is wrong leaves the old certificate in place and
is logged once, until the files change again: certificate and key are two files, and between the two renewals they do
not fit.

It does not look at dates or names: what is expired is served as it is.
"""

from __future__ import annotations

import contextlib
import json
import os
import ssl
from pathlib import Path

from pushcast.errors import ConfigError
from pushcast.log import logger

_log = logger("api")

MAX_FILE_BYTES = 1 << 20  # a chain has some KiB

# What OpenSSL says of a key that is not the certificate's: other numbers, or another kind of key.
_MISFITS = frozenset({"KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED", "UNKNOWN_KEY_TYPE"})

_Stamp = tuple[int, int, int, int] | None


class ServerTls:
    """The TLS of a listener: ``context`` is for it, ``reload_if_changed`` is to be called now and then.

    :raises ConfigError: the files cannot be used.
    """

    def __init__(self, cert: Path, key: Path) -> None:
        self._cert = cert
        self._key = key
        self._seen = self._stamps()
        self._newest = _load(cert, key)
        self.context = _context()
        self.context.sni_callback = self._on_client_hello

    def reload_if_changed(self) -> bool:
        """Serve new connections with what the files hold now; True when that is another certificate than before.

        It reads two small files, on the event loop, and only when their dates or sizes have changed.
        """
        stamps = self._stamps()
        if stamps == self._seen:
            return False
        self._seen = stamps
        try:
            self._newest = _load(self._cert, self._key)
        except ConfigError as error:
            _log.error("api: the certificate stays the one before: %s", error)
            return False
        _log.info("api: new connections get the certificate that is in %s now", self._cert)
        return True

    def _on_client_hello(self, connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        connection.context = self._newest

    def _stamps(self) -> tuple[_Stamp, _Stamp]:
        return _stamp(self._cert), _stamp(self._key)


def _context() -> ssl.SSLContext:
    """Python's choice of ciphers, and nothing older than TLS 1.2 (RFC 8996)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # Nobody needs it, and each costs us a handshake without a connect.
    context.options |= ssl.OP_NO_RENEGOTIATION
    return context


def _stamp(path: Path) -> _Stamp:
    """What changes with a file's content, also behind a symbolic link; None while there is no file."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _load(cert: Path, key: Path) -> ssl.SSLContext:
    certificates = _read("api.tls_cert", cert)
    if b"PRIVATE KEY-----" not in _read("api.tls_key", key):
        raise _wrong("api.tls_key", key, "holds no private key in PEM")
    if not _is_chain(certificates):
        raise _wrong("api.tls_cert", cert, "holds no certificate in PEM")
    context = _context()
    try:
        context.load_cert_chain(cert, key, _passphrase)
    except _EncryptedKeyError:
        raise _wrong("api.tls_key", key, "is encrypted") from None
    except ssl.SSLError as error:
        if error.reason in _MISFITS:
            raise _wrong("api.tls_key", key, f"is not the key of {json.dumps(str(cert))}") from None
        raise _wrong("api.tls_key", key, f"OpenSSL refuses together with its certificate ({error.reason})") from None
    except OSError as error:
        raise _wrong("api.tls_cert", cert, f"cannot be read: {error.strerror}") from error
    return context


def _read(name: str, path: Path) -> bytes:
    try:
        with open(path, "rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise _wrong(name, path, f"cannot be read: {error.strerror}") from error
    if len(content) > MAX_FILE_BYTES:
        raise _wrong(name, path, f"has more than {MAX_FILE_BYTES} bytes")
    return content


def _is_chain(content: bytes) -> bool:
    """Whether OpenSSL finds certificates there, between comments in whatever encoding."""
    with contextlib.suppress(ssl.SSLError, ValueError):  # the latter: there is nothing at all
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(cadata=content.decode("ascii", "ignore"))
        return True
    return False


class _EncryptedKeyError(Exception):
    """OpenSSL asked for a passphrase."""


def _passphrase() -> str:
    """Without this, OpenSSL would ask on the terminal."""
    raise _EncryptedKeyError


def _wrong(name: str, path: Path, what: str) -> ConfigError:
    allowed = "certificate, followed by its chain" if name == "api.tls_cert" else "private key without a passphrase"
    return ConfigError(f"{name}: found {json.dumps(str(path))}, which {what}, allowed: a PEM file with a {allowed}")
