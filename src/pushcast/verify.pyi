"""Stream checkers: bytes in, counts out.

``errors()`` holds the kinds that occurred, by the names of TS_ERRORS and RTMP_ERRORS.  Time stamps in ``stats()`` are
90 kHz, unwrapped from the first one, and belong to the first video stream, or to the first stream when there is no
video.
"""

from typing import Self, final

from typing_extensions import Buffer

from pushcast.verifyrtmp import RTMP_ERRORS as RTMP_ERRORS
from pushcast.verifyts import TS_ERRORS as TS_ERRORS

__all__ = ["RTMP_ERRORS", "TS_ERRORS", "RtmpChecker", "TsChecker"]

@final
class TsChecker:
    """Checks one MPEG-TS: feed a byte stream with ``feed``, or whole datagrams with ``feed_datagram``, never both."""

    @property
    def garbage(self) -> bool:
        """The bytes are not MPEG-TS: nothing more is taken."""

    @property
    def cut(self) -> bool:
        """The bytes so far end in the middle of a packet."""

    def feed(self, data: Buffer) -> None: ...
    def feed_datagram(self, data: Buffer) -> None: ...
    def errors(self) -> dict[str, int]: ...
    def stats(self) -> dict[str, int | float | None]:
        """packets, media_bytes, video_frames and audio_frames (PES packets), key_frames, first_dts, last_dts,
        max_dts_step_ms, max_pcr_interval_ms, max_pat_interval_ms, max_pmt_interval_ms."""

@final
class RtmpChecker:
    """Checks what an RTMP publisher sends behind the handshake; with id 0 media must wait for ``publish``."""

    def __new__(cls, message_stream_id: int = 1) -> Self: ...
    @property
    def broken(self) -> bool:
        """The chunk stream cannot be followed: nothing more is taken."""

    @property
    def cut(self) -> bool:
        """The bytes so far end in the middle of a message."""

    def publish(self, message_stream_id: int) -> None:
        """Media may come on this message stream from now on."""

    def feed(self, data: Buffer) -> list[tuple[int, bytes]]:
        """What must be answered, as (type, payload): commands (20, 17) and ping requests (4)."""

    def errors(self) -> dict[str, int]: ...
    def stats(self) -> dict[str, int | None]:
        """messages, media_bytes, video_frames, audio_frames, key_frames, config_changes, metadata, chunk_size,
        first_dts, last_dts, max_dts_step_ms."""
