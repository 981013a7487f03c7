"""MPEG-TS muxer of a constant rate (ISO/IEC 13818-1 2.4.2)."""

from collections.abc import Sequence

from pushcast.media import Track
from pushcast.mpegts import TsMuxer
from pushcast.ring import Ring
from pushcast.tsoptions import TsOptions

class CbrMuxer(TsMuxer):
    """Like TsMuxer, at ``options.mux_bits_per_s``: null packets fill what the frames leave free, and PCRs are exact.

    MediaError of ``write_frame`` when frames leave more than a second after their time of decoding.
    """

    def __init__(self, ring: Ring, tracks: Sequence[Track], options: TsOptions) -> None: ...
    @property
    def null_packets(self) -> int: ...
    @property
    def late(self) -> int:
        """Access units whose last byte left after their time of decoding."""
