"""MPEG-TS muxer (ISO/IEC 13818-1)."""

from collections.abc import Sequence

from pushcast.media import Track
from pushcast.muxer import Muxer
from pushcast.ring import Ring
from pushcast.tsoptions import TsOptions

class TsMuxer(Muxer):
    """Writes frames of ``tracks`` into ``ring`` as one-program MPEG-TS: one frame, one PES packet, one span.

    Carries H264, HEVC, AAC, MP2, MP3, AC3, EAC3, Opus, and data that came from a transport stream.  MediaError for
    other codecs and for a config that does not parse or that ADTS cannot express; it names track and codec.

    A FRAME_CONFIG frame replaces the track's config and writes nothing; MediaError, and the old config stays, when it
    does not parse.
    """

    def __init__(self, ring: Ring, tracks: Sequence[Track], options: TsOptions = ...) -> None: ...
    @property
    def malformed(self) -> int:
        """Access units dropped so far because they could not be parsed or carried."""
