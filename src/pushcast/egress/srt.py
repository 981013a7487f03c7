"""SRT caller egress: MPEG-TS over libsrt's live mode.

Connects are non-blocking and concurrent: one peer that never answers costs its own deadline and nobody else's.
Buffers are sized for a sender, see ``sender_buffers``.  ``srt_close`` may block, so it runs in threads of its own,
never on the event loop.
"""

from __future__ import annotations

import asyncio
import math
import socket
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, ClassVar

from pushcast.egress.link import NO_OPTIONS, Link, Protocol, Target
from pushcast.egress.multiplexer import Lease, PortKey, Ports
from pushcast.egress.resolve import Address, resolve
from pushcast.egress.srt_members import read_srt_options
from pushcast.egress.srt_options import SrtOptions
from pushcast.egress.srt_rejection import rejection
from pushcast.egress.ts_members import read_ts_options
from pushcast.egress.url import require_port, split_url
from pushcast.errors import ConnectionLost, ConnectTimeout, EngineError, InvalidRequest, ResolveError
from pushcast.log import logger
from pushcast.media import Container
from pushcast.srt import SrtCaller
from pushcast.srtconnector import SrtConnector
from pushcast.srttransport import SrtTransport

# A wanted stop waits no longer than this for acknowledgements, and as long again for the peer's latency.
FAREWELL_S = 2.0
_FAREWELL_LOOK_S = 0.01
# How often broken connections are looked for; libsrt itself takes 5 s of silence before it calls a peer lost.
WATCH_S = 0.5
# Closing takes a few milliseconds and waits for one of libsrt's locks; two threads are enough for a thousand closes a
# second.
_closers = ThreadPoolExecutor(2, thread_name_prefix="srt-close")

# libsrt derives the keys of an encrypted handshake (about 1.5 ms of CPU) in the receiving thread of its port, where the
# acknowledgements and loss reports of running pushes wait meanwhile: two hundred at once would hold them up for longer
# than their latency.
_KEY_DERIVATION_S = 0.005
# Lost packets are sent again at each report of the peer, half a round trip apart, and not once in a round trip: through
# 10 % loss four round trips of latency are then enough for all of them, at a tenth more packets.  (libsrt's default, 1,
# loses some three of a thousand lost ones there.)
AT_EACH_REPORT = 0
_UNIT_BYTES = 1500 - 28  # what libsrt counts one packet of SRTO_SNDBUF and SRTO_RCVBUF as
_UDP_BUFFER_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class SrtTarget(Target):
    options: SrtOptions = field(default_factory=SrtOptions, repr=False)

    @property
    def warnings(self) -> tuple[str, ...]:
        return self.options.warnings


def sender_buffers(bytes_per_s: int, latency_ms: int, datagram_bytes: int) -> dict[str, int]:
    """Buffer options of a caller that only sends.

    Nothing is received but control packets, so the receiving side is as small as libsrt allows: FC sizes our loss
    list and is what the peer may send us, RCVBUF may not exceed it.  The sending side holds what the peer has not
    acknowledged: while one packet is missing that is up to the latency, twice it when the round trip is long, plus a
    quarter second for acknowledgements and jitter; doubled, because a keyframe comes at several times the mean rate.
    What does not fit waits in the stream's ring, which all pushes share.
    """
    packets_per_s = (bytes_per_s or 1_250_000) / datagram_bytes
    packets = max(256, math.ceil(2 * packets_per_s * (2 * latency_ms / 1000 + 0.25)))
    return {
        "fc": 32,
        "rcvbuf": 32 * _UNIT_BYTES,
        "sndbuf": min(packets * _UNIT_BYTES, 1 << 30),
        "udp_sndbuf": _UDP_BUFFER_BYTES,
        "udp_rcvbuf": _UDP_BUFFER_BYTES,
    }


_log = logger("srt")


class _LinkWatch:
    """One timer of a loop that asks all its SRT links whether they still stand."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._watched: set[SrtLink] = set()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, link: SrtLink) -> None:
        self._watched.add(link)
        if self._timer is None:
            self._timer = self._loop.call_later(WATCH_S, self._look)

    def discard(self, link: SrtLink) -> None:
        self._watched.discard(link)

    def _look(self) -> None:
        for link in [link for link in self._watched if not link.transport.connected]:
            self._watched.discard(link)
            link.lose(ConnectionLost(f"SRT peer {link.target.endpoint} closed the connection or fell silent"))
        self._timer = self._loop.call_later(WATCH_S, self._look) if self._watched else None


class SrtLink(Link):
    """A peer that accepted our call."""

    __slots__ = ("_lease", "_watch", "target")

    transport: SrtTransport

    def __init__(self, transport: SrtTransport, target: SrtTarget, lease: Lease, watch: _LinkWatch) -> None:
        super().__init__(transport)
        self.target = target
        self._lease = lease
        self._watch = watch

    def watch(self) -> None:
        self._watch.add(self)

    def unwatch(self) -> None:
        super().unwatch()
        self._watch.discard(self)

    async def farewell(self) -> None:
        """Let the peer have what it was sent.

        Closing drops what the peer has not acknowledged, and has the peer drop what it holds back for its latency.
        """
        loop = asyncio.get_running_loop()
        end = loop.time() + FAREWELL_S
        stats = self.transport.stats()
        while stats.get("send_buffer_packets") and loop.time() < end:
            await asyncio.sleep(_FAREWELL_LOOK_S)
            stats = self.transport.stats()
        if stats:
            await asyncio.sleep(min((stats["peer_latency_ms"] + stats["rtt_ms"]) / 1000, FAREWELL_S))

    def on_overload(self, reason: str) -> None:
        """Say so, and keep further callers away from the port meanwhile."""
        self._lease.strained = bool(reason)
        if reason:
            _log.warning("srt %s: overload: %s", self.target.endpoint, reason)
        else:
            _log.info("srt %s: no overload any more", self.target.endpoint)

    async def close(self) -> None:
        closed = _close_soon(self.transport.close, self._lease)
        await asyncio.shield(asyncio.wrap_future(closed))

    def stats(self) -> dict[str, int | float]:
        return self.transport.stats()


def _close_soon(close: Callable[[], None], lease: Lease | None) -> Future[None]:
    def run() -> None:
        try:
            close()
        finally:
            if lease is not None:
                lease.give_back()

    return _closers.submit(run)


class _LoopSide:
    """What belongs to one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.connector = SrtConnector(loop)
        self.watch = _LinkWatch(loop)
        self._next_key_derivation = 0.0

    async def key_derivation_turn(self) -> None:
        """Wait until this handshake may cost the receiving thread its key derivation; a dead peer keeps no turn."""
        now = self.loop.time()
        turn = max(now, self._next_key_derivation)
        self._next_key_derivation = turn + _KEY_DERIVATION_S
        if turn > now:
            await asyncio.sleep(turn - now)


