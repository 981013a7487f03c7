"""Which SRT callers share a local UDP port.

libsrt gives every UDP port a sending and a receiving thread (its multiplexer): with a port of its own for each of
200 callers the process has 402 threads and needs twice the CPU of 200 callers on one port.  But one sending thread
carries only about 130 000 packets a second, and past that its throughput falls instead of levelling off.  So callers
share a port until it holds MAX_SOCKETS of them or MAX_BYTES_PER_S, then the next port is opened: earlier, at half of
that, while there are cores that would have nothing else to do, and at once when a socket of the port is overloaded.
A socket stays where it was bound.  libsrt lets sockets share a port only when they agree in the options of the UDP
socket; those are the PortKey.

Leases may be returned from the threads that close sockets.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, field

from pushcast.errors import SrtError
from pushcast.srt import SrtCaller

# Half of what one sending thread can carry: joins, retransmissions and other processes need the rest.
MAX_SOCKETS = 250
MAX_BYTES_PER_S = 75_000_000
# libsrt 1.5.1 needs about 2.6 times the CPU for an encrypted packet as for a clear one.
ENCRYPTED_WEIGHT = 2.6
# What a push counts for whose stream's rate is not known yet, as in the second in which reserved pushes start: an even
# share, 2.4 Mbit/s.  More would open ports, each two threads, for what one can carry.
ASSUMED_BYTES_PER_S = MAX_BYTES_PER_S // MAX_SOCKETS


@dataclass(frozen=True)
class PortKey:
    """What sockets on one port agree in; None means libsrt's default.

    libsrt does not ask for ``encrypted``: encrypted handshakes keep the receiving thread of their port busy for
    milliseconds each, and pushes in clear should not have to wait for that.
    """

    family: int
    adapter: str = ""
    device: int | bytes | None = None
    mss: int | bytes | None = None
    ipttl: int | bytes | None = None
    iptos: int | bytes | None = None
    udp_sndbuf: int | bytes | None = None
    udp_rcvbuf: int | bytes | None = None
    encrypted: bool = False


@dataclass(frozen=True, slots=True)
class PortLoad:
    """What one local port carries; ``overloaded``: sockets that have more to send than gets out."""

    sockets: int
    bytes_per_s: int
    overloaded: int


@dataclass(eq=False, slots=True)
class _Port:
    number: int
    leases: set[Lease] = field(default_factory=set)
    bytes_per_s: float = 0.0

    @property
    def overloaded(self) -> int:
        return sum(lease.strained for lease in self.leases)

    def has_room(self, load: float, share: float) -> bool:
        """Whether one more fits into this share of what a port may carry; a first one always does."""
        return not self.leases or (
            len(self.leases) < share * MAX_SOCKETS
            and self.bytes_per_s + load <= share * MAX_BYTES_PER_S
            and not self.overloaded
        )


@dataclass(eq=False, slots=True)
class Lease:
    """One socket's place on a port; give it back after the socket was closed.

    Set ``strained`` while the socket has more to send than gets out.
    """

    ports: Ports
    key: PortKey
    port: _Port
    bytes_per_s: float
    returned: bool = False
    strained: bool = False

    def give_back(self) -> None:
        self.ports.give_back(self)


@dataclass
class Ports:
    """The local UDP ports of all SRT callers of this process."""

    spare_cores: int = field(default_factory=lambda: max(1, len(os.sched_getaffinity(0)) - 1))
    _open: dict[PortKey, list[_Port]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def bind(self, caller: SrtCaller, key: PortKey, bytes_per_s: int) -> Lease:
        """Bind a caller to a port with room, or to a new one; 0 bytes_per_s: not known yet.  Raises SrtError."""
        load = (bytes_per_s or ASSUMED_BYTES_PER_S) * (ENCRYPTED_WEIGHT if key.encrypted else 1.0)
        with self._lock:
            ports = self._open.setdefault(key, [])
            # Beyond the spare cores another thread helps only when one is full.
            share = 0.5 if sum(map(len, self._open.values())) < self.spare_cores else 1.0
            for port in [port for port in ports if port.has_room(load, share)]:
                try:
                    caller.bind(key.family, key.adapter, port.number)
                except SrtError:
                    # libsrt has collected every socket that held this port and somebody else may have it now.
                    ports.remove(port)
                    continue
                return self._lease(key, port, load)
            port = _Port(caller.bind(key.family, key.adapter, 0))
            ports.append(port)
            return self._lease(key, port, load)

    def _lease(self, key: PortKey, port: _Port, load: float) -> Lease:
        lease = Lease(self, key, port, load)
        port.leases.add(lease)
        port.bytes_per_s += load
        return lease

    def give_back(self, lease: Lease) -> None:
        with self._lock:
            if lease.returned:
                return
            lease.returned = True
            lease.port.leases.discard(lease)
            lease.port.bytes_per_s -= lease.bytes_per_s
            ports = self._open.get(lease.key, [])
            # The last socket takes libsrt's threads with it; the number is free for others then.
            if not lease.port.leases and lease.port in ports:
                ports.remove(lease.port)
                if not ports:
                    del self._open[lease.key]

    def loads(self) -> list[PortLoad]:
        """What each open port carries."""
        with self._lock:
            return [
                PortLoad(len(port.leases), round(port.bytes_per_s), port.overloaded)
                for ports in self._open.values()
                for port in ports
            ]
