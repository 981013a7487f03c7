"""Numbered datagrams over a path of bench.reliability.network, to a receiver that sends each of them back.

Run in a user namespace in which we may make network namespaces; prints what became of the datagrams as JSON.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))

from bench.reliability.network import Network, Passage, leave_the_machine, network
from bench.served import child

PORT = 4007
ECHO = f"""
import socket
receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
receiver.bind(("0.0.0.0", {PORT}))
print('{{"event": "there"}}', flush=True)
while True:
    receiver.sendto(*receiver.recvfrom(2000))
"""
EVERY_S, QUIET_S = 0.003, 0.25
SENT = 60


def sent(address: str, count: int = SENT) -> dict[str, object]:
    """Until nothing came for a while: the numbers in the order of their return, round trips in ms, refusals."""
    numbers: list[int] = []
    took_ms: list[float] = []
    refused = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.connect((address, PORT))
        left, due_s, quiet_s = list(range(count)), time.monotonic(), time.monotonic() + QUIET_S
        at_s: dict[int, float] = {}
        while left or time.monotonic() < quiet_s:
            try:
                if left and time.monotonic() >= due_s:
                    number = left.pop(0)
                    at_s[number], due_s = time.monotonic(), due_s + EVERY_S
                    quiet_s = time.monotonic() + QUIET_S
                    sender.send(str(number).encode())
                while select.select([sender], [], [], 0.001)[0]:
                    number = int(sender.recv(100))
                    numbers.append(number)
                    took_ms.append(round(1000 * (time.monotonic() - at_s[number]), 2))
            except ConnectionRefusedError:
                refused += 1
    return {"numbers": numbers, "took_ms": took_ms, "refused": refused}


def troubles(made: Network, address: str) -> dict[str, dict[str, object]]:
    found = {"good": sent(address)}
    made.pass_as(Passage(delay_ms=35, jitter_ms=15))
    found["late"] = sent(address)
    made.pass_as(Passage(delay_ms=5, held_permille=300, held_ms=40))
    found["overtaken"] = sent(address)
    made.pass_as(Passage(cut=True))
    found["cut"] = sent(address)
    made.pass_as(Passage(delay_ms=5))
    found["healed"] = sent(address)
    made.rules(["numgen random mod 100 < 50 drop"])
    found["lossy"] = sent(address)
    made.rules(["ip protocol udp reject with icmp port-unreachable"])
    found["refused"] = sent(address)
    made.rules([])
    made.limit(600)
    found["slow"] = sent(address, 300)
    made.unlimit()
    found["healed again"] = sent(address)
    return found


def main() -> None:
    leave_the_machine()
    with network(["one"]) as made:
        made.paths["one"].new_host()
        far = made.paths["one"].new_host()
        with child(*far.inside, sys.executable, "-c", ECHO) as running:
            running.hear("there")
            print(json.dumps(troubles(made, made.paths["one"].address)))


if __name__ == "__main__":
    main()
