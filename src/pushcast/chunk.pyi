"""RTMP chunk streams: messages out of bytes and bytes out of messages (RTMP 1.0, 5.3)."""

from typing import final

from typing_extensions import Buffer

from pushcast.message import MediaSink, Message

@final
class ChunkReader:
    """Puts the messages of one direction of one connection together."""

    media: MediaSink | None
    max_message_bytes: int
    max_partial_bytes: int
    def __new__(
        cls, max_message_bytes: int = 16777215, max_partial_bytes: int = 33554432, max_csids: int = 64
    ) -> ChunkReader: ...
    @property
    def partial_bytes(self) -> int:
        """Memory allocated for messages under way."""

    @property
    def bytes_received(self) -> int: ...
    @property
    def chunk_size(self) -> int:
        """Of the peer's direction, in bytes."""

    def receive(self, data: Buffer) -> list[Message]:
        """Messages that these bytes complete; raises RemoteProtocolError, and whatever the sink raises."""

def write_message(
    csid: int, type: int, message_stream_id: int, timestamp_ms: int, payload: Buffer, chunk_size: int
) -> bytes:
    """One message as chunks: fmt 0, then fmt 3 for every further chunk_size bytes of payload."""
