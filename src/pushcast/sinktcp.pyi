"""Sinks of byte streams: MPEG-TS over TCP, and RTMP publishers."""

import socket
from collections.abc import Callable, Iterable
from typing import Protocol, Self, final

from pushcast.sinks import Sink

class _Dialogue(Protocol):
    """Answers the commands of one publisher; an EngineError counts as error ``command`` and closes the connection."""

    def answer(self, type: int, message_stream_id: int, payload: bytes) -> tuple[bytes, bool, str, bool]:
        """Reply, whether media may come now, under which name, and whether the publisher says that it stops."""

class StreamSink(Sink):
    """Base: listening TCP sockets, which it takes over, and their connections."""

@final
class TsStreamSink(StreamSink):
    """Receives MPEG-TS over TCP."""

    def __new__(cls, listeners: Iterable[socket.socket], *, max_senders: int = 4096) -> Self: ...

@final
class RtmpSink(StreamSink):
    """Receives RTMP publishers.  ``new_dialogue()`` makes what answers the commands of one connection."""

    def __init__(
        self, listeners: Iterable[socket.socket], new_dialogue: Callable[[], _Dialogue], *, max_senders: int = 4096
    ) -> None: ...
