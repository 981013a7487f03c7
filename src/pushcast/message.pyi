"""RTMP messages, and who takes those that hold media."""

from typing import final

class MediaSink:
    """Where a ChunkReader leaves audio and video messages."""

    def take(self, message: Message) -> None:
        """One audio or video message, for a sink written in Python; a sink in C overrides ``message`` instead."""

    def receive(self, message: Message) -> None:
        """Hands over a message that the reader returned before it knew the sink."""

@final
class Message:
    """One RTMP message; repr shows no payload."""

    def __new__(cls, type: int, message_stream_id: int, timestamp_ms: int, payload: bytes) -> Message: ...
    def __hash__(self) -> int: ...
    @property
    def type(self) -> int: ...
    @property
    def message_stream_id(self) -> int: ...
    @property
    def timestamp_ms(self) -> int:
        """Milliseconds, mod 2**32."""

    @property
    def payload(self) -> bytes: ...
