"""Packets as facts, whichever container they come in, of files and of live RTMP."""

from __future__ import annotations

import contextlib
import hashlib
import json
import sys
from pathlib import Path
from typing import Any

import av
from av.error import FFmpegError
from interop.packets import essence

Fact = tuple[str, float, float]
Facts = dict[str, list[Fact]]  # by kind: (digest, dts, pts) in ms

# Decoders that PyAV prefers have names of their own.
NAMES = {"libdav1d": "av1", "libvpx-vp9": "vp9", "aac_latm": "aac"}


def read_facts(container: Any) -> Facts:
    """Every packet until the end, or until the peer has left."""
    found: Facts = {"video": [], "audio": []}
    with contextlib.suppress(FFmpegError):  # a listening RTMP input ends with an error when its publisher leaves
        for packet in container.demux():
            known = packet.size and packet.dts is not None and packet.pts is not None
            if known and packet.stream.type in found:
                name = packet.stream.codec_context.name
                units = essence(NAMES.get(name, name), bytes(packet))
                scale = float(packet.time_base) * 1000
                digest = hashlib.md5(b"|".join(units)).hexdigest()
                found[packet.stream.type].append((digest, packet.dts * scale, packet.pts * scale))
    return found


def file_facts(path: Path) -> Facts:
    with av.open(str(path)) as container:
        return read_facts(container)


def main() -> None:
    """Listen at an RTMP URL, and write the facts of what is published there: `python -m conformance.facts URL FILE`."""
    with av.open(sys.argv[1], options={"listen": "1"}, timeout=60) as container:
        Path(sys.argv[2]).write_text(json.dumps(read_facts(container)))


if __name__ == "__main__":
    main()
