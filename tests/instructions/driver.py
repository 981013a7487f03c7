"""Takes every counted path in turn; runs under callgrind.  Prints how many units each was, as JSON.

The stream is made of whole laps: 8 s of 25 pictures and 46.9 AAC frames a second, 2.5 Mbit/s, so that what comes round
again is the same work.  Warm laps and turns come first: rings have grown, cursors have joined, and buffers are there.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable

import counted
from streams import ASC, AUDIO, AVCC, VIDEO, av_frames

from pushcast.chunk import ChunkReader, write_message
from pushcast.destination import Destination
from pushcast.flv import RtmpMuxer
from pushcast.flvinput import FlvInput
from pushcast.mpegts import TsMuxer
from pushcast.muxer import Muxer
from pushcast.ring import Ring
from pushcast.source import Clock, Source
from pushcast.transport import TcpTransport, Transport, UdpTransport

FrameRow = tuple[int, int, int, int, bytes]  # track, dts, pts, flags, data
TRACKS = (VIDEO, AUDIO)
LAP_TICKS = 8 * 90000
FRAMES = [(f.track, f.dts, f.pts, f.flags, f.data) for f in av_frames(8, picture_bytes=11000, reorder=2)]
# Pictures larger than what a reader keeps a buffer for.
LARGE_TICKS = 8 * 3600
LARGE_FRAMES = [
    (f.track, f.dts, f.pts, f.flags, f.data)
    for f in av_frames(0.32, picture_bytes=400000, gop=1)
    if f.track == VIDEO.id
]
WARM_LAPS, LAPS = 1, 2
WARM_TURNS, TURNS = 200, 400
MUXERS: dict[str, Callable[..., Muxer]] = {"mpegts": TsMuxer, "rtmp": RtmpMuxer}


def media() -> counted.Media:
    return counted.Media(FRAMES, LAP_TICKS)


def write_laps(muxer: Muxer, frames: list[FrameRow], lap_ticks: int, laps: int) -> None:
    for start in range(0, laps * lap_ticks, lap_ticks):
        for track, dts, pts, flags, data in frames:
            muxer.write_frame(track, start + dts, start + pts, flags, data)


def muxing(name: str, container: str) -> int:
    """Units: TS packets (lead-in material too: it is written), or messages; Muxer.write for each frame."""
    counted.muxing(name.encode(), MUXERS[container](Ring(), TRACKS), media(), WARM_LAPS, LAPS)
    if container == "rtmp":
        return LAPS * len(FRAMES)
    kept = MUXERS[container](Ring(start_bytes=64 << 20), TRACKS)
    write_laps(kept, FRAMES, LAP_TICKS, WARM_LAPS + LAPS)
    return sum(sum(kept.ring.span(seq)[1:3]) // 188 for seq in range(WARM_LAPS * len(FRAMES), kept.ring.head))


def turns(name: str, container: str, interval_ms: int) -> int:
    """Units: turns of a destination that keeps up; cursor_slot and the transport's send."""
    near, far = connected(container)
    transport: Transport = UdpTransport(near.detach()) if container == "mpegts" else TcpTransport(near.detach())
    muxer = MUXERS[container](Ring(), TRACKS)
    destination = Destination(muxer.ring, muxer, transport)
    counted.turns(name.encode(), destination, muxer, media(), far.fileno(), interval_ms, WARM_TURNS, TURNS)
    sends = destination.counters()["sends"]
    assert sends > (WARM_TURNS + TURNS) / 2, sends  # some turns find less than a datagram
    assert not isinstance(transport, UdpTransport) or transport.gso, "the kernel does not segment"
    assert transport.stats()["short_sends"] == 0, transport.stats()
    return TURNS


def connected(container: str) -> tuple[socket.socket, socket.socket]:
    """The non-blocking near end, and the far end, of a connection over the loopback."""
    kind = socket.SOCK_DGRAM if container == "mpegts" else socket.SOCK_STREAM
    far, near = socket.socket(socket.AF_INET, kind), socket.socket(socket.AF_INET, kind)
    # A busy machine may deliver late: several turns must fit, so that every send takes all.
    far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
    far.bind(("127.0.0.1", 0))
    if kind == socket.SOCK_STREAM:
        far.listen()
    near.connect(far.getsockname())
    near.setblocking(False)
    return near, far if kind == socket.SOCK_DGRAM else far.accept()[0]


def reading(name: str, chunk_size: int, frames: list[FrameRow] = FRAMES, lap_ticks: int = LAP_TICKS) -> int:
    """Units: messages, one in each read; ChunkReader.receive from Python, FlvInput, Source and its frame ring."""
    ring = Ring(start_bytes=64 << 20)
    write_laps(RtmpMuxer(ring, TRACKS, chunk_size), frames, lap_ticks, 2)
    # The second lap: its first messages follow a lap's last ones, as they do when it comes round.
    pieces = [ring.read(seq) for seq in range(ring.head - len(frames), ring.head)]
    reader, source = ChunkReader(), Source(Clock())
    reader.media = sink = FlvInput(source)
    reader.receive(write_message(2, 1, 0, 0, chunk_size.to_bytes(4, "big"), 128))
    reader.receive(write_message(6, 9, 1, 0, b"\x17\0\0\0\0" + AVCC, chunk_size))
    reader.receive(write_message(4, 8, 1, 0, b"\xaf\0" + ASC, chunk_size))
    sink.freeze()
    counted.reading(name.encode(), reader.receive, pieces, WARM_LAPS, LAPS)
    assert source.frame_count == (WARM_LAPS + LAPS) * len(frames)
    return LAPS * len(frames)


if __name__ == "__main__":
    assert counted.possible(), "not under valgrind"
    units = {
        "ts_packet": muxing("ts_packet", "mpegts"),
        "rtmp_message": muxing("rtmp_message", "rtmp"),
        "udp_turn": turns("udp_turn", "mpegts", 20),
        "tcp_turn": turns("tcp_turn", "rtmp", 40),
        "ingest_message": reading("ingest_message", 4096),
        "ingest_message_128": reading("ingest_message_128", 128),
        "ingest_large_message": reading("ingest_large_message", 4096, LARGE_FRAMES, LARGE_TICKS),
    }
    print(json.dumps(units))
