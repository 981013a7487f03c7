"""A libsrt listener in a process of its own, driven over ctypes: the peer of the SRT tests.

Accepts any number of callers, counts what each sends and tells on demand.  On stdout: one JSON line with the port when
it listens, then one JSON report for every line on stdin; ends with stdin.

    python srt_listener.py '{"passphrase": "...", "reject": 1401, "fc": 8192}'
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import select
import sys

OPTIONS = {"fc": 4, "rcvsyn": 2, "rcvbuf": 6, "latency": 23, "passphrase": 26, "enforcedencryption": 53}
STREAMID = 46
RCVLATENCY = 43
EPOLL_IN = 1
EPOLL_ERR = 8
BATCH = 256


class Event(ctypes.Structure):
    _fields_ = (("socket", ctypes.c_int32), ("events", ctypes.c_int))


Hook = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int32, ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p)


def load() -> ctypes.CDLL:
    for name in ("libsrt.so", "libsrt-openssl.so.1.5", "libsrt.so.1.5"):
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    raise SystemExit("no libsrt found")


class Peer:
    """What one caller has sent."""

    def __init__(self, streamid: str, latency_ms: int) -> None:
        self.streamid = streamid
        self.latency_ms = latency_ms
        self.received_bytes = 0
        self.datagram_bytes: set[int] = set()
        self.digest = hashlib.sha256()

    def report(self) -> dict[str, object]:
        return {
            "streamid": self.streamid,
            "latency_ms": self.latency_ms,
            "received_bytes": self.received_bytes,
            "datagram_bytes": sorted(self.datagram_bytes),
            "sha256": self.digest.hexdigest(),
        }


class Listener:
    def __init__(self, options: dict[str, object]) -> None:
        self.srt = load()
        self.srt.srt_startup()
        self.srt.srt_setloglevel(0)
        self.socket = self.srt.srt_create_socket()
        self.hash = bool(options.pop("hash", True))
        reject = options.pop("reject", None)
        for name, value in options.items():
            self._set(name, value)
        self._set("rcvsyn", 0)
        if reject is not None:
            self.hook = Hook(lambda _, socket, *__: self.srt.srt_setrejectreason(socket, reject) * 0 - 1)
            self.srt.srt_listen_callback(self.socket, self.hook, None)
        address = (2).to_bytes(2, sys.byteorder) + b"\0\0" + bytes((127, 0, 0, 1)) + bytes(8)
        assert self.srt.srt_bind(self.socket, address, 16) == 0, self._error()
        assert self.srt.srt_listen(self.socket, 1000) == 0, self._error()
        name = ctypes.create_string_buffer(128)
        size = ctypes.c_int(128)
        self.srt.srt_getsockname(self.socket, name, ctypes.byref(size))
        self.port = int.from_bytes(name.raw[2:4], "big")
        self.epoll = self.srt.srt_epoll_create()
        self._watch(self.socket)
        self.peers: dict[int, Peer] = {}
        self.gone: list[Peer] = []
        self.buffer = ctypes.create_string_buffer(2048)

    def _error(self) -> str:
        self.srt.srt_getlasterror_str.restype = ctypes.c_char_p
        return self.srt.srt_getlasterror_str().decode()

    def _set(self, name: str, value: object) -> None:
        if isinstance(value, str):
            raw = value.encode()
            rc = self.srt.srt_setsockflag(self.socket, OPTIONS[name], raw, len(raw))
        else:
            number = ctypes.c_int(int(value))  # type: ignore[call-overload]
            rc = self.srt.srt_setsockflag(self.socket, OPTIONS[name], ctypes.byref(number), 4)
        assert rc == 0, f"{name}: {self._error()}"

    def _watch(self, socket: int) -> None:
        events = ctypes.c_int(EPOLL_IN | EPOLL_ERR)
        self.srt.srt_epoll_add_usock(self.epoll, socket, ctypes.byref(events))

    def poll(self, timeout_ms: int) -> None:
        events = (Event * BATCH)()
        count = self.srt.srt_epoll_uwait(self.epoll, events, BATCH, ctypes.c_int64(timeout_ms))
        for i in range(max(count, 0)):
            if events[i].socket == self.socket:
                self._accept()
            else:
                self._receive(events[i].socket)

    def _accept(self) -> None:
        while (socket := self.srt.srt_accept(self.socket, None, None)) >= 0:
            streamid = ctypes.create_string_buffer(600)
            size = ctypes.c_int(600)
            self.srt.srt_getsockflag(socket, STREAMID, streamid, ctypes.byref(size))
            latency = ctypes.c_int()
            latency_size = ctypes.c_int(4)
            self.srt.srt_getsockflag(socket, RCVLATENCY, ctypes.byref(latency), ctypes.byref(latency_size))
            self.peers[socket] = Peer(streamid.raw[: size.value].decode("utf-8", "replace"), latency.value)
            self._watch(socket)

    def _receive(self, socket: int) -> None:
        peer = self.peers.get(socket)
        if peer is None:
            return
        while (size := self.srt.srt_recvmsg(socket, self.buffer, 2048)) > 0:
            peer.received_bytes += size
            peer.datagram_bytes.add(size)
            if self.hash:
                peer.digest.update(self.buffer.raw[:size])
        if self.srt.srt_getsockstate(socket) != 5:
            self.gone.append(self.peers.pop(socket))
            self.srt.srt_close(socket)

    def report(self) -> dict[str, object]:
        return {
            "peers": [peer.report() for peer in self.peers.values()],
            "gone": [peer.report() for peer in self.gone],
        }


def main() -> None:
    listener = Listener(json.loads(sys.argv[1]) if len(sys.argv) > 1 else {})
    print(json.dumps({"port": listener.port}), flush=True)
    while True:
        listener.poll(20)
        if select.select([sys.stdin], [], [], 0)[0]:
            if not sys.stdin.readline():
                return
            print(json.dumps(listener.report()), flush=True)


if __name__ == "__main__":
    main()
