"""The RTMP sink: real publishers are answered and checked, hostile ones are counted and closed."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from typing import Any

import build_rtmp as rtmp
import pytest
from sink_senders import HELLO, HOST, closing_sinks, connect, is_closed, read_exactly, until

from pushcast.errors import RemoteProtocolError
from pushcast.sink.rtmp import Dialogue
from pushcast.sink.tcp import open_listeners
from pushcast.sinkrtmp import RtmpSink
from pushcast.sinks import Sink


@pytest.fixture
def made() -> Iterator[Callable[[Sink], Any]]:
    with closing_sinks() as keep:
        yield keep


@pytest.fixture
def rtmp_sink(made) -> tuple[RtmpSink, int]:
    listeners = open_listeners(HOST, [0])
    port = listeners[0].getsockname()[1]
    return made(RtmpSink(listeners, Dialogue)), port


CONNECT = rtmp.command("connect", 1.0, None, app="theatre")
CREATE = rtmp.command("createStream", 2.0, None)
PUBLISH = rtmp.command("publish", 3.0, None, "scene?token=x", "live", msid=1)


@pytest.mark.parametrize("step", [100_000, 1])
def test_rtmp_publisher_is_answered_acknowledged_and_checked(rtmp_sink, step):
    sink, port = rtmp_sink
    with connect(port) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

        def send(data: bytes) -> None:
            sock.setblocking(True)
            for at in range(0, len(data), step):
                sock.sendall(data[at : at + step])
                if step == 1:
                    sink.run(0.0)

        send(HELLO)
        answer = read_exactly(sock, sink, 3073)
        assert answer[0] == 3
        assert answer[1537:] == HELLO[1:]
        send(answer[1:1537] + CONNECT + CREATE + PUBLISH)
        until(sink, lambda: bool(sink.rows()[0]["stream"]))
        send(b"".join(rtmp.prologue(msid=1)) + rtmp.chunks(2, rtmp.WINDOW, 0, (3000).to_bytes(4), msid=0))
        send(rtmp.chunks(2, rtmp.CONTROL, 0, b"\0\6wxyz", msid=0))
        send(b"".join(rtmp.frames(40, msid=1)))
        send(rtmp.command("deleteStream", 5.0, None, 1.0, size=1000))
        until(sink, lambda: sink.rows()[0]["ended"])
        sock.setblocking(False)
        replies = sock.recv(1 << 20)
    assert b"NetConnection.Connect.Success" in replies
    assert b"NetStream.Publish.Start" in replies
    assert rtmp.chunks(2, rtmp.CONTROL, 0, b"\0\7wxyz", msid=0) in replies
    assert rtmp.basic(0, 2) + bytes(5) + b"\x04\x03\0\0\0\0" in replies  # acknowledgement
    until(sink, lambda: sink.totals()[1] == 1)
    (row,) = sink.rows()
    assert row["errors"] == {}
    assert row["stream"] == "theatre/scene?token=x"
    assert (row["video_frames"], row["audio_frames"], row["metadata"]) == (40, 40, 1)
    assert (row["ended"], row["cut"], row["left"]) == (True, False, True)


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "handshake"),
        (HELLO + bytes(1536) + b"\xc3", "chunk_header"),
        (HELLO + bytes(1536) + CREATE, "command"),
        (HELLO + bytes(1536) + CONNECT + CONNECT, "command"),
        (HELLO + bytes(1536) + CONNECT + PUBLISH, "command"),
        (HELLO + bytes(1536) + rtmp.chunks(3, rtmp.COMMAND, 0, b"\x03\0\x03", msid=0), "command"),
    ],
)
def test_what_is_not_a_publisher_is_counted_and_closed(rtmp_sink, data, kind):
    sink, port = rtmp_sink
    with connect(port) as bad:
        bad.sendall(data)
        until(sink, lambda: is_closed(bad))
    until(sink, lambda: sink.totals()[1] == 1)
    assert sink.rows()[0]["errors"] == {kind: 1}


def test_a_connection_that_never_publishes_is_counted(rtmp_sink):
    sink, port = rtmp_sink
    with connect(port) as bad:
        bad.sendall(HELLO + bytes(1536) + CONNECT)
        read_exactly(bad, sink, 3073)
    until(sink, lambda: sink.totals()[1] == 1)
    assert sink.rows()[0]["errors"] == {"no_publish": 1}


def test_a_peer_that_never_reads_its_answers_is_closed(rtmp_sink):
    sink, port = rtmp_sink
    ping = rtmp.chunks(2, rtmp.CONTROL, 0, b"\0\6abcd", msid=0)
    with connect(port) as bad:
        bad.sendall(HELLO + bytes(1536) + CONNECT + CREATE + PUBLISH)
        bad.setblocking(False)
        flood = ping * 4000

        def closed() -> bool:
            try:
                bad.send(flood)
            except BlockingIOError:
                return False
            except (BrokenPipeError, ConnectionResetError):
                return True
            return False

        until(sink, closed)
    until(sink, lambda: sink.totals()[1] == 1)
    assert sink.rows()[0]["errors"]["not_reading"] == 1


def test_a_fault_of_the_dialogue_comes_out_of_run(made):
    class Broken:
        def answer(self, type: int, message_stream_id: int, payload: bytes) -> tuple[bytes, bool, str, bool]:
            raise ZeroDivisionError

    listeners = open_listeners(HOST, [0])
    sink = made(RtmpSink(listeners, Broken))
    with connect(listeners[0].getsockname()[1]) as sock:
        sock.sendall(HELLO + bytes(1536) + CONNECT)
        with pytest.raises(ZeroDivisionError):
            until(sink, lambda: False)


def test_dialogue_refuses_a_second_publish():
    dialogue = Dialogue()
    dialogue.answer(20, 0, b"\x02\0\7connect\0?\xf0" + bytes(6) + b"\x03\0\3app\x02\0\1a\0\0\x09")
    dialogue.answer(20, 0, b"\x02\0\x0ccreateStream\0@" + bytes(7) + b"\x05")
    publish = b"\x02\0\7publish\0@\x08" + bytes(6) + b"\x05\x02\0\1k"
    assert dialogue.answer(20, 1, publish).stream == "a/k"
    with pytest.raises(RemoteProtocolError):
        dialogue.answer(20, 1, publish)
