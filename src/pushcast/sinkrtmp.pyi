"""Sink of RTMP publishers."""

import socket
from collections.abc import Callable, Iterable
from typing import Protocol, final

from pushcast.sinktcp import StreamSink

class _Dialogue(Protocol):
    """Answers the commands of one publisher; an EngineError counts as error ``command`` and closes the connection."""

    def answer(self, type: int, message_stream_id: int, payload: bytes) -> tuple[bytes, bool, str, bool]:
        """Reply, whether media may come now, under which name, and whether the publisher says that it stops."""

@final
class RtmpSink(StreamSink):
    """Receives RTMP publishers.  ``new_dialogue()`` makes what answers the commands of one connection."""

    def __init__(
        self, listeners: Iterable[socket.socket], new_dialogue: Callable[[], _Dialogue], *, max_senders: int = 4096
    ) -> None: ...
