"""``pushcast sink rtmp|srt|udp|tcp``: the command line of the sinks."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence

import click

from pushcast.sink.receive import questions, receive
from pushcast.sink.report import JsonReport, Sink, TextReport

MAX_PORTS = 1024
MAX_SENDERS = 4096


def _parse_ports(ctx: click.Context, param: click.Parameter, value: str) -> Sequence[int]:
    """``A-B`` or a single port."""
    first, dash, last = value.partition("-")
    last = last if dash else first
    if not all(text.isdecimal() and text.isascii() and len(text) < 6 for text in (first, last)):
        raise click.BadParameter(f"found {value!r}, allowed: a port or two ports as A-B")
    ports = range(int(first), int(last) + 1)
    if not 1 <= len(ports) <= MAX_PORTS or ports[-1] > 65535 or (ports[0] == 0 and len(ports) > 1):
        raise click.BadParameter(
            f"found {value!r}, allowed: up to {MAX_PORTS} ports from 1 to 65535, or 0 for a free one"
        )
    return ports


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def sink() -> None:
    """Receive pushes and check every byte of them.

    Any number of senders; the media is checked and discarded.  The exit code is 1 when an error was seen or fewer
    senders came than --count, else 0.
    """


def _common(command: Callable[..., None]) -> Callable[..., None]:
    options = (
        click.option("--host", default="0.0.0.0", show_default=True, help="Address to receive on."),
        click.option(
            "--port",
            "--ports",
            "ports",
            callback=_parse_ports,
            required=True,
            metavar="A[-B]",
            help="Port, 0 for a free one, or a range.",
        ),
        click.option("--count", type=click.IntRange(min=1), help="Senders expected: ends when they came and left."),
        click.option("--seconds", type=click.FloatRange(min=0, min_open=True), help="End after so long."),
        click.option("--json", "as_json", is_flag=True, help="JSON lines; the line 'summary' on stdin asks for one."),
    )
    for option in reversed(options):
        command = option(command)
    return command


@sink.command()
@_common
def udp(host: str, ports: Sequence[int], count: int | None, seconds: float | None, as_json: bool) -> None:
    """MPEG-TS over UDP; senders are told apart by their address."""
    from pushcast.sink.udp import open_sockets
    from pushcast.sinks import UdpSink

    sockets = open_sockets(host, ports)
    bound = [sock.getsockname()[1] for sock in sockets]
    _receive(UdpSink(sockets, max_senders=MAX_SENDERS), "udp", host, bound, count, seconds, as_json)


@sink.command()
@_common
def tcp(host: str, ports: Sequence[int], count: int | None, seconds: float | None, as_json: bool) -> None:
    """MPEG-TS over TCP."""
    from pushcast.sink.tcp import allow_connections, open_listeners
    from pushcast.sinktcp import TsStreamSink

    listeners = open_listeners(host, ports)
    bound = [sock.getsockname()[1] for sock in listeners]
    made = TsStreamSink(listeners, max_senders=allow_connections(MAX_SENDERS))
    _receive(made, "tcp", host, bound, count, seconds, as_json)


@sink.command()
@_common
def rtmp(host: str, ports: Sequence[int], count: int | None, seconds: float | None, as_json: bool) -> None:
    """RTMP publishers, whatever their app and stream name."""
    from pushcast.sink.rtmp import Dialogue
    from pushcast.sink.tcp import allow_connections, open_listeners
    from pushcast.sinkrtmp import RtmpSink

    listeners = open_listeners(host, ports)
    bound = [sock.getsockname()[1] for sock in listeners]
    made = RtmpSink(listeners, Dialogue, max_senders=allow_connections(MAX_SENDERS))
    _receive(made, "rtmp", host, bound, count, seconds, as_json)


@sink.command()
@_common
@click.option(
    "--passphrase", envvar="PUSHCAST_SINK_PASSPHRASE", default="", help="Required of every caller; 10 to 79 bytes."
)
@click.option("--latency-ms", type=click.IntRange(0, 60000), default=120, show_default=True, help="Receiver latency.")
@click.option("--immediate", is_flag=True, help="Release packets as they come, not at their time: half the CPU time.")
def srt(
    host: str,
    ports: Sequence[int],
    count: int | None,
    seconds: float | None,
    as_json: bool,
    passphrase: str,
    latency_ms: int,
    immediate: bool,
) -> None:
    """SRT callers with any stream id."""
    from pushcast.sink.srt import open_sockets
    from pushcast.sinksrt import SrtSink

    sockets, bound = open_sockets(host, ports, passphrase, latency_ms)
    _receive(SrtSink(sockets, immediate=immediate), "srt", host, bound, count, seconds, as_json)


def _receive(
    made: Sink, protocol: str, host: str, ports: Sequence[int], count: int | None, seconds: float | None, as_json: bool
) -> None:
    report = JsonReport(_write) if as_json else TextReport(_write)
    try:
        for port in ports:
            report.listening(protocol, host, port)
        well = receive(made, report, questions(as_json), count, seconds)
    finally:
        made.close()
    sys.exit(0 if well else 1)


def _write(line: str) -> None:
    # Whoever reads a pipe waits for each line.
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
