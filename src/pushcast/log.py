"""Log lines and redaction: no stream key, passphrase, token or user info leaves through here."""

from __future__ import annotations

import logging
import sys
from urllib.parse import urlsplit

_SECRET_OPTIONS = frozenset(
    {"passphrase", "streamid", "token", "key", "password", "pass", "auth", "secret", "sig", "signature"}
)


MASKED = "***"  # what stands where a key or passphrase would


def redact(url: str, *, keep_path: bool = True) -> str:
    """The URL without user info and fragment, and with every query value that may be secret replaced by ``***``.

    ``keep_path=False`` keeps scheme, host and port only: an RTMP URL may carry the stream key as its last segment.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        port = f":{parts.port}" if parts.port is not None else ""
    except ValueError:
        return "<unreadable url>"
    if ":" in host:
        host = f"[{host}]"
    shown = f"{parts.scheme}://{host}{port}"
    if not keep_path:
        return shown + ("/***" if parts.path.strip("/") or parts.query else "")
    shown += parts.path
    if parts.query:
        shown += "?" + "&".join(_redact_option(option) for option in parts.query.split("&"))
    return shown


def _redact_option(option: str) -> str:
    name, equals, _ = option.partition("=")
    if not equals:
        return "***"
    return f"{name}=***" if name.lower() in _SECRET_OPTIONS else option


def printable(text: str) -> str:
    """Text from outside as one line: what is not printable is escaped, so that no name forges a log line."""
    return text if text.isprintable() else repr(text)[1:-1]


def endpoint(host: str, port: int) -> str:
    """``host:port`` for messages, IPv6 literals in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class Prefixed(logging.LoggerAdapter[logging.Logger]):
    """A child logger that says which object speaks: ``push default/app/p1: connecting``."""

    def __init__(self, logger: logging.Logger, prefix: str) -> None:
        super().__init__(logger, {})
        self.prefix = prefix

    def process(self, msg, kwargs):  # type: ignore[no-untyped-def]
        return f"{self.prefix}: {msg}", kwargs


def setup(level: str = "INFO") -> None:
    """One line per event on stderr, in the order time, level, words."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s.%(msecs)03d %(levelname)-7s %(message)s", "%Y-%m-%dT%H:%M:%S"))
    root = logging.getLogger("pushcast")
    root.handlers[:] = [handler]
    root.setLevel(level)
    root.propagate = False


def logger(name: str) -> logging.Logger:
    return logging.getLogger(f"pushcast.{name}")
