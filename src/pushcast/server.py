"""The server: everything wired together, from start to stop.

Order: store, sender threads, scheduler with the pushes of before, ingest, sources that are pulled, API.  It stops in
reverse: no more requests, then the streams end, then the pushes say goodbye to their peers, then the threads, then the
store.
"""

from __future__ import annotations

import asyncio
import math
import signal
import sys
from contextlib import AsyncExitStack
from functools import partial

import uvloop

from pushcast import __version__, descriptors, garbage, heap
from pushcast.access import configured_access
from pushcast.access_token import obtain_access_token
from pushcast.api import Api
from pushcast.api.cors import Cors
from pushcast.api.services import Services
from pushcast.api.tls import ServerTls
from pushcast.audit import AuditLog
from pushcast.config import Config
from pushcast.desired import Desired
from pushcast.destinations import DestinationPolicy
from pushcast.egress.fanout import FanOut, Pace
from pushcast.egress.resolve import enforce
from pushcast.errors import TransportError
from pushcast.events import Events
from pushcast.health import look_after
from pushcast.ingest.gate import Gate
from pushcast.ingest.mpegts import MpegTsIngest
from pushcast.ingest.multiplex import MultiplexStream
from pushcast.ingest.pull import Pulls, PullSettings
from pushcast.ingest.rtmp import RtmpIngest
from pushcast.ingest.srt import SrtIngest
from pushcast.listen_url import parse_listen_url
from pushcast.log import endpoint, logger
from pushcast.pull_url import scheme_of
from pushcast.scheduler import Scheduler
from pushcast.source import Clock
from pushcast.statistics import Statistics
from pushcast.store import Store
from pushcast.stream import Registry
from pushcast.streammap import StreamMap
from pushcast.streammap_rule import configured_rules

_log = logger("server")

# How long a thread that runs Python may keep the intake's from a frame: a busy event loop would have 5 ms otherwise.
SWITCH_S = 0.001
# How often the files of the API's certificate are looked at.
RENEW_S = 10.0


def run(config: Config) -> None:
    """Serve on an event loop of its own until SIGINT or SIGTERM."""
    uvloop.run(serve(config))


async def serve(config: Config) -> None:
    """Serve until SIGINT or SIGTERM; a second signal ends the process at once.

    :raises ConfigError: the configuration asks for what cannot be.  :raises TransportError: a port cannot be had.
    """
    stop = _stop_on_signals()
    descriptors.raise_limit()
    descriptors.make_room()
    sys.setswitchinterval(SWITCH_S)
    heap.return_large_blocks()
    enforce(DestinationPolicy(config.destinations.allow, config.destinations.deny))
    token = obtain_access_token(config.api.access_token, config.state.path)
    apps = {vhost.name: [app.name for app in vhost.apps] for vhost in config.vhosts}
    profiles = {(vhost.name, app.name): app.output_profiles for vhost in config.vhosts for app in vhost.apps}
    registry = Registry(apps, Clock(), profiles)
    async with AsyncExitStack() as running:
        store = Store(config.state.path)
        running.push_async_callback(store.close)
        fanout = _fan_out(config)
        running.push_async_callback(fanout.close)
        scheduler = Scheduler(registry, fanout, config.destinations.connects_at_once)
        running.push_async_callback(scheduler.close)
        maps = _stream_maps(config, registry, scheduler)
        events, statistics = Events(scheduler), Statistics(registry, scheduler)
        for made in config.multiplex:
            multiplex = MultiplexStream(registry, made)
            running.callback(multiplex.close)
            registry.subscribe(multiplex)
        desired = Desired(registry, scheduler, store)
        desired.restore()
        beside = [
            desired.run(),
            statistics.run(),
            look_after(scheduler.running),
            garbage.collect_at_times(),
            *(each.watch() for each in maps),
        ]
        running.push_async_callback(_cancel, [asyncio.create_task(each) for each in beside])
        gate = Gate(registry, {(vhost.name, app.name): app.publish for vhost in config.vhosts for app in vhost.apps})
        running.push_async_callback(gate.close)
        ingest = RtmpIngest(registry, gate, config.rtmp.host, config.rtmp.port)
        running.push_async_callback(ingest.close)
        await _listen_rtmp(ingest)
        ports = [(parse_listen_url(port.listen), (port.vhost, port.app, port.name)) for port in config.mpegts]
        mpegts = MpegTsIngest(registry, ingest.intake, ports)
        running.push_async_callback(mpegts.close)
        await mpegts.start()
        srt = _srt_ingest(config, registry, gate)
        running.push_async_callback(srt.close)
        await _listen_srt(srt)
        pulls = Pulls(registry, config.pull.files_below)
        running.push_async_callback(pulls.close)
        _pull_sources(config, registry, scheduler, pulls)
        audit = AuditLog(config.state.path)
        running.push_async_callback(audit.close)
        services = Services(
            registry=registry,
            desired=desired,
            fanout=fanout,
            events=events,
            statistics=statistics,
            pulls=pulls,
            access=configured_access(config.api, token),
            audit=audit,
            cors=Cors(config.api.cors_origins),
            strict=config.api.strict_ome,
            mask_keys=config.api.mask_keys,
        )
        tls = _api_tls(config)
        api = Api(services, tls)
        running.push_async_callback(api.close)
        await _listen_api(api, config)
        if tls is not None:
            running.push_async_callback(_cancel, [asyncio.create_task(_renew(tls))])
        garbage.settle()
        _log.info("pushcast %s: ready", __version__)
        await stop.wait()
        _log.info("stopping")
    _log.info("stopped")


