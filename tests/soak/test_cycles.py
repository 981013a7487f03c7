"""A thousand starts and stops of each protocol leave nothing behind: no descriptor, no thread, no memory.

Through the API of a whole server, to real receivers, fifty at once.  What it keeps on purpose is full before: the
events that clients may still ask for (20,000), by cycles of UDP.  Then as many cycles of the protocol as are counted
fill pools of threads, free lists and arenas; libsrt alone takes seconds to let go of what was closed, so memory is
read when it has come to rest.  A thousand cycles may add what the allocator's own arenas move by.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from adversity.sinks import Sink
from certificates import Certificates
from interop.nginx import secure_nginx
from serving import Served, make_clip, serving, until

AT_ONCE = 50
FILL_AT_ONCE = 500
EVENTS = 20_000
EVENTS_A_CYCLE = 3
CYCLES = 1000
# Of a thousand cycles: 1 KiB each would be a leak of any object that a push has.  libsrt's small objects lie in arenas
# of its threads, where they leave holes: up to 8 MB, which do not grow with more cycles.
MOST_BYTES = {"srt": 8 << 20}
USUAL_MOST_BYTES = 1 << 20
REST_S = 5.0
MOST_REST_S = 40.0


@dataclass(frozen=True, order=True)
class Held:
    """What the server's process has open and uses."""

    descriptors: int
    threads: int
    resident_bytes: int

    @classmethod
    def of(cls, pid: int) -> Held:
        process = Path(f"/proc/{pid}")
        rollup = (process / "smaps_rollup").read_text()
        dirty_kib = int(rollup.partition("Private_Dirty:")[2].split()[0])
        return cls(len(list((process / "fd").iterdir())), len(list((process / "task").iterdir())), dirty_kib * 1024)


@contextmanager
def receiver(protocol: str, folder: Path) -> Iterator[dict[str, Any]]:
    """The members of a push to somebody who takes it."""
    with ExitStack() as running:
        if protocol in ("rtmp", "srt", "udp"):
            sink = Sink(protocol)
            running.callback(sink.kill)
            word = "mpegts" if protocol == "udp" else protocol
            path = "/in" if protocol == "rtmp" else ""
            yield {"protocol": word, "url": f"{protocol}://127.0.0.1:{sink.port}{path}"}
        elif protocol == "tcp":
            yield {"protocol": "mpegts", "url": f"tcp://127.0.0.1:{running.enter_context(_reads_everything())}"}
        else:
            shown = Certificates(folder).issued("nginx")
            process, secure, _ = secure_nginx(folder / "nginx", shown)
            running.callback(process.stop)
            tls = {"fingerprint": shown.fingerprint}
            yield {"protocol": "rtmp", "url": f"rtmps://localhost:{secure}/rec", "tls": tls}


@contextmanager
def _reads_everything() -> Iterator[int]:
    def read(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            while connection.recv(1 << 16):
                pass

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=read, args=(server.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0), backlog=256) as server:
        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def cycle(served: Served, members: dict[str, Any], count: int, batch: str) -> None:
    """So many pushes from start to gone; each has sent something."""
    ids = [f"{batch}-{number}" for number in range(count)]
    pushes = [{"id": each, "stream": {"name": "live"}, "streamKey": each, **members} for each in ids]
    status, answer = served.call("POST", f"{Served.app}:startPushes", {"pushes": pushes})
    assert status == 207, answer
    until("all have sent", lambda: all(push["sentBytes"] > 0 for push in served.pushes()))
    assert all(push["state"] == "pushing" for push in served.pushes())
    status, answer = served.call("POST", f"{Served.app}:stopPushes", {"ids": ids})
    assert status == 207, answer
    until("all are gone", lambda: not served.pushes())


@pytest.mark.parametrize("protocol", ["rtmp", "rtmps", "srt", "udp", "tcp"])
def test_a_thousand_cycles_leave_nothing_behind(protocol: str, tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4")
    source = f'[[sources]]\nname = "live"\nurl = "{clip.as_uri()}?loop=1"\n'
    with receiver(protocol, tmp_path) as members, serving(tmp_path, sources=source) as served:
        served.until_stream()
        with receiver("udp", tmp_path) as filler:
            for number in range(EVENTS // EVENTS_A_CYCLE // FILL_AT_ONCE + 1):
                cycle(served, filler, FILL_AT_ONCE, f"f{number}")
        for number in range(CYCLES // AT_ONCE):
            cycle(served, members, AT_ONCE, f"w{number}")
        before = rested(served)
        began = time.monotonic()
        for number in range(CYCLES // AT_ONCE):
            cycle(served, members, AT_ONCE, f"c{number}")
        took_s = time.monotonic() - began
        after = rested(served)
    each_bytes = (after.resident_bytes - before.resident_bytes) / CYCLES
    print(
        f"\n{protocol}: {CYCLES} cycles in {took_s:.1f} s, descriptors {before.descriptors} to {after.descriptors},"
        f" threads {before.threads} to {after.threads}, memory {before.resident_bytes / 2**20:.2f} to"
        f" {after.resident_bytes / 2**20:.2f} MiB, {each_bytes:.0f} bytes a cycle"
    )
    assert after.descriptors <= before.descriptors
    assert after.threads <= before.threads
    assert after.resident_bytes - before.resident_bytes <= MOST_BYTES.get(protocol, USUAL_MOST_BYTES)


def rested(served: Served) -> Held:
    """The least that it holds, once it has held no less for REST_S."""
    least, since_s = Held.of(served.process.pid), time.monotonic()
    end_s = since_s + MOST_REST_S
    while time.monotonic() < min(since_s + REST_S, end_s):
        time.sleep(0.5)
        found = Held.of(served.process.pid)
        if found < least:
            least, since_s = found, time.monotonic()
    return least
