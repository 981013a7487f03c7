"""One clip by one input to all outputs at once: encoder, server and receivers, and what came of it."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from interop.test_mpegts import ffmpeg_raw
from serving import Process, Served, free_port, port_bound, until

from conformance.facts import Fact, Facts, file_facts
from conformance.matrix import OUTPUTS, Cell, Clip, cell

CLIP_S = 2.4
PICTURE_MS = 40
# RTMP has whole milliseconds: each time is rounded once, and so is the distance that is taken for the true one.
TOLERANCE_MS = {"rtmp": 1.02, "ts": 0.02}
# Whole milliseconds, and behind them nanoseconds that libavformat does not add.
NANOS_MS = 1.52
HERE = Path(__file__).parent.parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(HERE)}


def make_clip(clip: Clip, folder: Path) -> Path:
    """A file whose every packet has its times."""
    path = folder / f"{clip.name}.{clip.container}"
    if not path.exists():
        sources = ["-f", "lavfi", "-i", "testsrc2=s=320x180:r=25"] if clip.video else []
        sources += ["-f", "lavfi", "-i", "sine=f=440:r=48000"] if clip.audio else []
        options = f"{clip.video} {clip.audio} -pix_fmt yuv420p".split() if clip.video else clip.audio.split()
        command = ["ffmpeg", "-v", "error", "-y", *sources, "-t", str(CLIP_S), *options, "-strict", "-2", str(path)]
        subprocess.run(command, check=True, capture_output=True)
    return path


def make_published(input: str, clip: Clip, path: Path, folder: Path) -> Path:
    """The clip as the encoder of this input publishes it: its own times are what must come out."""
    if input == "file":
        return path
    made = folder / f"{clip.name}.{'flv' if input == 'rtmp' else 'ts'}"
    if input == "rtmp":
        command = [sys.executable, "-m", "conformance.publish", str(path), str(made)]
    else:
        command = [
            "ffmpeg",
            "-v",
            "error",
            "-y",
            "-i",
            str(path),
            "-map",
            "0",
            "-c",
            "copy",
            *clip.more.split(),
            str(made),
        ]
    subprocess.run(command, check=True, env=ENVIRONMENT, capture_output=True)
    return made


def published_facts(input: str, clip: Clip, path: Path, folder: Path) -> tuple[Path, Facts]:
    """What is played, and what must come out of it."""
    played = make_published(input, clip, path, folder)
    times = file_facts(played)
    if "latm" not in clip.name:
        return played, times
    packets = file_facts(path)  # LATM is another wrapping of them
    return played, {
        kind: [(one[0], *other[1:]) for one, other in zip(packets[kind], times[kind], strict=True)] for kind in times
    }


@dataclass
class Receiver:
    """One output: where it listens, and what it has recorded when it ends."""

    output: str
    folder: Path
    port: int = field(default_factory=free_port)
    process: Process | None = None
    sock: socket.socket | None = None
    data: bytearray = field(default_factory=bytearray)

    def __post_init__(self) -> None:
        name = self.output.replace(" ", "-")
        self.path = self.folder / f"{name}.{'json' if name.startswith('rtmp') else 'ts'}"
        log = self.folder / f"{name}.log"
        if self.output.startswith("rtmp"):
            listen = ["-m", "conformance.facts", f"rtmp://127.0.0.1:{self.port}/in/key", str(self.path)]
            self.process = Process([sys.executable, *listen], log, env=ENVIRONMENT)
        elif self.output == "srt":
            url = f"srt://127.0.0.1:{self.port}?mode=listener"
            self.process = ffmpeg_raw(url, self.path, log)
        else:
            tcp = self.output == "mpegts tcp"
            self.sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM)
            self.sock.bind(("127.0.0.1", self.port))
            if tcp:
                self.sock.listen()
            else:
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
            threading.Thread(target=self._read_tcp if tcp else self._read_udp, daemon=True).start()

    def _read_tcp(self) -> None:
        with contextlib.suppress(OSError):
            connected, _ = self.sock.accept()
            with connected:
                while data := connected.recv(1 << 16):
                    self.data += data

    def _read_udp(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                self.data += self.sock.recv(2048)

    @property
    def url(self) -> str:
        """Where a push goes."""
        scheme = {"rtmp": "rtmp", "srt": "srt"}.get(self.output.split()[0], self.output.split()[-1])
        return f"{scheme}://127.0.0.1:{self.port}" + ("/in" if scheme == "rtmp" else "")

    def listens(self) -> bool:
        return self.process is None or port_bound(self.port)

    def facts(self) -> Facts:
        if self.process is not None:
            assert self.process.wait() == 0, self.process.log.read_text()
        if self.output.startswith("rtmp"):
            return json.loads(self.path.read_text())
        if self.sock is not None:
            self.path.write_bytes(self.data)
        return file_facts(self.path)

    def stop(self) -> None:
        if self.process is not None:
            self.process.stop()
        if self.sock is not None:
            self.sock.close()


def publisher(served: Served, ports: dict[str, int], input: str, clip: Clip, path: Path, log: Path) -> Process:
    """The encoder of an input, in real time."""
    if input == "rtmp":
        url = f"rtmp://127.0.0.1:{served.rtmp_port}/app/live"
        return Process([sys.executable, "-m", "conformance.publish", str(path), url], log, env=ENVIRONMENT)
    url = f"srt://127.0.0.1:{served.srt_port}?streamid=app/live&linger=2" if input == "srt" else ""
    url = url or f"tcp://127.0.0.1:{ports['mpegts']}"
    command = ["ffmpeg", "-v", "warning", "-re", "-i", str(path), "-map", "0", "-c", "copy"]
    return Process([*command, "-f", "mpegts", *clip.more.split(), url], log)


def compare(found: Cell, sent: Facts, got: Facts) -> str:
    """What is wrong, "" when nothing is."""
    distances: list[float] = []
    for kind in ("video", "audio"):
        wanted = _from_the_first_picture(sent, kind, got[kind]) if kind in found.carried else []
        if [fact[0] for fact in got[kind]] != [fact[0] for fact in wanted]:
            same = sum(one[0] == other[0] for one, other in zip(got[kind], wanted, strict=False))
            return f"{kind}: {len(got[kind])} packets of {len(wanted)}, {same} the same in their place"
        for one, other in zip(got[kind], wanted, strict=True):
            distances += [one[1] - other[1], one[2] - other[2]]
    middle = sorted(distances)[len(distances) // 2]
    worst = max(abs(each - middle) for each in distances)
    most = TOLERANCE_MS["rtmp" if found.output.startswith("rtmp") else "ts"]
    most = NANOS_MS if found.output == "rtmp always" else most
    return "" if worst <= most else f"times are off by up to {worst:.2f} ms"


def _from_the_first_picture(sent: Facts, kind: str, got: list[Fact]) -> list[Fact]:
    """A stream with video begins with a keyframe: sounds that came before it do not go out.

    In a transport stream a picture ends where the next one begins, so a sound of its own time comes before it.
    """
    latest = sent["video"][0][1] + PICTURE_MS if sent["video"] and kind == "audio" else -1e9
    begun = got[0][0] if got else ""
    late = next((number for number, fact in enumerate(sent[kind]) if fact[0] == begun or fact[1] > latest), 0)
    return sent[kind][late:]


def refusal_said(found: Cell, push: dict[str, Any]) -> str:
    """What is wrong with how a push says what it leaves out."""
    said = {track["name"].lower(): track["reason"] for track in push.get("skippedTracks", [])}
    if said != found.refused:
        return f"skippedTracks says {said}"
    if not found.carried and (push["state"] != "error" or "can be carried" not in push["lastError"]["reason"]):
        return f"state {push['state']}, {push.get('lastError')}"
    return ""


@contextlib.contextmanager
def receivers(folder: Path) -> Iterator[list[Receiver]]:
    found = [Receiver(output, folder) for output in OUTPUTS]
    try:
        for each in found:
            until(f"{each.output} listens", each.listens)
        yield found
    finally:
        for each in found:
            each.stop()


def run(input: str, clip: Clip, folder: Path) -> dict[str, str]:
    """By output, what is wrong there, "" when nothing is."""
    path = make_clip(clip, folder.parent)
    path, sent = published_facts(input, clip, path, folder)
    ports = {"mpegts": free_port()}
    sources = f'[[mpegts]]\nname = "live"\nlisten = "tcp://127.0.0.1:{ports["mpegts"]}"\n' if input == "mpegts" else ""
    served = Served(folder, sources=f'{sources}[pull]\nfiles_below = "{folder.parent}"\n')
    try:
        with receivers(folder) as ends:
            for end in ends:
                mode = end.output.split()[1] if end.output.startswith("rtmp") else ""
                body: dict[str, Any] = {"id": end.output, "stream": {"name": "live"}, "url": end.url}
                body |= {"protocol": end.output.split()[0], "streamKey": "key" if mode else ""}
                status, answer = served.call(
                    "POST", f"{served.app}:startPush", body | ({"enhanced": mode} if mode else {})
                )
                assert status == 200, answer
            if input == "file":
                made = {"name": "live", "urls": [path.as_uri()]}
                assert served.call("POST", f"{served.app}/streams", made)[0] in (200, 201)
                encoder = None
            else:
                encoder = publisher(served, ports, input, clip, path, folder / "encoder.log")
            found = {end.output: cell(input, clip, end.output) for end in ends}
            seen = {end.output: _while_live(served, found[end.output]) for end in ends}
            if encoder is not None:
                assert encoder.wait() == 0, encoder.log.read_text()
                encoder.stop()
            until("the stream has left", lambda: not served.call("GET", f"{served.app}/streams")[1]["response"])
            for end in ends:
                served.call("POST", f"{served.app}:stopPush", {"id": end.output})
            return {
                end.output: refusal_said(found[end.output], seen[end.output])
                or (compare(found[end.output], sent, end.facts()) if found[end.output].carried else "")
                for end in ends
            }
    finally:
        served.process.stop()


def _while_live(served: Served, found: Cell) -> dict[str, Any]:
    """The push as it is shown while it pushes, or when it has failed."""
    state = "pushing" if found.carried else "error"
    served.until_state(found.output, state)
    return served.push(found.output)