def _stop_on_signals() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal() -> None:
        stop.set()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal)
    return stop


def _fan_out(config: Config) -> FanOut:
    sender = config.sender
    return FanOut(
        udp=_pace(sender.udp_ms, sender.udp_most_ms),
        srt=_pace(sender.srt_ms, sender.srt_most_ms),
        tcp=_pace(sender.tcp_ms, sender.tcp_most_ms),
        threads=sender.threads,
    )


def _pace(ms: int, most_ms: int) -> Pace:
    return Pace(ms, max(ms, most_ms))


async def _listen_rtmp(ingest: RtmpIngest) -> None:
    try:
        await ingest.start()
    except OSError as error:
        raise _cannot_listen("rtmp", ingest.host, ingest.port, error) from error
    _log.info("rtmp: listening on %s", endpoint(ingest.host, ingest.port))


def _srt_ingest(config: Config, registry: Registry, gate: Gate) -> SrtIngest:
    srt = config.srt
    passphrase = srt.passphrase.get_secret_value() if srt.passphrase is not None else ""
    return SrtIngest(registry, gate, srt.host, srt.port, srt.latency_ms, passphrase)


async def _listen_srt(ingest: SrtIngest) -> None:
    try:
        await ingest.start()
    except OSError as error:
        raise _cannot_listen("srt", ingest.host, ingest.port, error) from error
    _log.info("srt: listening on %s", endpoint(ingest.host, ingest.port))


async def _listen_api(api: Api, config: Config) -> None:
    try:
        host, port = await api.start(config.api.host, config.api.port)
    except OSError as error:
        raise _cannot_listen("api", config.api.host, config.api.port, error) from error
    scheme = "https" if config.api.tls_cert else "http"
    _log.info("api: listening on %s://%s", scheme, endpoint(host, port))


def _stream_maps(config: Config, registry: Registry, scheduler: Scheduler) -> list[StreamMap]:
    """One for each app that has rules, or a file of them; the configured ones count from the first stream on."""
    maps = []
    for v, vhost in enumerate(config.vhosts):
        for a, app in enumerate(vhost.apps):
            if app.pushes or app.stream_map is not None:
                rules = configured_rules(app, f"vhosts[{v}].apps[{a}]")
                maps.append(StreamMap(registry, scheduler, vhost.name, app.name, rules, app.stream_map))
                registry.subscribe(maps[-1])
    return maps


def _api_tls(config: Config) -> ServerTls | None:
    if config.api.tls_cert is None or config.api.tls_key is None:
        return None
    return ServerTls(config.api.tls_cert, config.api.tls_key)


async def _renew(tls: ServerTls) -> None:
    """Follow the certificate's files, until cancelled."""
    while True:
        await asyncio.sleep(RENEW_S)
        tls.reload_if_changed()


def _cannot_listen(section: str, host: str, port: int, error: OSError) -> TransportError:
    reason = error.strerror or str(error)
    return TransportError(f"{section}.port: cannot listen on {endpoint(host, port)}: {reason}")


def _pull_sources(config: Config, registry: Registry, scheduler: Scheduler, pulls: Pulls) -> None:
    """A file ends when it is over; everything else is pulled again."""
    for source in config.sources:
        name, urls = (source.vhost, source.app, source.name), source.all_urls
        settings = PullSettings(
            urls,
            persistent=any(scheme_of(url) != "file" for url in urls),
            no_input_s=source.no_input_s,
            unused_s=source.unused_s or math.inf,
            retry_count=math.inf,
        )
        wanted = partial(scheduler.wants, registry.output_names(*name)) if source.unused_s else None
        pulls.keep(name, settings, wanted)


async def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)
