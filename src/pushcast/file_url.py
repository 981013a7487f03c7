"""``file:`` URLs of sources: ``file:///path/clip.mp4?loop=1``.

RFC 8089 with an empty host (or ``localhost``), an absolute path and one option of our own, ``loop``.  The only place
that reads such a URL: pull_url.py refuses a wrong one before anything starts, ingest/network.py takes the parts.
A URL of the configuration may name any file; what a client of the API names must lie below a folder.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit


@dataclass(frozen=True, slots=True)
class FileUrl:
    """Where a clip lies and whether it starts again at its end."""

    path: Path
    loop: bool


def parse_file_url(url: str) -> FileUrl:
    """Split ``url``; raises ValueError with the reason when it is no file URL that a source can play."""
    try:
        parts = urlsplit(url)
        options = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError as error:
        raise ValueError("it is not a URL") from error
    if parts.scheme != "file":
        raise ValueError(f'its scheme is "{parts.scheme}"')
    if parts.netloc not in {"", "localhost"}:
        raise ValueError("it names a host")
    path = unquote(parts.path)
    if not path.startswith("/") or path.endswith("/") or "\0" in path:
        raise ValueError("its path is not that of a file")
    if parts.fragment:
        raise ValueError("it has a fragment (write # in a path as %23)")
    loop = False
    for name, value in options:
        if name != "loop" or value not in {"0", "1"}:
            raise ValueError(f'it has a wrong option "{name}"')
        loop = value == "1"
    return FileUrl(Path(path), loop)


def below(path: Path, folder: Path) -> Path | None:
    """Where ``path`` leads with every link followed, None when that is not below ``folder``; looks at the disk."""
    real = path.resolve()
    return real if real.is_relative_to(folder.resolve()) else None
