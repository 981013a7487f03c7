"""Hosts in network namespaces, and what is between them.

This process moves into a namespace of its own, so nothing of it shows on the machine, and needs no cleaning up: a host
is a process that holds a namespace, a device ends with its namespace, and all of them end when this process does.

Nothing here stands between two sockets: what passes are IP packets, and TCP, TLS and SRT speak from end to end.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from bench import build
from bench.served import Child, child

CLONE_NEWNET = 0x40000000
# tc's queue before a packet is dropped, and what may leave at once: a home router's, not a bloated one.
QUEUE_MS, BURST_BYTES = 200, 6000
MTU_BYTES = 1500
TABLE = "inet trouble"
DEVICE = "far"  # what the router's devices to the receivers begin with


def leave_the_machine() -> None:
    """Move this process, and all that it starts, into a network namespace of its own with nothing but a loopback.

    Before any thread that speaks over a network.  :raises PermissionError: not root.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET):
        raise PermissionError(f"a network namespace: {os.strerror(ctypes.get_errno())}; this bench needs root")
    _run("ip", "link", "set", "lo", "up")


@dataclass(frozen=True)
class Host:
    """A namespace, by the process that holds it."""

    holder: Child

    @property
    def namespace(self) -> str:
        return f"/proc/{self.holder.pid}/ns/net"

    @property
    def inside(self) -> tuple[str, ...]:
        """What a command begins with that is to run there."""
        return ("nsenter", f"--net={self.namespace}", "--")

    def run(self, *command: str, stdin: str | None = None) -> None:
        _run(*self.inside, *command, stdin=stdin)

    def __call__(self, words: str) -> None:
        """Run a command of plain words there."""
        self.run(*words.split())


@contextmanager
def host() -> Iterator[Host]:
    with child("unshare", "--net", "cat") as holder:
        # Only cat answers, and it runs in the new namespace.
        holder.say('{"event": "there"}')
        holder.hear("there")
        made = Host(holder)
        made("ip link set lo up")
        yield made


@dataclass(frozen=True, slots=True)
class Passage:
    """How packets pass the relay of a path, either way; ``held``: of a thousand packets, those that are overtaken, and
    for how long they are held back.
    """

    delay_ms: float = 20.0
    jitter_ms: float = 0.0
    held_permille: int = 0
    held_ms: float = 0.0
    cut: bool = False

    @property
    def line(self) -> str:
        """As relay_ip.c reads it."""
        delay_us, jitter_us, held_us = (round(ms * 1000) for ms in (self.delay_ms, self.jitter_ms, self.held_ms))
        return f"{delay_us} {jitter_us} {self.held_permille} {held_us} {self.cut:d}"


GOOD = Passage()


class Path:
    """From here to a receiver's host, which can be replaced."""

    def __init__(self, number: int, router: Host, relay: Child, running: ExitStack) -> None:
        self.address = f"10.82.{number}.2"
        self.device = f"{DEVICE}{number}"
        self._gateway = f"10.82.{number}.1"
        self._router = router
        self._relay = relay
        self._has_host = False
        self._host = ExitStack()
        running.push(self._host)

    def pass_as(self, passage: Passage) -> None:
        """From now on; returns when it is so."""
        self._relay.say(passage.line)
        self._relay.hear("set")

    def new_host(self) -> Host:
        """A host that knows nothing, in the place of the one that was there and is gone with all that ran on it."""
        if self._has_host:
            # The kernel takes a namespace down in its own time; its device must be gone before the next one comes.
            self._router(f"ip link delete {self.device}")
            self._host.close()
        far = self._host.enter_context(host())
        self._has_host = True
        self._router(f"ip link add {self.device} type veth peer name eth0 netns {far.holder.pid}")
        self._router(f"ip address add {self._gateway}/24 dev {self.device}")
        self._router(f"ip link set {self.device} up")
        far(f"ip address add {self.address}/24 dev eth0")
        far("ip link set eth0 up")
        far(f"ip route add default via {self._gateway}")
        return far


class Network:
    """A router, and a path for each name behind it."""

    def __init__(self, router: Host, paths: dict[str, Path]) -> None:
        self.router = router
        self.paths = paths

    def pass_as(self, passage: Passage) -> None:
        for path in self.paths.values():
            path.pass_as(passage)

    def rules(self, rules: Sequence[str]) -> None:
        """What the router does to packets on their way to the receivers, in nftables' words; nothing: it forwards."""
        there = "".join(f'oifname "{DEVICE}*" {rule}\n' for rule in rules)
        chain = f"chain forward {{ type filter hook forward priority 0\n{there}}}\n" if rules else ""
        self.router.run("nft", "-f", "-", stdin=f"table {TABLE}\ndelete table {TABLE}\ntable {TABLE} {{\n{chain}}}\n")

    def limit(self, bytes_per_s: float) -> None:
        """Let no more than this leave the router on each path, Ethernet's headers included."""
        for path in self.paths.values():
            rate = f"rate {round(8 * bytes_per_s)}bit burst {BURST_BYTES} latency {QUEUE_MS}ms"
            self.router(f"tc qdisc add dev {path.device} root tbf {rate}")

    def unlimit(self) -> None:
        for path in self.paths.values():
            self.router(f"tc qdisc delete dev {path.device} root")


@contextmanager
def network(names: Sequence[str]) -> Iterator[Network]:
    """Good paths to hosts that are not there yet."""
    with ExitStack() as running:
        router = running.enter_context(host())
        router("sysctl -qw net.ipv4.ip_forward=1")
        paths = {}
        for number, name in enumerate(names, 1):
            relay = running.enter_context(
                child(str(build.program("relay_ip")), f"path{number}", router.namespace, f"near{number}")
            )
            relay.hear("relaying")
            _run("ip", "address", "add", f"10.81.{number}.1", "peer", f"10.81.{number}.2", "dev", f"path{number}")
            _run("ip", "link", "set", f"path{number}", "up", "mtu", str(MTU_BYTES))
            _run("ip", "route", "add", f"10.82.{number}.0/24", "via", f"10.81.{number}.2")
            router(f"ip address add 10.81.{number}.2 peer 10.81.{number}.1 dev near{number}")
            router(f"ip link set near{number} up")
            paths[name] = Path(number, router, relay, running)
            paths[name].pass_as(GOOD)
        yield Network(router, paths)


def _run(*command: str, stdin: str | None = None) -> None:
    """RuntimeError says what a command that failed said."""
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip() or done.returncode}")
