"""Sinks of byte streams: what all of them do, and MPEG-TS over TCP."""

import socket
from collections.abc import Iterable
from typing import Self, final

from pushcast.sinks import Sink

class StreamSink(Sink):
    """Base: listening TCP sockets, which it takes over, and their connections."""

@final
class TsStreamSink(StreamSink):
    """Receives MPEG-TS over TCP."""

    def __new__(cls, listeners: Iterable[socket.socket], *, max_senders: int = 4096) -> Self: ...
