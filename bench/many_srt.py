"""Hundreds of SRT publishers in one process: a transport stream is muxed once and sent to all, each its own stream id.

Time goes in slots of 4 ms; in each a publisher's datagrams that are due leave in one send. Publishers begin one slot
after the other, so that neither their frames nor their keyframes fall together.

    python -m bench.many_srt --count N --seconds S --port P [P ...]       streams app/s-0 to app/s-(N-1)

One port: all call it; as many as publishers: each calls its own. Says {"event":"publishing"} when all are connected and
{"event":"summary"} at the end: how late a slot was at worst, and packets that libsrt dropped.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import time

from bench.clip import clip_path, muxed, read_clip
from pushcast.srt import SrtCaller
from pushcast.srtconnector import SrtConnector
from pushcast.srttransport import SrtTransport

SLOT_MS = 4
DATAGRAM_BYTES = 1316


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--port", type=int, nargs="+", required=True)
    parser.add_argument("--kbit-per-s", type=int, default=2500)
    options = parser.parse_args()
    ports = options.port * options.count if len(options.port) == 1 else options.port
    slots = _slots(options.kbit_per_s, options.seconds)
    transports = asyncio.run(_connect(ports[: options.count]))
    print(json.dumps({"event": "publishing"}), flush=True)
    late_ns, short = _play(slots, transports)
    time.sleep(0.5)  # what is on its way
    print(json.dumps({"event": "summary", "late_max_ms": late_ns / 1e6, "sends_in_part": short}), flush=True)
    os._exit(0)  # a hundred closes, one after the other, would take a while


async def _connect(ports: list[int]) -> list[SrtTransport]:
    connector = SrtConnector(asyncio.get_running_loop())
    found = []
    local = 0
    for number, port in enumerate(ports):
        caller = SrtCaller((("streamid", f"app/s-{number}"),))
        local = caller.bind(socket.AF_INET, "127.0.0.1", local)
        refused = await connector.connect(caller, socket.AF_INET, ("127.0.0.1", port))
        assert refused is None, f"port {port} refused: {refused}"
        found.append(SrtTransport(caller))
    return found


def _slots(kbit_per_s: int, seconds: float) -> list[bytes]:
    """What leaves in each slot, whole datagrams."""
    found = [b""] * (int(seconds * 1000) // SLOT_MS + 1)
    held, slot = b"", 0
    for at_us, chunk in muxed(read_clip(clip_path(kbit_per_s)), "mpegts", seconds):
        held += chunk
        whole = len(held) // DATAGRAM_BYTES * DATAGRAM_BYTES
        # Where a lap ends, sound and picture of the next one may be a little earlier; packets keep their order.
        slot = max(slot, min(at_us // 1000 // SLOT_MS, len(found) - 1))
        found[slot] += held[:whole]
        held = held[whole:]
    return found


def _play(slots: list[bytes], transports: list[SrtTransport]) -> tuple[int, int]:
    """Publish to the end; (latest slot in ns, sends that were not taken whole)."""
    late_ns = short = 0
    start_ns = time.monotonic_ns()
    for slot in range(len(slots) + len(transports)):
        due_ns = start_ns + slot * SLOT_MS * 1_000_000
        now_ns = time.monotonic_ns()
        if now_ns < due_ns:
            time.sleep((due_ns - now_ns) / 1e9)
        else:
            late_ns = max(late_ns, now_ns - due_ns)
        for number, transport in enumerate(transports):
            own = slot - number
            if 0 <= own < len(slots) and slots[own]:
                short += transport.send(slots[own]) != len(slots[own])
    return late_ns, short


if __name__ == "__main__":
    main()
