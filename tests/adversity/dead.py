"""Peers that are as good as dead: they refuse, they accept and say nothing, or they swallow every packet."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

Push = tuple[str, str, str]
"""(protocol of the API, URL, stream key)."""


@contextmanager
def dead_peers(refusing: int, mute: int, swallowing: int) -> Iterator[list[Push]]:
    """Pushes to so many dead peers of each kind: half RTMP, half SRT where a kind exists for both.

    - refusing: nothing listens on the TCP port.
    - mute: TCP connections are accepted by the kernel and nobody reads them.
    - swallowing: every second a UDP port that is never read, for SRT; the others a TCP port whose backlog is full, so
      that the kernel drops each SYN.
    """
    with ExitStack() as held:
        closed = held.enter_context(_bound(socket.SOCK_STREAM))
        silent = held.enter_context(_bound(socket.SOCK_STREAM))
        silent.listen(max(mute, 1) * 4)
        full = held.enter_context(_bound(socket.SOCK_STREAM))
        _fill_backlog(full, held)
        deaf = held.enter_context(_bound(socket.SOCK_DGRAM))
        pushes = [_rtmp(closed)] * refusing + [_rtmp(silent)] * mute
        for number in range(swallowing):
            pushes.append(_rtmp(full) if number % 2 else ("srt", f"srt://127.0.0.1:{_port(deaf)}", ""))
        yield pushes


def _bound(kind: socket.SocketKind) -> socket.socket:
    made = socket.socket(socket.AF_INET, kind)
    made.bind(("127.0.0.1", 0))
    return made


def _port(sock: socket.socket) -> int:
    return int(sock.getsockname()[1])


def _rtmp(sock: socket.socket) -> Push:
    return "rtmp", f"rtmp://127.0.0.1:{_port(sock)}/dead", "key-of-a-dead-one"


def _fill_backlog(listening: socket.socket, held: ExitStack) -> None:
    """Connect until the kernel drops the next SYN: a backlog of 0 has room for one."""
    listening.listen(0)
    for _ in range(2):
        filler = held.enter_context(socket.socket())
        filler.setblocking(False)
        filler.connect_ex(listening.getsockname())
