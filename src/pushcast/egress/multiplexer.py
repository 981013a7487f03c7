"""Which SRT callers share a local UDP port.

libsrt gives every UDP port a sending and a receiving thread (its multiplexer): with a port of its own for each of
200 callers the process has 402 threads and needs twice the CPU of 200 callers on one port.  But one sending thread
carries only about 130 000 packets a second, and past that its throughput falls instead of levelling off.  So callers
share a port until it holds MAX_SOCKETS of them or MAX_BYTES_PER_S, then the next port is opened.  libsrt lets sockets
share a port only when they agree in the options of the UDP socket; those are the PortKey.

Leases may be returned from the threads that close sockets.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from pushcast.errors import SrtError
from pushcast.srt import SrtCaller

# Half of what one sending thread can carry: joins, retransmissions and other processes need the rest.
MAX_SOCKETS = 250
MAX_BYTES_PER_S = 75_000_000
# libsrt 1.5.1 needs about 2.6 times the CPU for an encrypted packet as for a clear one.
ENCRYPTED_WEIGHT = 2.6


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


@dataclass(eq=False)
class _Port:
    number: int
    sockets: int = 0
    bytes_per_s: float = 0.0


@dataclass(eq=False)
class Lease:
    """One socket's place on a port; give it back after the socket was closed."""

    ports: Ports
    key: PortKey
    port: _Port
    bytes_per_s: float
    returned: bool = False

    def give_back(self) -> None:
        self.ports.give_back(self)


@dataclass
class Ports:
    """The local UDP ports of all SRT callers of this process."""

    _open: dict[PortKey, list[_Port]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def bind(self, caller: SrtCaller, key: PortKey, bytes_per_s: int) -> Lease:
        """Bind a caller to a port with room, or to a new one.  Raises SrtError."""
        load = bytes_per_s * (ENCRYPTED_WEIGHT if key.encrypted else 1.0)
        with self._lock:
            ports = self._open.setdefault(key, [])
            for port in [port for port in ports if _has_room(port, load)]:
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
        port.sockets += 1
        port.bytes_per_s += load
        return Lease(self, key, port, load)

    def give_back(self, lease: Lease) -> None:
        with self._lock:
            if lease.returned:
                return
            lease.returned = True
            lease.port.sockets -= 1
            lease.port.bytes_per_s -= lease.bytes_per_s
            ports = self._open.get(lease.key, [])
            # The last socket takes libsrt's threads with it; the number is free for others then.
            if lease.port.sockets == 0 and lease.port in ports:
                ports.remove(lease.port)
                if not ports:
                    del self._open[lease.key]

    def counts(self) -> list[int]:
        """Sockets on each open port."""
        with self._lock:
            return [port.sockets for ports in self._open.values() for port in ports]


def _has_room(port: _Port, load: float) -> bool:
    return port.sockets < MAX_SOCKETS and (port.sockets == 0 or port.bytes_per_s + load <= MAX_BYTES_PER_S)
