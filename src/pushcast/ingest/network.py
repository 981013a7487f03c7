"""What a pull may open: URLs of servers, and of files below a folder, read with libavformat (through PyAV).

What a server says is read by demuxers written in C, and a playlist or a redirect may name further addresses; so each
scheme has its protocols, and there is one short list of formats.  No playlist opens a file.  A silent server holds a
thread for OPEN_DEADLINE_S or the read deadline at the longest.  Servers of https URLs must prove who they are; where an
HLS playlist has its segments from is libavformat's business, which does not look there.

libavformat's own errors hold the URL, with whatever is secret in it, and end here.

PyAV's build decides which schemes it can open; of its own wheels none has SRT, and a pull says so.

Which URLs may be pulled at all is said in pull_url.py.  Opening and reading block, and belong in a worker thread.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import av
from av.error import ExitError, FFmpegError, ProtocolNotFoundError

from pushcast.errors import MediaError, TransportError
from pushcast.file_url import below, parse_file_url
from pushcast.ingest.demux import ClipFrame, Demuxer
from pushcast.ingest.playback import Playback
from pushcast.media import Track
from pushcast.pull_url import scheme_of, shown_url

OPEN_DEADLINE_S = 10.0  # to connect, and once more to find the tracks
# How long libavformat may look for tracks in what has come: a GOP of the usual length, and its default is no shorter.
ANALYZE_US = 5_000_000
# A playlist says nothing new for as long as a segment lasts; nobody makes them longer than this.
SEGMENT_S = 30.0

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
