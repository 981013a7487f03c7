"""The targets by name, in the order in which they are run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fuzz.audio import aac
from fuzz.rtmp import amf0, chunks, flv
from fuzz.transport import pes, ts
from fuzz.video import nal, videoconfig_


@dataclass(frozen=True)
class Target:
    """``run`` lets out only what is a bug.  ``most_bytes``: of an input; longer ones say nothing more."""

    run: Callable[[bytes], None]
    most_bytes: int


TARGETS: dict[str, Target] = {
    "ts": Target(ts, 188 * 24 + 1),
    "pes": Target(pes, 4096),
    "nal": Target(nal, 1024),
    "videoconfig": Target(videoconfig_, 512),
    "aac": Target(aac, 2048),
    "amf0": Target(amf0, 1024),
    "chunks": Target(chunks, 2048),
    "flv": Target(flv, 4096),
}
