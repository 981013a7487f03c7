"""The whole server as a process: it says where it listens, pushes a file, and stops in order."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from api_client import basic
from live import Peers, UdpSink, until

from pushcast import descriptors

CONFIG = """
[api]
port = {api_port}
access_token = "t0ken-of-the-test"
[rtmp]
host = "127.0.0.1"
port = {rtmp_port}
[srt]
host = "127.0.0.1"
port = 0
[[vhosts]]
name = "default"
[[vhosts.apps]]
name = "app"
[[sources]]
name = "clip"
url = "file://{clip}?loop=1"
[state]
path = "{state}"
[sender]
tcp_ms = {tcp_ms}
"""


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("server") / "clip.flv"
    source = ["-f", "lavfi", "-i", "testsrc=size=160x90:rate=25", "-f", "lavfi", "-i", "sine=sample_rate=48000"]
    coding = ["-t", "2", "-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-c:a", "aac"]
    subprocess.run(["ffmpeg", "-v", "error", *source, *coding, str(path)], check=True, timeout=30)
    return path


class Server:
    """A ``pushcast serve`` process; ``lines`` is what it has logged so far."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[str] = []

    async def read(self) -> None:
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            self.lines.append(line.decode())

    def port(self, what: str) -> int:
        (found,) = (re.search(r":(\d+)$", line.strip()) for line in self.lines if f"{what}: listening on" in line)
        assert found is not None
        return int(found[1])


@contextlib.asynccontextmanager
async def server(tmp_path: Path, clip: Path, **changes: int) -> AsyncIterator[Server]:
    keys = {"api_port": 0, "rtmp_port": 0, "tcp_ms": 40, **changes}
    config = tmp_path / "pushcast.toml"
    config.write_text(CONFIG.format(clip=clip, state=tmp_path / "state", **keys))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pushcast", "serve", "--config", str(config)),
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    made = Server(process)
    reading = asyncio.create_task(made.read())
    try:
        yield made
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await reading


def room_for_descriptors(pid: int) -> int:
    """That the kernel's table of a process has without growing."""
    status = Path(f"/proc/{pid}/status").read_text()
    (size,) = (int(line.split()[1]) for line in status.splitlines() if line.startswith("FDSize:"))
    return size


async def test_from_start_to_stop(tmp_path: Path, clip: Path) -> None:
    sink, peers = UdpSink(), Peers()
    urls = {"u": f"udp://127.0.0.1:{await sink.open()}", "t": f"tcp://127.0.0.1:{await peers.listen()}"}
    headers = {"Authorization": basic("t0ken-of-the-test")}
    async with server(tmp_path, clip) as running, aiohttp.ClientSession(headers=headers) as session:
        await until(lambda: any("ready" in line for line in running.lines), 10)
        socket.create_connection(("127.0.0.1", running.port("rtmp"))).close()
        app = f"http://127.0.0.1:{running.port('api')}/v1/vhosts/default/apps/app"
        for push_id, url in urls.items():
            body = {"id": push_id, "stream": {"name": "clip"}, "protocol": "mpegts", "url": url}
            async with session.post(f"{app}:startPush", json=body) as response:
                assert response.status == 200
        await until(lambda: sum(map(len, sink.received.values())) > 20_000 and len(peers.received[0]) > 20_000)
        async with session.post(f"{app}:pushes") as response:
            assert [push["state"] for push in (await response.json())["response"]] == ["pushing", "pushing"]
        async with session.get(f"{app}/streams/clip") as response:
            shown = (await response.json())["response"]
        assert [track["type"] for track in shown["input"]["tracks"]] == ["Video", "Audio"]
        soft, hard = resource.prlimit(running.process.pid, resource.RLIMIT_NOFILE)
        assert soft == hard
        assert room_for_descriptors(running.process.pid) >= min(descriptors.ROOM, hard), "it grows while pushes start"
        running.process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(8):
            assert await running.process.wait() == 0
        await until(lambda: peers.ended == 1)
    log = "".join(running.lines)
    assert "push default/app/t: stopping" in log
    assert "Traceback" not in log
    assert "t0ken" not in log
    assert running.lines[-1].endswith("stopped\n")
    sink.close()
    await peers.close()


@pytest.mark.parametrize("key", ["api_port", "rtmp_port"])
async def test_a_port_that_is_taken(tmp_path: Path, clip: Path, key: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        async with server(tmp_path, clip, **{key: port}) as running, asyncio.timeout(10):
            assert await running.process.wait() == 1
    section = key.partition("_")[0]
    assert f"{section}.port: cannot listen on 127.0.0.1:{port}" in running.lines[-1]
    assert "Traceback" not in "".join(running.lines)


async def test_interrupt_while_idle(tmp_path: Path, clip: Path) -> None:
    async with server(tmp_path, clip) as running:
        await until(lambda: any("ready" in line for line in running.lines), 10)
        running.process.send_signal(signal.SIGINT)
        async with asyncio.timeout(5):
            assert await running.process.wait() == 0
