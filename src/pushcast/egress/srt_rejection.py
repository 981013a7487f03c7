"""Why an SRT peer said no, in words, and whether asking again soon can help.

The numbers are libsrt's (docs/API/rejection-codes.md): up to 999 from the library, from 1000 from the application at
the other end (the 14xx and 15xx follow HTTP), from 2000 free for applications.
"""

from __future__ import annotations

from pushcast.errors import ConnectTimeout, EngineError, Retry, SrtError

_TIMEOUT = 16
_REASONS = {
    0: "no reason given",
    1: "system error",
    2: "refused by the peer",
    3: "out of resources",
    4: "wrong data in the handshake",
    5: "the listener's backlog is full",
    6: "internal error of libsrt",
    7: "the socket is closing",
    8: "the peer's SRT version is too old",
    9: "rendezvous cookie collision",
    10: "wrong passphrase",
    11: "only one side has a passphrase",
    12: "message API differs",
    13: "congestion control differs",
    14: "packet filter differs",
    15: "group type differs",
    16: "no answer in time",
    17: "encryption mode differs",
    1000: "refused by the application",
    1001: "stream id key not supported",
    1002: "file path not found",
    1003: "host in the stream id not found",
    1400: "bad request",
    1401: "unauthorized",
    1402: "overloaded",
    1403: "forbidden",
    1404: "not found",
    1405: "mode not supported",
    1406: "not acceptable",
    1409: "conflict: already publishing",
    1415: "media type not supported",
    1423: "locked",
    1424: "failed dependency",
    1500: "internal error at the peer",
    1501: "not implemented",
    1502: "the gateway's target refused",
    1503: "service down",
    1505: "version not supported",
    1507: "no room left",
}
# Only a change of configuration, here or there, helps.
_SLOWLY = frozenset({10, 11, 14, 17, 1400, 1401, 1403, 1405})


def reject_text(reason: int) -> str:
    """A reject reason of libsrt in words."""
    text = _REASONS.get(reason)
    if text is not None:
        return text
    return f"code {reason} of the peer's application" if reason >= 1000 else f"unknown reason {reason}"


def rejection(reason: int, endpoint: str) -> EngineError:
    """The error of a connect to ``endpoint`` that failed with this reject reason: ConnectTimeout or SrtError."""
    if reason == _TIMEOUT:
        return ConnectTimeout(f"SRT peer {endpoint} did not answer")
    retry = Retry.SLOWLY if reason in _SLOWLY else Retry.SOON
    return SrtError(f"SRT peer {endpoint} rejected the connection: {reject_text(reason)} ({reason})", reason, retry)
