"""The publishing side of RTMP for benches: a blocking dialogue over pushcast's own client, and a clip as messages."""

from __future__ import annotations

import socket
from dataclasses import dataclass

from bench.clip import Clip, ClipFrame
from pushcast.chunk import write_message
from pushcast.media import Kind, Track
from pushcast.rtmp import amf0
from pushcast.rtmp.client import CHUNK_SIZE, ClientConnection
from pushcast.rtmp.events import (
    Connect,
    Connected,
    Event,
    HandshakeDone,
    Hello,
    Prepare,
    Publish,
    Started,
    StreamCreated,
)

SEND_BUFFER_BYTES = 4 << 20  # a frame is one send, even a large one to a server that is late
STEP_S = 10.0
CSID_AUDIO, CSID_DATA, CSID_VIDEO = 4, 5, 6
AUDIO, VIDEO, DATA = 8, 9, 18
HEADER_BYTES = 12  # of a fmt 0 chunk without extended time stamp
VIDEO_HEAD_BYTES = 5


@dataclass(frozen=True)
class Publishing:
    """A connection that publishes; the socket blocks."""

    socket: socket.socket
    message_stream_id: int


def publish(port: int, app: str, key: str) -> Publishing:
    """Connect to a server on this host and publish.  Raises OSError and EngineError."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.settimeout(STEP_S)
    sock.connect(("127.0.0.1", port))
    connection = ClientConnection()

    def ask(question: Event, wanted: type[Event]) -> Event:
        sock.sendall(connection.send(question))
        while True:
            while (event := connection.next_event()) is not None:
                if isinstance(event, wanted):
                    return event
            data = sock.recv(65536)
            if not data:
                raise ConnectionError(f"the server closed instead of {wanted.__name__}")
            connection.receive_data(data)

    ask(Hello(), HandshakeDone)
    ask(Connect(app, f"rtmp://127.0.0.1:{port}/{app}"), Connected)
    created = ask(Prepare(key), StreamCreated)
    assert isinstance(created, StreamCreated)
    ask(Publish(key, created.message_stream_id), Started)
    sock.settimeout(None)
    return Publishing(sock, created.message_stream_id)


def beginning(clip: Clip, message_stream_id: int) -> bytes:
    """onMetaData and the sequence headers, at time 0."""
    video, audio = clip.tracks
    values = {"videocodecid": 7.0, "width": float(video.width), "audiocodecid": 10.0, "duration": 0.0}
    metadata = amf0.encode("@setDataFrame", "onMetaData", amf0.EcmaArray(values))
    return b"".join(
        write_message(csid, kind, message_stream_id, 0, body, CHUNK_SIZE)
        for csid, kind, body in (
            (CSID_DATA, DATA, metadata),
            (CSID_VIDEO, VIDEO, b"\x17\0\0\0\0" + video.config),
            (CSID_AUDIO, AUDIO, b"\xaf\0" + audio.config),
        )
    )


def message(track: Track, frame: ClipFrame, message_stream_id: int, timestamp_ms: int) -> bytes:
    """A frame of the clip as one message, fmt 0."""
    if track.kind is Kind.AUDIO:
        return write_message(CSID_AUDIO, AUDIO, message_stream_id, timestamp_ms, b"\xaf\1" + frame.data, CHUNK_SIZE)
    composition_ms = (frame.pts - frame.dts) // 90
    head = bytes((0x17 if frame.flags else 0x27, 1)) + composition_ms.to_bytes(3)
    return write_message(CSID_VIDEO, VIDEO, message_stream_id, timestamp_ms, head + frame.data, CHUNK_SIZE)
