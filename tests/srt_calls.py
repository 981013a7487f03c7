"""Callers that connect to a real SRT listener and send to it."""

import asyncio
import random
import socket
from contextlib import asynccontextmanager

from pushcast.egress.srt_rejection import reject_text
from pushcast.srt import SrtCaller
from pushcast.srtconnector import SrtConnector
from pushcast.srttransport import SrtTransport

PACKET = 188


def ts_bytes(packets: int, seed: int) -> bytes:
    noise = random.Random(seed)
    return b"".join(b"\x47" + noise.randbytes(PACKET - 1) for _ in range(packets))


async def call(port: int, **options) -> int | None:
    """Connect a caller and close it; libsrt's reject reason, None when the peer accepted."""
    caller = SrtCaller(options.items())
    caller.bind(socket.AF_INET, "", 0)
    try:
        return await SrtConnector(asyncio.get_running_loop()).connect(caller, socket.AF_INET, ("127.0.0.1", port))
    finally:
        await asyncio.to_thread(caller.close)


@asynccontextmanager
async def connected(port: int, datagram_bytes: int = 1316, **options):
    caller = SrtCaller(options.items())
    caller.bind(socket.AF_INET, "", 0)
    reason = await SrtConnector(asyncio.get_running_loop()).connect(caller, socket.AF_INET, ("127.0.0.1", port))
    assert reason is None, reject_text(reason)
    transport = SrtTransport(caller, datagram_bytes)
    try:
        yield transport
    finally:
        await asyncio.to_thread(transport.close)


async def send_all(transport: SrtTransport, data: bytes) -> None:
    """As the sender does: what was not taken is offered again a little later."""
    async with asyncio.timeout(10):
        at = 0
        while at < len(data):
            at += transport.send(data[at:])
            await asyncio.sleep(0.005)


def free_udp_port() -> socket.socket:
    """A UDP port that is held and never answers."""
    held = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    held.bind(("127.0.0.1", 0))
    return held
