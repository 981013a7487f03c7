"""What a pull may open: URLs of servers, and of files below a folder, read with libavformat (through PyAV).

What a server says is read by demuxers written in C, and a playlist or a redirect may name further addresses; so each
scheme has its protocols, and there is one short list of formats.  No playlist opens a file.  A silent server holds a
thread for OPEN_DEADLINE_S or the read deadline at the longest.  Servers of https URLs must prove who they are; where an
HLS playlist has its segments from is libavformat's business, which does not look there.

URLs may hold passwords and keys: what errors, logs and the API show of one is ``shown_url``, and libavformat's own
errors, which hold the URL, end here.

PyAV's build decides which schemes it can open; of its own wheels none has SRT, and a pull says so.

``check_url`` and ``shown_url`` are pure; opening and reading block and belong in a worker thread.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qsl, urlsplit

import av
from av.error import ExitError, FFmpegError, ProtocolNotFoundError

from pushcast.errors import InvalidRequest, MediaError, TransportError
from pushcast.file_url import below, parse_file_url
from pushcast.ingest.demux import ClipFrame, Demuxer
from pushcast.ingest.playback import Playback
from pushcast.log import redact
from pushcast.media import Track

OPEN_DEADLINE_S = 10.0  # to connect, and once more to find the tracks
# How long libavformat may look for tracks in what has come: a GOP of the usual length, and its default is no shorter.
ANALYZE_US = 5_000_000
# A playlist says nothing new for as long as a segment lasts; nobody makes them longer than this.
SEGMENT_S = 30.0
MAX_URL_CHARS = 2048

# What libavformat may open for a URL of this scheme, by its names of protocols.  A redirect never leaves https.
_PROTOCOLS = {
    "http": "http,https,tls,tcp,crypto",
    "https": "https,tls,tcp,crypto",
    "rtmp": "rtmp,tcp",
    "rtsp": "rtp,udp,tcp",
    "srt": "srt",
    "tcp": "tcp",
    "udp": "udp",
}
_FORMATS = "mpegts,flv,live_flv,hls,mov,matroska,rtsp,aac,ac3,eac3,mp3"
_OPTIONS = {
    "rtsp": {"rtsp_flags": "prefer_tcp"},
    # A burst that overruns the buffer costs what was lost of it, not the stream.
    "udp": {"buffer_size": str(2 << 20), "overrun_nonfatal": "1"},
}
# libavformat reads options of these protocols from the URL, and some of them take memory, or wait for ever.
_URL_OPTIONS = {"tcp": frozenset[str](), "udp": frozenset({"localaddr", "sources", "block", "reuse"})}
_SOURCE_TYPES = {"file": "File", "rtmp": "RtmpPull", "rtsp": "RtspPull", "srt": "SRT", "tcp": "MPEGTS", "udp": "MPEGTS"}


class Input(Protocol):
    """An open input; its methods block."""

    @property
    def tracks(self) -> tuple[Track, ...]: ...

    @property
    def left_out(self) -> list[str]:
        """What is not carried, and why."""

    def read(self) -> list[ClipFrame]:
        """The next frames; empty at the end.  :raises EngineError: it breaks off."""

    def close(self) -> None: ...


class Live:
    """An input that comes in its own time: its frames, one by one, as soon as they are there."""

    def __init__(self, demuxer: Demuxer) -> None:
        self._demuxer = demuxer
        self._frames: Iterator[ClipFrame] = demuxer.frames()
        self.tracks = demuxer.tracks
        self.left_out = demuxer.left_out

    def read(self) -> list[ClipFrame]:
        frame = next(self._frames, None)
        return [] if frame is None else [frame]

    def close(self) -> None:
        self._demuxer.close()


def scheme_of(url: str) -> str:
    return url.partition(":")[0].lower()


def source_type(url: str) -> str:
    """The API's word for what feeds a stream; OvenMediaEngine has none for HTTP."""
    return _SOURCE_TYPES.get(scheme_of(url), "HttpPull")


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
    if scheme not in _PROTOCOLS:
        raise ValueError(f'its scheme is "{scheme[:32]}", allowed: {", ".join(sorted({*_PROTOCOLS, "file"}))}')
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


def open_input(url: str, files_below: Path | None, no_input_s: float) -> Input:
    """Open a URL that ``check_url`` has let pass.

    What is no live input is a Playback, to be played in its own time: files, downloads, and HLS, whose segments come at
    once.  :raises TransportError: it cannot be opened.  :raises MediaError: it holds nothing that can be carried.
    """
    if scheme_of(url) == "file":
        return _open_file(url, files_below)
    container = _open_network(url, no_input_s)
    whole = container.format.name == "hls" or container.size > 0  # a size is known of what was complete before we came
    demuxer = Demuxer(container, shown_url(url))
    return Playback(demuxer) if whole else Live(demuxer)


def patience_s(opened: Input, no_input_s: float) -> float:
    """How long to wait for a frame of it; what is played in its own time comes in pieces."""
    return max(no_input_s, SEGMENT_S) if isinstance(opened, Playback) else no_input_s


def _open_file(url: str, files_below: Path | None) -> Playback:
    file = parse_file_url(url)
    path = below(file.path, files_below) if files_below is not None else None
    if path is None:
        raise MediaError(f"{shown_url(url)} does not lie below the folder whose files may be pulled")
    return Playback(path, loop=file.loop)


def _open_network(url: str, no_input_s: float) -> Any:
    scheme, shown = scheme_of(url), shown_url(url)
    # Longer than patience_s, so that who waits for a frame gives up first and can say what it was that did not come.
    read_s = no_input_s + (SEGMENT_S if scheme.startswith("http") else 1.0)
    options = {
        "protocol_whitelist": _PROTOCOLS[scheme],
        "format_whitelist": _FORMATS,
        "analyzeduration": str(ANALYZE_US),
        **_OPTIONS.get(scheme, {}),
        **(_verification() if scheme.startswith("http") else {}),
    }
    try:
        return av.open(url, options=options, timeout=(OPEN_DEADLINE_S, read_s))
    except ProtocolNotFoundError:
        reason = f"PyAV {av.__version__} was built without {scheme}, so it cannot be pulled here"
    except ExitError:
        reason = f"no answer within {OPEN_DEADLINE_S:g} s"
    except FFmpegError as error:
        reason = str(error.strerror)
    raise TransportError(f"{shown}: {reason}")


def _verification() -> dict[str, str]:
    """TLS peers must prove who they are, by the certificates that this host trusts (or SSL_CERT_FILE)."""
    trusted = ssl.get_default_verify_paths()
    return {"tls_verify": "1", **({"ca_file": trusted.cafile} if trusted.cafile else {})}
