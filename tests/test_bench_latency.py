"""The latency bench: a stamp that a publisher wrote is found by every receiver, and counted once."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from live import IDR, SLICE, TRACKS
from serving import until

from pushcast.mpegts import TsMuxer
from pushcast.ring import Ring

ROOT = Path(__file__).resolve().parents[1]
sys.path.append(str(ROOT))

from bench import build, stamp  # noqa: E402
from bench.clip import Clip, ClipFrame, write_trace  # noqa: E402
from bench.publisher import beginning, message, publish  # noqa: E402
from bench.served import receiving  # noqa: E402

KEY, DELTA = ((len(unit) - 4).to_bytes(4) + unit[4:] + bytes(60) for unit in (IDR, SLICE))
STAMPS = [0x1234_5678_9ABC_DEF0, 7]


def stamped(unit: bytes, sent_ns: int) -> bytes:
    whole = stamp.with_stamp(unit)
    return whole[: stamp.DIGITS_AT] + stamp.digits(sent_ns) + whole[stamp.DIGITS_AT + stamp.DIGITS :]


def transport_stream() -> bytes:
    """A keyframe and another picture, stamped, with sound between them."""
    ring = Ring()
    muxer = TsMuxer(ring, TRACKS)
    muxer.write_frame(7, 0, 0, 1, stamped(KEY, STAMPS[0]))
    muxer.write_frame(9, 1800, 1800, 1, bytes(80))
    muxer.write_frame(7, 3600, 3600, 0, stamped(DELTA, STAMPS[1]))
    return b"".join(ring.read(number) for number in range(ring.head))


def kept(path: Path) -> list[int]:
    rows = stamp.read_kept(path)
    assert all(rows["arrived_ns"] <= time.monotonic_ns())
    return [int(sent) for sent in rows["sent_ns"]]


def test_a_stamp_lies_whole_in_the_first_packet_of_its_picture() -> None:
    stream = transport_stream()
    packets = [stream[at : at + 188] for at in range(0, len(stream), 188)]
    found = [packet for packet in packets if stamp.NAME in packet]
    assert len(found) == 2
    for packet, sent_ns in zip(found, STAMPS, strict=True):
        assert packet[1] & 0x40
        assert stamp.NAME + stamp.digits(sent_ns) in packet


def test_stamps_are_found_in_datagrams(tmp_path: Path) -> None:
    stream = transport_stream()
    with receiving("stamp_udp", str(tmp_path / "kept")) as (running, ports):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for at in range(0, len(stream), 1316):
                sender.sendto(stream[at : at + 1316], ("127.0.0.1", ports[0]))
        summary = running.stop()
    assert sorted(kept(tmp_path / "kept")) == sorted(STAMPS)
    assert summary["bytes"] == len(stream)


def test_stamps_are_found_in_srt(tmp_path: Path) -> None:
    stream = transport_stream()
    stream += stream[: 188 * 7] * 3  # whole datagrams, and the same stamp again
    write_trace(tmp_path / "trace", [(0, stream[: len(stream) - len(stream) % 1316]), (400_000, bytes(1316))])
    with receiving("stamp_srt", str(tmp_path / "kept")) as (running, ports):
        subprocess.run(
            [
                *(str(build.program("raw_srt")), "--trace", str(tmp_path / "trace"), "--ports", str(ports[0])),
                *("--destinations", "2", "--warm-s", "0", "--window-s", "0.3"),
            ],
            check=True,
            stdout=subprocess.DEVNULL,
            timeout=20,
        )
        summary = running.stop()
    assert sorted(kept(tmp_path / "kept")) == sorted(STAMPS * 2)
    assert summary["senders"] == 2


def test_libsrts_own_relay_gives_each_datagram_to_every_caller(tmp_path: Path) -> None:
    stream = transport_stream()
    with (
        receiving("stamp_srt", str(tmp_path / "kept")) as (running, ports),
        receiving("relay_srt", "3", ",".join(map(str, ports))) as (relay, into),
    ):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for at in range(0, len(stream), 1316):
                sender.sendto(stream[at : at + 1316], ("127.0.0.1", into[0]))
        assert relay.stop()["refused"] == 0
        summary = running.stop()
    assert sorted(kept(tmp_path / "kept")) == sorted(STAMPS * 3)
    assert summary["senders"] == 3


@pytest.mark.parametrize("cut", [0, 1, 30, 47, 60])
def test_stamps_are_found_in_rtmp_wherever_a_read_ends(cut: int, tmp_path: Path) -> None:
    with receiving("stamp_rtmp", str(tmp_path / "kept")) as (running, ports):
        publishing = publish(ports[0], "app", "key")
        with publishing.socket as connection:
            connection.sendall(beginning(Clip(TRACKS, (), 0), publishing.message_stream_id))
            for sent_ns, unit in zip(STAMPS, (KEY, DELTA), strict=True):
                whole = message(
                    TRACKS[0], ClipFrame(7, 0, 0, 1, stamped(unit, sent_ns)), publishing.message_stream_id, 0
                )
                connection.sendall(whole[:cut])
                until_read(connection)
                connection.sendall(whole[cut:])
                until_read(connection)
        running.stop()
    assert sorted(kept(tmp_path / "kept")) == sorted(STAMPS)


def until_read(connection: socket.socket) -> None:
    """Wait until the peer has read all that was sent: its next read begins behind it."""
    ends = [f"{port:04X}" for port in (connection.getpeername()[1], connection.getsockname()[1])]

    def all_read() -> bool:
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        queues = [row[4] for row in rows if [row[1][-4:], row[2][-4:]] in (ends, ends[::-1])]
        return queues == ["00000000:00000000"] * 2

    until("all is read", all_read)


def test_latencies_count_what_came_too_late_or_never_and_what_came_twice_once(tmp_path: Path) -> None:
    rows = [(100, 1_100, 3), (100, 1_300, 3), (100, 2_100, 4), (200, 9_999, 3), (50, 60, 3)]
    np.array([(*row, 0) for row in rows], "<u8,<u8,<u4,<u4").tofile(tmp_path / "kept")
    figures = stamp.latencies(
        stamp.read_kept(tmp_path / "kept"), np.array([50, 100, 200], "<u8"), (100, 300, 9_000), destinations=2
    )
    assert (figures["count"], figures["missing"], figures["destinations_seen"]) == (2, 2, 2)
    assert figures["percentiles_ms"][0] == pytest.approx(0.001)
    assert figures["percentiles_ms"][-1] == pytest.approx(0.002)
