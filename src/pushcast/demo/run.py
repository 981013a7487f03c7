"""The demo's course: clip, server, sinks, pushes, a look each second, the end, the verdict."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import socket
import tempfile
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

from pushcast.config_sections import default_state_path
from pushcast.demo.child import Child
from pushcast.demo.client import Client
from pushcast.demo.clip import make_clip
from pushcast.demo.table import Display, Row
from pushcast.errors import EngineError

VHOST, APP, STREAM = "default", "app", "clip"
START_TIMEOUT_S = 20.0

# The sink's name, the API's name of the protocol, the URL, the stream key.
PUSHES = (
    ("rtmp", "rtmp", "rtmp://127.0.0.1:{port}/live", "demo"),
    ("srt", "srt", "srt://127.0.0.1:{port}?mode=caller&streamid=demo", ""),
    ("udp", "mpegts", "udp://127.0.0.1:{port}", ""),
)


@dataclass(slots=True)
class _Push:
    name: str
    sink: Child
    sent_bytes: int = 0
    state: str = ""


async def run_demo(seconds: int | None) -> list[str]:
    """Run for so many seconds of pushing (None: until SIGINT or SIGTERM) and return what went wrong, nothing at best.

    :raises EngineError: the demo could not start.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    clip = await asyncio.to_thread(make_clip, default_state_path() / "demo")
    with tempfile.TemporaryDirectory(prefix="pushcast-demo-") as folder:
        log_path = Path(folder) / "log"
        try:
            return await _run(clip, Path(folder), log_path, seconds, stop)
        except EngineError as error:
            raise EngineError(f"{error}{_last_lines(log_path)}") from error


async def _run(clip: Path, folder: Path, log_path: Path, seconds: int | None, stop: asyncio.Event) -> list[str]:
    async with AsyncExitStack() as stack:
        log = os.open(log_path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        stack.callback(os.close, log)
        pushes = []
        for name, *_ in PUSHES:
            arguments = ("sink", name, "--host", "127.0.0.1", "--port", "0", "--json")
            sink = await Child.start(f"{name} sink", *arguments, variables={}, log=log)
            stack.push_async_callback(sink.stop)
            pushes.append(_Push(name, sink))
        api_port, rtmp_port = _free_port(), _free_port()
        token = secrets.token_urlsafe()
        variables = {
            "PUSHCAST_API__PORT": str(api_port),
            "PUSHCAST_API__ACCESS_TOKEN": token,
            "PUSHCAST_RTMP__HOST": "127.0.0.1",
            "PUSHCAST_RTMP__PORT": str(rtmp_port),
            "PUSHCAST_STATE__PATH": str(folder / "state"),
            "PUSHCAST_SOURCES__0__NAME": STREAM,
            "PUSHCAST_SOURCES__0__URL": f"{clip.as_uri()}?loop=1",
        }
        server = await Child.start("server", "serve", variables=variables, log=log)
        stack.push_async_callback(server.stop)
        client = Client(api_port, token, VHOST, APP)
        await _until_answered(client, server)
        await _start_pushes(client, pushes)
        await _watch(client, server, pushes, seconds, stop)
        faults = [
            f"the push over {push.name} is {push.state}, not pushing" for push in pushes if push.state != "pushing"
        ]
        for push in pushes:
            await client.call("stopPush", {"id": push.name})
        return faults + [fault for push in pushes for fault in await _verdict(push)]


async def _until_answered(client: Client, server: Child) -> None:
    """Wait for the API of a server that is just starting."""
    loop = asyncio.get_running_loop()
    deadline_s = loop.time() + START_TIMEOUT_S
    while True:
        try:
            await client.call("pushes")
            return
        except EngineError:
            if not server.running or loop.time() > deadline_s:
                raise
        await asyncio.sleep(0.1)


async def _start_pushes(client: Client, pushes: list[_Push]) -> None:
    for push, (_, protocol, url, stream_key) in zip(pushes, PUSHES, strict=True):
        listening = await asyncio.wait_for(push.sink.event("listening"), START_TIMEOUT_S)
        request = {
            "id": push.name,
            "stream": {"name": STREAM},
            "protocol": protocol,
            "url": url.format(port=listening["port"]),
            "streamKey": stream_key,
        }
        await client.call("startPush", request)


async def _watch(client: Client, server: Child, pushes: list[_Push], seconds: int | None, stop: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()
    started_s = loop.time()
    passed = 0
    with Display() as display:
        while not stop.is_set() and (seconds is None or passed < seconds):
            passed += 1
            with suppress(TimeoutError):  # a second is over
                await asyncio.wait_for(stop.wait(), max(started_s + passed - loop.time(), 0))
            if not server.running:
                raise EngineError("the server has ended by itself")
            said = {answer["id"]: answer for answer in await client.call("pushes")}
            display.show(passed, [_look(push, said[push.name]) for push in pushes])


def _look(push: _Push, said: dict[str, str | int]) -> Row:
    sent_bytes = int(said["totalsentBytes"])
    mbps = (sent_bytes - push.sent_bytes) * 8 / 1e6
    push.sent_bytes, push.state = sent_bytes, str(said["state"])
    return Row(push.name, push.state, mbps, sent_bytes, int(push.sink.events.get("stats", {}).get("errors", 0)))


async def _verdict(push: _Push) -> list[str]:
    """What the sink found: its exit code says whether every byte was right, its summary whether any came."""
    code = await push.sink.stop()
    summary = push.sink.events.get("summary", {})
    received = sum(int(sender["bytes"]) for sender in summary.get("senders", ()))
    print(f"{push.name}: the sink verified {received} bytes, {summary.get('errors', 'unknown')} errors")
    faults = []
    if code != 0:
        found = {sender["peer"]: sender["errors"] for sender in summary.get("senders", ()) if sender["errors"]}
        faults.append(f"the {push.sink.name} ended with exit code {code}: {found}")
    if not received:
        faults.append(f"the {push.sink.name} received nothing")
    return faults


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _last_lines(path: Path) -> str:
    """What the processes said last: the temporary folder is gone when somebody could look."""
    lines = path.read_text(errors="replace").splitlines()[-5:] if path.exists() else []
    return "".join(f"\n  {line}" for line in lines)
