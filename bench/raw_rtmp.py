"""The floor of RTMP, on connections that publish: pushcast's own dialogue with each receiver, then raw_tcp sends.

A receiver that has spoken acknowledges otherwise than one that only listens (Linux delays the acknowledgements of who
takes part in a dialogue), which costs who sends to it: the floor has the same receivers as everybody.  This process
becomes raw_tcp, so nothing of the dialogue is left in what is measured.

    python -m bench.raw_rtmp PROGRAM --ports N,... --destinations N ...      the rest is for raw_tcp
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource

from pushcast.egress.rtmp import RtmpProtocol

# Above what Python has open itself.
FIRST_FD = 4096
BYTES_PER_S = 330_000
AT_ONCE = 32


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program")
    parser.add_argument("--ports", required=True)
    parser.add_argument("--destinations", type=int, required=True)
    options, others = parser.parse_known_args()
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    ports = options.ports.split(",")
    asyncio.run(_publish([ports[number % len(ports)] for number in range(options.destinations)]))
    arguments = ["--first-fd", str(FIRST_FD), "--destinations", str(options.destinations), *others]
    os.execv(options.program, [options.program, *arguments])


async def _publish(ports: list[str]) -> None:
    """Publish to each port, and leave the sockets at FIRST_FD and behind it, open for the program to come."""
    protocol, room = RtmpProtocol(), asyncio.Semaphore(AT_ONCE)

    async def publish(number: int, port: str) -> None:
        async with room:
            target = protocol.parse(f"rtmp://127.0.0.1:{port}/bench", f"stream-{number}")
            link = await protocol.connect(target, BYTES_PER_S)
        os.dup2(link.fd, FIRST_FD + number, inheritable=True)

    await asyncio.gather(*(publish(number, port) for number, port in enumerate(ports)))


if __name__ == "__main__":
    main()