class SrtProtocol(Protocol):
    name: ClassVar[str] = "srt"
    container: ClassVar[Container] = Container.MPEGTS
    members: ClassVar[tuple[str, ...]] = ("srtOptions", "mpegtsOptions")

    def __init__(self) -> None:
        self.ports = Ports()
        self._side: _LoopSide | None = None

    def parse(self, url: str, stream_key: str, options: Mapping[str, Any] = NO_OPTIONS) -> SrtTarget:
        """``srt://host:port[?options]``; SRT has no use for the stream key (the stream id is an option)."""
        parts = split_url(url)
        if parts.scheme != "srt":
            raise InvalidRequest("Unsupported protocol")
        ts_options, spreads_frames = read_ts_options(options.get("mpegtsOptions"))
        return SrtTarget(
            parts.host,
            require_port(parts),
            read_srt_options(options.get("srtOptions"), parts.query),
            ts_options=ts_options,
            spreads_frames=spreads_frames,
        )

    async def connect(self, target: Target, bytes_per_s: int) -> Link:
        if not isinstance(target, SrtTarget):
            raise TypeError(f"srt: found a {type(target).__name__}, expected an SrtTarget")
        if target.options.encrypted:
            await self._loop_side().key_derivation_turn()
        try:
            async with asyncio.timeout(target.options.timeout_s):
                return await self._connect_any(target, bytes_per_s)
        except TimeoutError as error:
            raise ConnectTimeout(
                f"SRT peer {target.endpoint} did not answer in {target.options.timeout_s:g} s"
            ) from error

    async def _connect_any(self, target: SrtTarget, bytes_per_s: int) -> SrtLink:
        """The first address that accepts; the error of the last one when none does."""
        last: EngineError = ResolveError(f"host '{target.host}' has no address of the adapter's family")
        for address in await resolve(target.host, target.port, type=socket.SOCK_DGRAM):
            adapter = target.options.adapter
            if adapter and (":" in adapter) != (address[0] == socket.AF_INET6):
                continue
            try:
                return await self._connect_one(target, address, bytes_per_s)
            except EngineError as error:
                last = error
        raise last

    async def _connect_one(self, target: SrtTarget, address: Address, bytes_per_s: int) -> SrtLink:
        side = self._loop_side()
        family, sockaddr = address
        asked = dict(target.options.socket)
        buffers = sender_buffers(bytes_per_s, target.options.latency_ms, target.options.datagram_bytes)
        wanted: dict[str, int | bytes] = {"retransmitalgo": AT_EACH_REPORT, **buffers, **asked}
        caller = SrtCaller(_in_order(wanted))
        key = PortKey(
            family=family,
            adapter=target.options.adapter,
            device=wanted.get("bindtodevice"),
            mss=wanted.get("mss"),
            ipttl=wanted.get("ipttl"),
            iptos=wanted.get("iptos"),
            udp_sndbuf=wanted.get("udp_sndbuf"),
            udp_rcvbuf=wanted.get("udp_rcvbuf"),
            encrypted=target.options.encrypted,
        )
        lease: Lease | None = None
        try:
            lease = self.ports.bind(caller, key, bytes_per_s)
            reason = await side.connector.connect(caller, family, sockaddr)
            if reason is not None:
                raise rejection(reason, target.endpoint)
            transport = SrtTransport(caller, target.options.datagram_bytes)
        except BaseException:
            _close_soon(caller.close, lease)
            raise
        return SrtLink(transport, target, lease, side.watch)

    def _loop_side(self) -> _LoopSide:
        loop = asyncio.get_running_loop()
        if self._side is None or self._side.loop is not loop:
            self._side = _LoopSide(loop)
        return self._side


def _in_order(options: dict[str, int | bytes]) -> list[tuple[str, int | bytes]]:
    """mss and fc first: libsrt converts buffer sizes by the first and bounds RCVBUF by the second."""
    first = [name for name in ("mss", "fc") if name in options]
    return [(name, options[name]) for name in first] + [pair for pair in options.items() if pair[0] not in first]
