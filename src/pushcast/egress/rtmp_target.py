"""Where to publish: an RTMP URL with its key, and the places that a server sends us on to.

URL and key (the API has them apart): the application is everything behind the host, query included, and the key is
taken verbatim, as keys hold ``?``, ``&`` and ``/``.  Without a key the last path segment with its query is the key.
The URL that the server is told (tcUrl) is the one the user gave, without the key.  User and password stand before
the host, percent-encoded where they hold ``:``, ``@`` or ``/``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import unquote, urljoin

from pushcast.egress.link import NO_OPTIONS, Target
from pushcast.egress.resolve import check_request
from pushcast.egress.tls import TlsSettings, read_tls
from pushcast.egress.url import split_url
from pushcast.errors import InvalidRequest, Rejected, RequestError
from pushcast.log import logger
from pushcast.media import Enhanced
from pushcast.rtmp.authentication import Credentials

DEFAULT_PORTS = {"rtmp": 1935, "rtmps": 443}
MAX_KEY_CHARS = 4096

# A server that sends us on, and each of these, at the most.
MAX_REDIRECTS = 3

_USER_INFO = re.compile(r"([A-Za-z]+://)([^/?#]*)@")
_HTTP_LIKE = re.compile(r"([A-Za-z]+)://(?:[^/?#]*@)?([^/?#]+)")
_log = logger("egress")


@dataclass(frozen=True, slots=True)
class RtmpTarget(Target):
    """Where to publish.  Application and URL may hold secrets in their query, so nothing of them is shown."""

    app: str = field(repr=False)
    tc_url: str = field(repr=False)
    key: str = field(repr=False)
    tls: TlsSettings | None = None
    credentials: Credentials | None = None

    @property
    def peer(self) -> str:
        """What errors call it."""
        return f"{'rtmps' if self.tls is not None else 'rtmp'} {self.endpoint}"

    @property
    def warnings(self) -> tuple[str, ...]:
        if self.tls is None or not self.tls.insecure:
            return ()
        return (
            "tls.insecure: the server's certificate is not checked, anybody on the way can read and take the stream",
        )


def parse_target(url: str, stream_key: str, options: Mapping[str, Any] = NO_OPTIONS) -> RtmpTarget:
    """See Protocol.parse."""
    url, credentials = _split_credentials(url)
    parts = split_url(url)
    if parts.scheme not in DEFAULT_PORTS:
        raise InvalidRequest("Unsupported protocol")
    secure = parts.scheme == "rtmps"
    if "tls" in options and not secure:
        raise InvalidRequest("tls: found with an rtmp:// url, allowed with rtmps://")
    authority, _, path = url.partition("://")[2].partition("/")
    if "?" in authority:
        raise InvalidRequest(f"Could not parse url: {parts.scheme} needs an application, {parts.scheme}://host/app")
    app, key = (path.rstrip("/"), stream_key) if stream_key else _split_key(path)
    if not key.isprintable() or len(key) > MAX_KEY_CHARS:
        raise InvalidRequest(f"Could not parse streamKey: allowed are up to {MAX_KEY_CHARS} printable characters")
    tc_url = f"{parts.scheme}://{authority}/{app}"
    tls = read_tls(options.get("tls", {})) if secure else None
    port = parts.port or DEFAULT_PORTS[parts.scheme]
    enhanced = _read_enhanced(options.get("enhanced", Enhanced.AUTO))
    return RtmpTarget(parts.host, port, app, tc_url, key, tls, credentials, enhanced=enhanced)


def _read_enhanced(value: object) -> Enhanced:
    try:
        return Enhanced(str(value))
    except ValueError:
        raise InvalidRequest(f"enhanced: found {json.dumps(value)[:40]}, allowed: {', '.join(Enhanced)}") from None


def _split_credentials(url: str) -> tuple[str, Credentials | None]:
    """The URL without user and password, and these."""
    found = _USER_INFO.match(url)
    if found is None:
        return url, None
    user, colon, password = found[2].partition(":")
    if not user or not colon:
        raise InvalidRequest(
            "Could not parse url: before the host stand user and password, rtmp://user:password@host/app"
        )
    return found[1] + url[found.end() :], Credentials(unquote(user), unquote(password))


def _split_key(path: str) -> tuple[str, str]:
    """(app, key) of a path that holds both: the key is the last segment and the query."""
    before, question_mark, query = path.partition("?")
    app, _, key = before.rstrip("/").rpartition("/")
    if not app or not key:
        raise InvalidRequest("Could not parse url: rtmp without a streamKey needs an application and a key in the url")
    return app, key + question_mark + query


def redirected(target: RtmpTarget, url: str, redirects: int) -> RtmpTarget:
    """The same stream at the server that this one names.  :raises Rejected: we do not go there."""
    if redirects > MAX_REDIRECTS:
        raise Rejected(f"{target.peer}: connect: sent on to {_where(url)} after {MAX_REDIRECTS} other servers")
    next_target = _sent_on(target, url, "connect: ")
    _log.info("%s: sent on to %s", target.peer, next_target.endpoint)
    return next_target


def moved(target: RtmpTarget, tc_url: str) -> RtmpTarget:
    """The same stream at a URL that may be relative to this one's.  :raises Rejected: we do not go there."""
    if not tc_url:
        return target
    scheme = target.tc_url.partition("://")[0]
    if _HTTP_LIKE.match(tc_url) is None:
        # urljoin knows which schemes have relative URLs, and rtmp is not among them.
        try:
            joined = urljoin(target.tc_url.replace(scheme, "http", 1), tc_url)
        except ValueError:
            joined = "nowhere"
        tc_url = joined.replace("http", scheme, 1)
    return _sent_on(target, tc_url, "")


def _sent_on(target: RtmpTarget, url: str, step: str) -> RtmpTarget:
    try:
        next_target = parse_target(f"{url.rstrip('/')}", target.key, {})
        check_request(next_target.host, next_target.port)
    except RequestError as error:
        raise Rejected(
            f"{target.peer}: {step}sent on to {_where(url)}, which is no place to publish to: {error}"
        ) from None
    if target.tls is not None and next_target.tls is None:
        raise Rejected(f"{target.peer}: {step}sent on to {_where(url)}, from TLS to plain text")
    tls = None if next_target.tls is None else target.tls or next_target.tls
    return replace(next_target, tls=tls, credentials=target.credentials, enhanced=target.enhanced)


def _where(url: str) -> str:
    """Of a URL that somebody else wrote, what may be shown."""
    parts = _HTTP_LIKE.match(url)
    return f"{parts[1]}://{parts[2]}" if parts is not None else "nowhere"
