"""A UDP receiver that keeps every datagram, by sender: for what is judged afterwards."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

RECEIVE_BUFFER_BYTES = 4 << 20
LOOK_S = 0.1


class UdpRecording:
    """Datagrams in order of arrival, as (sender's address, bytes)."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        self._socket.settimeout(LOOK_S)
        self._socket.bind(("127.0.0.1", 0))
        self.port = int(self._socket.getsockname()[1])
        self.datagrams: list[tuple[tuple[str, int], bytes]] = []
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._receive)
        self._thread.start()

    def _receive(self) -> None:
        while not self._closed.is_set():
            try:
                data, sender = self._socket.recvfrom(65535)
            except TimeoutError:
                continue
            self.datagrams.append((sender, data))

    def by_sender(self) -> list[list[bytes]]:
        """The datagrams of each sender, in the order in which the senders came."""
        found: dict[tuple[str, int], list[bytes]] = {}
        for sender, data in self.datagrams:
            found.setdefault(sender, []).append(data)
        return list(found.values())

    def close(self) -> None:
        self._closed.set()
        self._thread.join()
        self._socket.close()


@contextmanager
def recording() -> Iterator[UdpRecording]:
    made = UdpRecording()
    try:
        yield made
    finally:
        made.close()
