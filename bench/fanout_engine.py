"""The engine without its server: one Source fed in real time, one Feed, one Sender thread, N destinations.

The counterpart of raw_udp, raw_tcp and raw_srt: the same frames at the same times, muxed here, sent by the engine's
own threads, and the same report.  Sockets are plain connected ones (RTMP needs no handshake to be sent); SRT links
come from the product's own egress.  Runs as a process of its own, so that CPU time is the engine's alone; the split
by thread is read from the kernel.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import resource
import socket
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.clip import clip_path, read_clip
from pushcast.destination import Destination
from pushcast.egress.srt import SrtProtocol
from pushcast.media import Container, FeedKey
from pushcast.sender import EVENT_RELEASED, Sender
from pushcast.source import Clock, Source
from pushcast.transport import TcpTransport, Transport, UdpTransport

TICK_MS = {"udp": 20, "tcp": 40, "srt": 20}
CONTAINERS = {"udp": Container.MPEGTS, "tcp": Container.RTMP, "srt": Container.MPEGTS}
DATAGRAM_BYTES = 1316
DRAIN_MS = 1000


@dataclass
class Edge:
    """What is read at both edges of the window."""

    at: float
    user_s: float
    system_s: float
    switches: int
    threads_ns: dict[str, int]
    sends: int
    bytes: int
    short_sends: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--protocol", choices=TICK_MS, required=True)
    parser.add_argument("--ports", required=True)
    parser.add_argument("--destinations", type=int, default=100)
    parser.add_argument("--warm-s", type=float, default=1)
    parser.add_argument("--window-s", type=float, default=5)
    parser.add_argument("--tick-ms", type=int, help="default 20, 40 for tcp")
    parser.add_argument("--passphrase", default="")
    options = parser.parse_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    print(json.dumps(measure(options)), flush=True)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Connect, stream, measure the window, let everything drain."""
    protocol, count = options.protocol, options.destinations
    tick_ms = options.tick_ms or TICK_MS[protocol]
    ports = [int(port) for port in options.ports.split(",")]
    clip = read_clip(clip_path())
    source = Source(Clock())
    source.set_tracks(clip.tracks)
    feed = source.feed(FeedKey(CONTAINERS[protocol], tuple(track.id for track in clip.tracks)))
    sender = Sender(**{f"{protocol}_ms": tick_ms})
    thread = threading.Thread(target=sender.run, name="sender")
    with asyncio.Runner() as runner:
        links: list[Any] = []
        if protocol == "srt":
            links = runner.run(_connect_srt(ports, count, clip, options.passphrase))
            transports: list[Transport] = [link.transport for link in links]
        else:
            transports = [_connect(protocol, ports[index % len(ports)]) for index in range(count)]
        destinations = [Destination(feed.ring, feed.muxer, transport) for transport in transports]
        thread.start()
        for destination in destinations:
            sender.attach(destination)
        gc.collect()
        gc.freeze()
        opened, closed, gap_ms = _stream(clip, source, options, destinations)
        losses = _release(sender, destinations)
        totals = [destination.counters() for destination in destinations]
        srt = _srt_figures(transports) if protocol == "srt" else {}
        sender.stop()
        thread.join()
        if links:
            runner.run(_close(links))
    ticks = int(options.window_s * 1000 / tick_ms) * count
    cpu_s = closed.user_s + closed.system_s - opened.user_s - opened.system_s
    sends, sent = closed.sends - opened.sends, closed.bytes - opened.bytes
    return {
        "program": f"engine_{protocol}",
        "destinations": count,
        "tick_ms": tick_ms,
        "window_s": round(closed.at - opened.at, 3),
        "cpu_s": round(cpu_s, 4),
        "user_s": round(closed.user_s - opened.user_s, 4),
        "system_s": round(closed.system_s - opened.system_s, 4),
        "context_switches": closed.switches - opened.switches,
        "sends": sends,
        "bytes": sent,
        "dest_ticks": ticks,
        "us_per_dest_tick": round(cpu_s * 1e6 / ticks, 3),
        "us_per_send": round(cpu_s * 1e6 / max(sends, 1), 3),
        "us_per_datagram": round(cpu_s * 1e6 / (sent / DATAGRAM_BYTES), 3) if protocol != "tcp" and sent else 0.0,
        "longest_gap_ms": gap_ms,
        "latest_slot_ms": round(sender.statistics()["late_us_max"] / 1e3, 2),
        "short_sends": closed.short_sends - opened.short_sends,
        "refused": sum(total["refused"] for total in totals),
        "total_bytes": sum(total["sent_bytes"] for total in totals),
        "jumps": sum(total["jumps"] for total in totals),
        "damaged": sum(total["damaged"] for total in totals),
        "losses": losses,
        "threads_s": {
            name: round((ns - opened.threads_ns.get(name, 0)) / 1e9, 4)
            for name, ns in sorted(closed.threads_ns.items())
        },
        **srt,
    }


