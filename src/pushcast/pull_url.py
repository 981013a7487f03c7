"""URLs that a stream may be pulled from, and what is shown of them.

URLs may hold passwords and keys: what errors, logs and the API show of one is ``shown_url``.  Whether the host has an
answer, and what PyAV's build can open, is not looked at here.
"""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from pushcast.errors import InvalidRequest
from pushcast.file_url import parse_file_url
from pushcast.log import redact

MAX_URL_CHARS = 2048
MAX_URLS = 16  # of one stream: an attempt for each within what a client of the API waits
ANYWHERE = Path("/")
ALLOWED_URL = (
    "file:///absolute/path (?loop=1 plays it again and again), http://, https://, rtmp://, rtsp://, srt://, tcp:// or "
    "udp:// with host and port"
)

# libavformat reads options of these protocols from the URL, and some of them take memory, or wait for ever.
_URL_OPTIONS = {"tcp": frozenset[str](), "udp": frozenset({"localaddr", "sources", "block", "reuse"})}
# The API's words for what feeds a stream; OvenMediaEngine has none for HTTP.
_SOURCE_TYPES = {
    "file": "File",
    "http": "HttpPull",
    "https": "HttpPull",
    "rtmp": "RtmpPull",
    "rtsp": "RtspPull",
    "srt": "SRT",
    "tcp": "MPEGTS",
    "udp": "MPEGTS",
}


def scheme_of(url: str) -> str:
    return url.partition(":")[0].lower()


def source_type(url: str) -> str:
    """The API's word for what feeds a stream."""
    return _SOURCE_TYPES[scheme_of(url)]


def check_url(url: str, files_below: Path | None) -> None:
    """``files_below``: the folder whose files may be pulled, None for none.

    :raises InvalidRequest: the URL cannot be pulled, whatever its server says.
    """
    try:
        _check(url, files_below)
    except ValueError as error:
        raise InvalidRequest(f"Url cannot be pulled: {error}") from None


def _check(url: str, files_below: Path | None) -> None:
    scheme = scheme_of(url)
    if len(url) > MAX_URL_CHARS or not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError(f"allowed are up to {MAX_URL_CHARS} printable ASCII characters without a space")
    if scheme == "file":
        _check_file(url, files_below)
        return
    if scheme not in _SOURCE_TYPES:
        raise ValueError(f'its scheme is "{scheme[:32]}", allowed: {", ".join(sorted(_SOURCE_TYPES))}')
    host, port, query = _parts(url)
    if not host and scheme != "udp":  # udp://@:1234 is any address of this host
        raise ValueError("it names no host")
    allowed = _URL_OPTIONS.get(scheme)
    if allowed is None:
        return
    if port is None:
        raise ValueError("it names no port")
    for name, _ in parse_qsl(query, keep_blank_values=True):
        if name not in allowed:
            raise ValueError(f'it has the option "{name[:32]}", allowed: {", ".join(sorted(allowed)) or "none"}')


def _parts(url: str) -> tuple[str | None, int | None, str]:
    try:
        parts = urlsplit(url)
        return parts.hostname, parts.port, parts.query
    except ValueError:  # whose words quote what may be a password
        raise ValueError("it is not a URL") from None


def _check_file(url: str, files_below: Path | None) -> None:
    if files_below is None:
        raise ValueError("files may not be pulled here")
    # Where the links lead is looked at when the file is opened: that may wait for a disk.
    if not Path(os.path.normpath(parse_file_url(url).path)).is_relative_to(files_below):
        raise ValueError(f"only files below {files_below} may be pulled")


def shown_url(url: str) -> str:
    """The URL without what may be secret; stream keys and passwords stand in paths, too."""
    return redact(url, keep_path=scheme_of(url) == "file")


def check_source_url(url: str) -> None:
    """A URL of the configuration, which may name any file.  :raises ValueError: it cannot be pulled."""
    if scheme_of(url) == "file":
        parse_file_url(url)
    else:
        _check(url, None)
