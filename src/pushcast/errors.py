"""Every error that pushcast raises on purpose.

``status`` is the HTTP status of a refused request; ``retry`` says what a push does after the error: ``soon``
(exponential backoff), ``slowly`` (the peer said no: backoff from a high floor) or ``never`` (only a change of the
push or its stream helps).
"""

from __future__ import annotations

from enum import StrEnum


class Retry(StrEnum):
    SOON = "soon"
    SLOWLY = "slowly"
    NEVER = "never"


class EngineError(Exception):
    """Base of all errors; ``code`` is a short stable word for the API, ``str()`` a sentence without secrets."""

    code = "internal"
    status = 500
    retry = Retry.SOON


class RequestError(EngineError):
    """The request cannot be carried out; str() is the API's error text."""

    code = "invalid_request"
    status = 400
    retry = Retry.NEVER


class InvalidRequest(RequestError):
    status = 400


class Unauthorized(RequestError):
    code = "unauthorized"
    status = 401


class NotFound(RequestError):
    code = "not_found"
    status = 404


class Conflict(RequestError):
    code = "conflict"
    status = 409


class StoreError(EngineError):
    """What was asked for cannot be kept, so it is not done."""

    code = "store"
    status = 503


class ConfigError(EngineError):
    """The configuration is wrong: one sentence with the key, what was found and what is allowed."""

    code = "config"
    retry = Retry.NEVER


class MediaError(EngineError):
    """Bad or unsupported media; names the track and the codec."""

    code = "media"
    retry = Retry.NEVER


class ProtocolError(EngineError):
    code = "protocol"


class LocalProtocolError(ProtocolError):
    """pushcast used a protocol wrongly: a bug of ours."""

    retry = Retry.NEVER


class RemoteProtocolError(ProtocolError):
    """The peer sent what the protocol forbids or our limits refuse."""


class Rejected(RemoteProtocolError):
    """The peer answered no; ``code`` stays 'rejected', str() holds its code and words.

    ``words`` are the peer's own, never shown as they are; ``redirect`` is the URL that it names instead of itself.
    """

    code = "rejected"
    retry = Retry.SLOWLY

    def __init__(self, message: str, words: str = "", redirect: str = "") -> None:
        super().__init__(message)
        self.words = words
        self.redirect = redirect


class TransportError(EngineError, OSError):
    """A socket failed."""

    code = "transport"

    def __init__(self, message: str) -> None:
        Exception.__init__(self, message)

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else type(self).__name__


class ConnectTimeout(TransportError):
    code = "connect_timeout"


class ConnectRefused(TransportError):
    code = "connect_refused"


class ResolveError(TransportError):
    code = "resolve"


class ConnectionLost(TransportError):
    code = "connection_lost"


class TlsError(TransportError):
    """TLS says that the peer is not who it should be, or speaks no TLS: only a change here or there helps."""

    code = "tls"
    retry = Retry.NEVER


class Stalled(TransportError):
    """The peer took nothing for the send timeout."""

    code = "stalled"


class SrtError(TransportError):
    """libsrt failed or the SRT peer rejected us; ``reject_reason`` is libsrt's number, 0 when there is none."""

    code = "srt"

    def __init__(self, message: str, reject_reason: int = 0, retry: Retry = Retry.SOON) -> None:
        super().__init__(message)
        self.reject_reason = reject_reason
        self.retry = retry
