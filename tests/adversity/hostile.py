"""Publishers that mean no good: random bytes, handshakes that stop half way, connections fed a byte at a time."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass

HANDSHAKE_BYTES = 1 + 1536 + 1536  # C0, C1 and C2
DRIP_S = 0.05


@dataclass
class Met:
    """How the connections fared: ``closed`` by the server before the attack's end, ``open`` at its end."""

    closed: int = 0
    open: int = 0


async def attack(port: int, seconds: float, *, random_ones: int, half: int, drips: int) -> Met:
    """So many connections of each kind at once, for so long."""
    chance = random.Random(27)
    met = Met()

    def noise(size: int) -> bytes:
        return chance.randbytes(size)

    kinds = [noise(chance.randrange(1, 20_000)) for _ in range(random_ones)]
    kinds += [b"\x03" + noise(HANDSHAKE_BYTES - 1) + noise(5000) for _ in range(random_ones)]
    kinds += [b"\x03" + noise(700) for _ in range(half)]
    attackers = [_send(port, data, seconds, met) for data in kinds]
    attackers += [_drip(port, b"\x03" + noise(1536), seconds, met) for _ in range(drips)]
    await asyncio.gather(*attackers)
    return met


async def _send(port: int, data: bytes, seconds: float, met: Met) -> None:
    """All at once, then silence."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    await _leave(reader, writer, seconds, met)


async def _drip(port: int, data: bytes, seconds: float, met: Met) -> None:
    """A byte at a time."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    for at in range(len(data)):
        if loop.time() > end or reader.at_eof():
            break
        writer.write(data[at : at + 1])
        await asyncio.sleep(DRIP_S)
    await _leave(reader, writer, max(0.0, end - loop.time()), met)


async def _leave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float, met: Met) -> None:
    try:
        async with asyncio.timeout(seconds):
            while await reader.read(4096):
                pass
        met.closed += 1
    except TimeoutError:
        met.open += 1
    except ConnectionError:
        met.closed += 1
    writer.transport.abort()