def _connect(protocol: str, port: int) -> Transport:
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM)
    made.connect(("127.0.0.1", port))
    made.setblocking(False)
    if protocol == "udp":
        return UdpTransport(made.detach())
    made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return TcpTransport(made.detach())


async def _connect_srt(ports: list[int], count: int, clip: Any, passphrase: str) -> list[Any]:
    protocol = SrtProtocol()
    bytes_per_s = sum(len(frame.data) for frame in clip.frames) * 90000 // clip.lap_ticks
    query = f"?passphrase={passphrase}" if passphrase else ""
    targets = [protocol.parse(f"srt://127.0.0.1:{ports[index % len(ports)]}{query}", "") for index in range(count)]
    return await asyncio.gather(*(protocol.connect(target, bytes_per_s) for target in targets))


async def _close(links: list[Any]) -> None:
    await asyncio.gather(*(link.close() for link in links))


def _stream(
    clip: Any, source: Source, options: argparse.Namespace, destinations: list[Destination]
) -> tuple[Edge, Edge, float]:
    """Push frames at their times until the window is over; read both edges and the longest gap inside."""
    start = time.monotonic()
    edges = [start + options.warm_s, start + options.warm_s + options.window_s]
    read: list[Edge] = []
    for track, dts, pts, flags, data in clip.looped():
        due = start + dts / 90000
        while len(read) < 2 and edges[len(read)] <= due:
            _sleep_until(edges[len(read)])
            read.append(_edge(destinations))
            if len(read) == 1:
                for destination in destinations:
                    destination.reset_gap()
        if len(read) == 2:
            break
        _sleep_until(due)
        source.push(track, dts, pts, flags, data)
    gap_ms = max(destination.counters()["max_gap_ns"] for destination in destinations) / 1e6
    return read[0], read[1], round(gap_ms, 2)


def _sleep_until(due: float) -> None:
    left = due - time.monotonic()
    if left > 0:
        time.sleep(left)


def _edge(destinations: list[Destination]) -> Edge:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    rows = [destination.counters() for destination in destinations]
    return Edge(
        at=time.monotonic(),
        user_s=usage.ru_utime,
        system_s=usage.ru_stime,
        switches=usage.ru_nvcsw + usage.ru_nivcsw,
        threads_ns=_threads_ns(),
        sends=sum(row["sends"] for row in rows),
        bytes=sum(row["sent_bytes"] for row in rows),
        short_sends=sum(row["short_sends"] for row in rows),
    )


def _threads_ns() -> dict[str, int]:
    """CPU time of each thread of this process by name (Python's own, else the kernel's); equal names are added up."""
    times: dict[str, int] = {}
    own = {thread.native_id: thread.name for thread in threading.enumerate()}
    for task in Path("/proc/self/task").iterdir():
        name = own.get(int(task.name)) or (task / "comm").read_text().strip().rstrip("0123456789")
        times[name] = times.get(name, 0) + int((task / "schedstat").read_text().split()[0])
    return times


def _release(sender: Sender, destinations: list[Destination]) -> list[str]:
    """Detach all and wait; what was lost or did not end in order is told."""
    for destination in destinations:
        sender.detach(destination, b"", DRAIN_MS)
    left, losses = set(destinations), []
    deadline = time.monotonic() + 10
    while left and time.monotonic() < deadline:
        for destination, kind, code in sender.events():
            if code:
                losses.append(f"event {kind}, errno {code}")
            if kind == EVENT_RELEASED:
                left.discard(destination)
        time.sleep(0.005)
    if left:
        losses.append(f"{len(left)} destinations were not released within 10 s")
    return losses


def _srt_figures(transports: list[Any]) -> dict[str, int]:
    """Sums over all connections, after waiting until what was given has been acknowledged."""
    deadline = time.monotonic() + 2
    while any(transport.stats().get("send_buffer_packets") for transport in transports) and time.monotonic() < deadline:
        time.sleep(0.02)
    stats = [transport.stats() for transport in transports]
    return {
        "srt_dropped": sum(int(each.get("dropped_packets", 0)) for each in stats),
        "srt_lost": sum(int(each.get("lost_packets", 0)) for each in stats),
        "srt_retransmitted": sum(int(each.get("retransmitted_packets", 0)) for each in stats),
        "srt_broken": sum(not each for each in stats),
        "srt_buffered_ms": max(int(each.get("send_buffer_ms", 0)) for each in stats),
    }


if __name__ == "__main__":
    main()
