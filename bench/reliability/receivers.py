"""What listens on the hosts behind the paths: ``pushcast sink``, which checks every byte, for RTMPS behind nginx.

A receiver that leaves or vanishes and one that comes in its place are one here: what all of them got is added up.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adversity.sinks import Sink

from bench.reliability.network import Host, Network
from bench.reliability.network import Path as NetworkPath
from bench.served import Certificate, Certificates, port_bound, until

PORTS = {"rtmp": 1935, "rtmps": 443, "srt": 9000, "srt-patient": 9000, "udp": 1234}
# What ``pushcast sink`` calls them.
SINKS = {"rtmp": "rtmp", "rtmps": "rtmp", "srt": "srt", "srt-patient": "srt", "udp": "udp"}
# Of the path: the latency that SRT pushes ask for, so many times as long as a packet and an answer take.
ROUND_TRIPS = {"srt": 4, "srt-patient": 12}
KEY = "a-key-of-the-bench"
NGINX = """
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
daemon off;
master_process off;
worker_processes 1;
error_log stderr crit;
pid {folder}/nginx.pid;
events {{ worker_connections 64; }}
stream {{ server {{
  listen 0.0.0.0:{secure} ssl; proxy_pass 127.0.0.1:{plain};
  ssl_certificate {cert}; ssl_certificate_key {key}; ssl_protocols TLSv1.3;
}} }}
"""


@dataclass(frozen=True, slots=True)
class Received:
    """What came until now, of all connections: bytes of pictures and sound (without containers), whole frames of video,
    packets that SRT gave up, and places in the transport stream where packets are missing.
    """

    media_bytes: int = 0
    video_frames: int = 0
    srt_lost: int = 0
    continuity_errors: int = 0
    connections: int = 0

    @classmethod
    def of(cls, rows: Sequence[dict[str, Any]]) -> Received:
        media = [row for row in rows if row["media_bytes"]]
        return cls(
            media_bytes=sum(row["media_bytes"] for row in media),
            video_frames=sum(row["video_frames"] for row in media),
            srt_lost=sum(row["errors"].get("srt_drop", 0) for row in media),
            continuity_errors=sum(row["errors"].get("continuity", 0) for row in media),
            connections=len(media),
        )


class Receiver:
    """The receiver of a protocol at the end of a path, whose host it brings."""

    def __init__(self, protocol: str, path: NetworkPath, folder: Path) -> None:
        self._protocol = protocol
        self._path = path
        self._folder = folder
        self._certificates = Certificates(folder)
        self._before: list[dict[str, Any]] = []
        self._programs = ExitStack()
        self._sink: Sink | None = None
        self.begin_anew()

    def begin_anew(self) -> None:
        """On a host that has just been switched on."""
        self._host = self._path.new_host()
        self.begin()

    def begin(self) -> None:
        """Listen."""
        kind = SINKS[self._protocol]
        self._sink = Sink(kind, host="0.0.0.0", port=PORTS[kind], inside=self._host.inside)
        self._programs.callback(self._sink.kill)
        if self._protocol == "rtmps":
            self._programs.enter_context(_nginx(self._host, self._shown, self._folder))

    def leave(self) -> None:
        """End in order: connections are closed, SRT's with a shutdown."""
        if self._sink is not None:
            self._before += self._sink.stop()["senders"]
        self._sink = None
        self._programs.close()

    def vanish(self) -> None:
        """End without a word, on a path that is cut: nobody hears of it."""
        if self._sink is not None:
            self._before += self._sink.rows()
        self._sink = None
        self._programs.close()

    def close(self) -> None:
        self._programs.close()

    def received(self) -> Received:
        return Received.of(self._before + (self._sink.rows() if self._sink is not None else []))

    def push(self, round_trip_ms: float) -> dict[str, Any]:
        """The members of a push that goes there."""
        where = f"{self._path.address}:{PORTS[self._protocol]}"
        match self._protocol:
            case "udp":
                return {"protocol": "mpegts", "url": f"udp://{where}"}
            case "srt" | "srt-patient":
                latency_ms = round(ROUND_TRIPS[self._protocol] * round_trip_ms)
                return {"protocol": "srt", "url": f"srt://{where}", "srtOptions": {"latencyMs": latency_ms}}
            case "rtmps":
                authority = self._certificates.authority.cert.read_text()
                return {"protocol": "rtmp", "url": f"rtmps://{where}/in", "streamKey": KEY, "tls": {"ca": authority}}
            case _:
                return {"protocol": "rtmp", "url": f"rtmp://{where}/in", "streamKey": KEY}

    @property
    def _shown(self) -> Certificate:
        return self._certificates.issued("receiver", f"IP:{self._path.address}")


@contextmanager
def receivers(network: Network, folder: Path) -> Iterator[dict[str, Receiver]]:
    """One for each path of the network, by its name."""
    with ExitStack() as running:
        made = {}
        for protocol, path in network.paths.items():
            made[protocol] = Receiver(protocol, path, folder)
            running.callback(made[protocol].close)
        yield made


@contextmanager
def _nginx(host: Host, shown: Certificate, folder: Path) -> Iterator[None]:
    """An nginx on that host that takes TLS off."""
    secure, plain = PORTS["rtmps"], PORTS["rtmp"]
    config = folder / "nginx.conf"
    config.write_text(NGINX.format(folder=folder, secure=secure, plain=plain, cert=shown.cert, key=shown.key))
    command = [*host.inside, "nginx", "-e", "stderr", "-c", str(config), "-p", str(folder)]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as process:
        try:
            until("nginx listens", lambda: port_bound(secure, host.holder.pid))
            yield
        finally:
            process.kill()
