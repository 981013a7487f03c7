"""The far ends of race tests: sockets on loopback that read, stand still, or leave."""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading

from pushcast.rtptransport import RtpTransport
from pushcast.transport import TcpTransport, UdpTransport

READ_BYTES = 1 << 18
LOOK_S = 0.05


class Reader:
    """A thread that empties stream sockets and keeps what came, by socket."""

    def __init__(self) -> None:
        self.received: dict[socket.socket, bytearray] = {}
        self.ended: set[socket.socket] = set()
        self._selector = selectors.DefaultSelector()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="reader")
        self._thread.start()

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()
        self._selector.close()
        for far in self.received:
            far.close()

    def watch(self, far: socket.socket) -> None:
        far.setblocking(False)
        self.received[far] = bytearray()
        self._selector.register(far, selectors.EVENT_READ)

    def _run(self) -> None:
        while not self._stopping.is_set():
            for key, _ in self._selector.select(LOOK_S):
                far: socket.socket = key.fileobj  # type: ignore[assignment]
                data = b""
                with contextlib.suppress(ConnectionError):
                    data = far.recv(READ_BYTES)
                self.received[far] += data
                if not data:
                    self._selector.unregister(far)
                    self.ended.add(far)


def tcp_pair(send_buffer_bytes: int | None = None) -> tuple[TcpTransport, socket.socket]:
    """A transport and its far end."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        near = socket.socket()
        if send_buffer_bytes is not None:
            near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer_bytes)
        near.connect(server.getsockname())
        far, _ = server.accept()
    near.setblocking(False)
    return TcpTransport(near.detach()), far


def udp_pair(gso: bool = True, rtp: bool = False) -> tuple[UdpTransport | RtpTransport, socket.socket]:
    """A transport and its far end, whose buffer fills and overflows unless somebody reads."""
    far = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    far.bind(("127.0.0.1", 0))
    near = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    near.connect(far.getsockname())
    return (RtpTransport if rtp else UdpTransport)(near.detach(), gso=gso), far
