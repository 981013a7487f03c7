"""A TLS server in a process of its own, which the sanitizer does not slow: its connections answer all the time,
read only, stand still or leave, in turns.

``python tls_server.py certificate key`` prints its port, and ends when its standard input does.
"""

from __future__ import annotations

import contextlib
import itertools
import socket
import ssl
import sys
import threading
from collections.abc import Callable

READ_BYTES = 1 << 16
ANSWER_BYTES = 700
STAYS_BYTES = 200_000  # until it leaves

_over = threading.Event()


def answer(far: ssl.SSLSocket) -> None:
    while far.recv(READ_BYTES):
        far.sendall(bytes(ANSWER_BYTES))


def read(far: ssl.SSLSocket) -> None:
    while far.recv(READ_BYTES):
        pass


def stand_still(far: ssl.SSLSocket) -> None:
    _over.wait()


def leave(far: ssl.SSLSocket) -> None:
    came = 0
    while came < STAYS_BYTES and (data := far.recv(READ_BYTES)):
        came += len(data)


HABITS = (answer, read, stand_still, leave)


def accept(listener: socket.socket, context: ssl.SSLContext) -> None:
    for habit in itertools.cycle(HABITS):
        sock, _ = listener.accept()
        threading.Thread(target=serve, args=(sock, context, habit), daemon=True).start()


def serve(sock: socket.socket, context: ssl.SSLContext, habit: Callable[[ssl.SSLSocket], None]) -> None:
    with contextlib.suppress(OSError), context.wrap_socket(sock, server_side=True) as far:
        habit(far)


def main(certificate: str, key: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    threading.Thread(target=accept, args=(listener, context), daemon=True).start()
    sys.stdin.read()
    _over.set()


if __name__ == "__main__":
    main(*sys.argv[1:])
