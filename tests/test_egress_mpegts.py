"""MPEG-TS egress over UDP and TCP: the URL rules, socket options and real receivers."""

import asyncio
import errno
import logging
import random
import socket
import struct

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st
from live import watched

from pushcast.egress.mpegts import MpegtsProtocol, TcpTarget, UdpTarget, _set_tcp_options, _set_udp_options
from pushcast.egress.streamlink import unsent_bytes
from pushcast.errors import (
    ConnectionLost,
    ConnectRefused,
    ConnectTimeout,
    InvalidRequest,
    ResolveError,
    TransportError,
)
from pushcast.media import Container

PACKET = 188
IP_RECVTTL = 12  # Linux; the socket module does not name it


@pytest.fixture
def protocol() -> MpegtsProtocol:
    return MpegtsProtocol()


def ts_bytes(packets: int, seed: int) -> bytes:
    noise = random.Random(seed)
    return b"".join(b"\x47" + noise.randbytes(PACKET - 1) for _ in range(packets))


def receiver(family: int = socket.AF_INET, address: str = "127.0.0.1") -> socket.socket:
    sock = socket.socket(family, socket.SOCK_DGRAM)
    sock.bind((address, 0))
    sock.settimeout(3)
    return sock


# ---- the URL ----


def test_what_the_protocol_is(protocol):
    assert (protocol.name, protocol.container) == ("mpegts", Container.MPEGTS)


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("srt://10.0.0.1:29998", "Unsupported protocol"),
        ("UDP://10.0.0.1:29998", "Unsupported protocol"),
        ("tcp://10.0.0.1:29998?listen", "Unsupported tcp listen"),
        ("tcp://10.0.0.1:29998/listen", "Unsupported tcp listen"),
        ("tcp://10.0.0.1:29998?listen=1", "Unsupported tcp listen"),
        ("udp://", "Could not parse url"),
        ("udp:10.0.0.1:5000", "Could not parse url"),
        ("udp://10.0.0.1:99999", "Could not parse url"),
        ("tcp://10.0.0.1:1 2", "Could not parse url"),
        ("udp://2001:db8::4:5000", "Could not parse url"),
        ("udp://239.1.2.3", "Could not parse url: udp needs a port, udp://host:port"),
        ("tcp://sink.example", "Could not parse url: tcp needs a port, tcp://host:port"),
    ],
)
def test_a_wrong_url_is_refused_in_the_words_of_the_api(protocol, url, text):
    with pytest.raises(InvalidRequest) as caught:
        protocol.parse(url, "")
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("udp://239.4.5.6:5004", UdpTarget("239.4.5.6", 5004)),
        ("udp://[ff02::77]:5004?interface=eth3", UdpTarget("ff02::77", 5004, interface="eth3")),
        ("udp://sink.example:5004/?ttl=9", UdpTarget("sink.example", 5004, ttl=9)),
        ("udp://h:5004?ttl=0&pkt_size=1316", UdpTarget("h", 5004, ttl=0)),
        ("udp://h:5004?pkt_size=940", UdpTarget("h", 5004, datagram_bytes=940)),
        ("udp://h:5004?localaddr=192.0.2.8", UdpTarget("h", 5004, local_address="192.0.2.8")),
        ("udp://h:5004?localport=6005&reuse=1", UdpTarget("h", 5004, local_port=6005, reuse=True)),
        ("udp://h:5004?buffer_size=65536", UdpTarget("h", 5004, send_buffer_bytes=65536)),
        ("udp://h:5004?dscp=46&broadcast=1", UdpTarget("h", 5004, dscp=46, broadcast=True)),
        ("tcp://h:5004", TcpTarget("h", 5004)),
        ("tcp://h:5004?listen=0", TcpTarget("h", 5004)),
        ("tcp://h:5004?timeout=2500000", TcpTarget("h", 5004, timeout_s=2.5)),
        (
            "tcp://h:5004?timeout=2500ms&send_buffer_size=99999",
            TcpTarget("h", 5004, timeout_s=2.5, send_buffer_bytes=99999),
        ),
        ("tcp://[::1]:5004?localaddr=::1&dscp=8", TcpTarget("::1", 5004, local_address="::1", dscp=8)),
    ],
)
def test_targets(protocol, url, target):
    assert protocol.parse(url, "the key is not used") == target


@pytest.mark.parametrize(
    ("query", "named", "allowed"),
    [
        ("pkt_size=1472", "pkt_size", "1316"),
        ("pkt_size=1000", "pkt_size", "multiples of 188"),
        ("pkt_size=0", "pkt_size", "188"),
        ("ttl=256", "ttl", "0..255"),
        ("ttl=far", "ttl", "0..255"),
        ("localaddr=eth0", "localaddr", "IPv4 or IPv6"),
        ("localport=70000", "localport", "65535"),
        ("dscp=64", "dscp", "0..63"),
        ("buffer_size=1", "buffer_size", "4096"),
        ("interface=a-name-that-is-too-long", "interface", "network interface"),
        ("interface=", "interface", "network interface"),
        ("reuse=perhaps", "reuse", "0 or 1"),
    ],
)
def test_a_bad_option_is_named_with_what_is_allowed(protocol, query, named, allowed):
    with pytest.raises(InvalidRequest) as caught:
        protocol.parse(f"udp://192.0.2.4:5004?{query}", "")
    assert str(caught.value).startswith(f"Option {named}: found ")
    assert allowed in str(caught.value)


def test_unknown_options_are_named_in_the_log(protocol, caplog):
    caplog.set_level(logging.INFO)
    logging.getLogger("pushcast").propagate = True
    assert protocol.parse("udp://192.0.2.4:5004?fifo_size=77&ttl=3", "") == UdpTarget("192.0.2.4", 5004, ttl=3)
    assert ["fifo_size" in record.getMessage() for record in caplog.records] == [True]


@settings(deadline=None, max_examples=200)
@given(st.sampled_from(["udp", "tcp"]), st.text(max_size=60))
def test_any_url_is_parsed_or_refused(scheme, tail):
    for url in (f"{scheme}://{tail}", f"{scheme}://192.0.2.4:5004?{tail}", f"{scheme}://h:1?pkt_size={tail}"):
        try:
            MpegtsProtocol().parse(url, "")
        except InvalidRequest:
            continue


# ---- UDP ----


@pytest.mark.parametrize(
    ("family", "address", "shown"), [(socket.AF_INET, "127.0.0.1", "127.0.0.1"), (socket.AF_INET6, "::1", "[::1]")]
)
async def test_udp_sends_whole_packets(protocol, family, address, shown):
    data = ts_bytes(7 * 3 + 2, seed=31)
    with receiver(family, address) as sink:
        port = sink.getsockname()[1]
        link = await protocol.connect(protocol.parse(f"udp://{shown}:{port}", ""), 312_500)
        assert link.transport.send(data) == len(data)
        got = [sink.recv(2048) for _ in range(4)]
    assert [len(datagram) for datagram in got] == [1316, 1316, 1316, 376]
    assert b"".join(got) == data
    assert (link.message_stream_id, link.final(), link.stats()) == (0, b"", {})
    await link.close()
    await link.close()
    assert link.transport.closed


async def test_a_smaller_datagram_from_a_chosen_address_and_port(protocol):
    with receiver() as sink, receiver() as held:
        local_port = held.getsockname()[1]
        held.close()
        query = f"pkt_size=376&localaddr=127.0.0.2&localport={local_port}&reuse=1"
        link = await protocol.connect(protocol.parse(f"udp://127.0.0.1:{sink.getsockname()[1]}?{query}", ""), 0)
        link.transport.send(ts_bytes(5, seed=32))
        got = [sink.recvfrom(2048) for _ in range(3)]
        await link.close()
    assert [len(data) for data, _ in got] == [376, 376, 188]
    assert {sender for _, sender in got} == {("127.0.0.2", local_port)}


async def test_multicast_leaves_by_the_chosen_interface_with_a_time_to_live(protocol):
    group = "239.77.3.9"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sink:
        sink.bind((group, 0))
        sink.settimeout(3)
        member = socket.inet_aton(group) + socket.inet_aton("127.0.0.1")
        sink.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, member)
        sink.setsockopt(socket.IPPROTO_IP, IP_RECVTTL, 1)
        sink.setsockopt(socket.IPPROTO_IP, socket.IP_RECVTOS, 1)
        port = sink.getsockname()[1]
        for query, ttl, tos in (("localaddr=127.0.0.1", 16, 0), ("interface=lo&ttl=3&dscp=46", 3, 46 << 2)):
            link = await protocol.connect(protocol.parse(f"udp://{group}:{port}?{query}", ""), 0)
            link.transport.send(ts_bytes(7, seed=33))
            data, ancillary, _, _ = sink.recvmsg(2048, 256)
            levels = {kind: value for level, kind, value in ancillary if level == socket.IPPROTO_IP}
            assert len(data) == 1316
            assert struct.unpack("i", levels[socket.IP_TTL])[0] == ttl
            assert levels[socket.IP_TOS][0] == tos
            await link.close()


@pytest.mark.parametrize(("query", "hops"), [("interface=lo", 16), ("interface=lo&ttl=5", 5)])
def test_ipv6_multicast_options(protocol, query, hops):
    """Set, not sent: a loopback interface has no IPv6 multicast route."""
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as udp:
        _set_udp_options(udp, protocol.parse(f"udp://[ff02::77]:5004?{query}", ""), "ff02::77")
        assert udp.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF) == socket.if_nametoindex("lo")
        assert udp.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS) == hops


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_unicast_options(protocol, family):
    level, hops, traffic_class = (
        (socket.IPPROTO_IPV6, socket.IPV6_UNICAST_HOPS, socket.IPV6_TCLASS)
        if family == socket.AF_INET6
        else (socket.IPPROTO_IP, socket.IP_TTL, socket.IP_TOS)
    )
    target = protocol.parse("udp://sink.example:5004?ttl=33&dscp=34&buffer_size=70000&broadcast=1", "")
    with socket.socket(family, socket.SOCK_DGRAM) as udp:
        _set_udp_options(udp, target, "::1" if family == socket.AF_INET6 else "127.0.0.1")
        assert udp.getsockopt(level, hops) == 33
        assert udp.getsockopt(level, traffic_class) == 34 << 2
        assert udp.getsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST) == 1
        assert udp.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) == 2 * 70000


async def test_a_udp_receiver_that_is_not_there_ends_nothing(protocol):
    with receiver() as sink:
        port = sink.getsockname()[1]
    link = await protocol.connect(protocol.parse(f"udp://127.0.0.1:{port}", ""), 0)
    watching = watched(link)
    for _ in range(5):
        assert link.transport.send(ts_bytes(7, seed=35)) == 1316
        await asyncio.sleep(0.01)
    assert not watching.done()
    assert link.transport.stats()["refused"] > 0
    watching.cancel()
    await link.close()


@pytest.mark.parametrize(
    ("url", "error", "words"),
    [
        ("udp://no-such-host.invalid:5004", ResolveError, "no-such-host.invalid"),
        ("tcp://no-such-host.invalid:5004", ResolveError, "no-such-host.invalid"),
        ("udp://255.255.255.255:5004", TransportError, "255.255.255.255:5004"),
        ("udp://239.1.1.1:5004?interface=nosuchif", TransportError, "239.1.1.1:5004"),
        ("udp://127.0.0.1:5004?localaddr=192.0.2.200", TransportError, "127.0.0.1:5004"),
        ("tcp://127.0.0.1:5004?localaddr=192.0.2.200", TransportError, "127.0.0.1:5004"),
        ("tcp://127.0.0.1:5004?localaddr=::1", TransportError, "127.0.0.1:5004"),
    ],
)
async def test_what_cannot_be_connected_says_where(protocol, url, error, words):
    with pytest.raises(error) as caught:
        await protocol.connect(protocol.parse(url, ""), 0)
    assert words in str(caught.value)


# ---- TCP ----


class Sink:
    """A TCP server that takes one connection at a time and keeps what it reads."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.more = asyncio.Event()
        self.accepted: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted.put_nowait(writer)
        while chunk := await reader.read(65536):
            self.data += chunk
            self.more.set()
        writer.close()

    async def received(self, size: int) -> bytes:
        async with asyncio.timeout(3):
            while len(self.data) < size:
                self.more.clear()
                await self.more.wait()
        return bytes(self.data)


@pytest.mark.parametrize(("address", "shown"), [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")])
async def test_tcp_sends_and_notices_the_close(protocol, address, shown):
    data = ts_bytes(40, seed=41)
    sink = Sink()
    server = await asyncio.start_server(sink, address, 0)
    port = server.sockets[0].getsockname()[1]
    link = await protocol.connect(protocol.parse(f"tcp://{shown}:{port}", ""), 312_500)
    assert link.transport.datagram_bytes == 0
    watching = watched(link)
    assert link.transport.send(data) == len(data)
    assert await sink.received(len(data)) == data
    peer = await sink.accepted.get()
    peer.write(b"what a peer says is read and thrown away" * 1000)
    await peer.drain()
    assert not watching.done()
    peer.close()
    async with asyncio.timeout(3):
        with pytest.raises(ConnectionLost) as caught:
            await watching
    assert f"{shown}:{port}" in str(caught.value)
    await link.close()
    server.close()


@pytest.mark.parametrize(
    ("bytes_per_s", "unsent"),
    [(0, 256 * 1024), (10_000, 128 * 1024), (600_000, 300_000), (10**9, 4 * 1024 * 1024)],
)
def test_what_waits_unsent_follows_the_rate_within_bounds(bytes_per_s, unsent):
    assert unsent_bytes(bytes_per_s) == unsent


@pytest.mark.parametrize(("query", "send_buffer"), [("", None), ("send_buffer_size=50000", 100_000)])
def test_a_tcp_queue_is_bounded_and_a_dead_peer_found(protocol, query, send_buffer):
    target = protocol.parse(f"tcp://sink.example:5004?dscp=10&{query}", "")
    with (
        socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tcp,
        socket.socket(socket.AF_INET, socket.SOCK_STREAM) as untouched,
    ):
        _set_tcp_options(tcp, target, 900_000)
        assert tcp.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT) == 450_000
        # Without a wish the kernel goes on sizing it.
        default = untouched.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
        assert tcp.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF) == (send_buffer or default)
        assert tcp.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 10_000
        assert tcp.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert tcp.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert tcp.getsockopt(socket.IPPROTO_IP, socket.IP_TOS) == 10 << 2


def test_the_same_on_uvloop(protocol):
    async def push() -> None:
        loop = asyncio.get_running_loop()
        with socket.create_server(("::1", 0), family=socket.AF_INET6) as server, receiver() as sink:
            tcp = await protocol.connect(protocol.parse(f"tcp://[::1]:{server.getsockname()[1]}", ""), 0)
            udp = await protocol.connect(protocol.parse(f"udp://127.0.0.1:{sink.getsockname()[1]}", ""), 0)
            accepted, _ = await loop.run_in_executor(None, server.accept)
            watching = watched(tcp)
            await loop.run_in_executor(None, accepted.sendall, b"unasked" * 20_000)
            assert tcp.transport.send(ts_bytes(5, seed=42)) == udp.transport.send(ts_bytes(5, seed=42)) == 5 * PACKET
            assert sink.recv(2048) == ts_bytes(5, seed=42)
            assert not watching.done()
            accepted.close()
            async with asyncio.timeout(3):
                with pytest.raises(ConnectionLost):
                    await watching
            await tcp.close()
            await udp.close()
            refused = protocol.parse(f"tcp://[::1]:{server.getsockname()[1]}", "")
            server.close()
            with pytest.raises(ConnectRefused):
                await protocol.connect(refused, 0)

    uvloop.run(push())


async def test_a_reset_is_a_lost_connection(protocol):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        link = await protocol.connect(protocol.parse(f"tcp://127.0.0.1:{port}", ""), 0)
        accepted, _ = server.accept()
        watching = watched(link)
        accepted.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        accepted.close()
        async with asyncio.timeout(3):
            with pytest.raises(ConnectionLost, match="reset"):
                await watching
        await link.close()


async def test_watching_again_after_a_cancel(protocol):
    with socket.create_server(("127.0.0.1", 0)) as server:
        link = await protocol.connect(protocol.parse(f"tcp://127.0.0.1:{server.getsockname()[1]}", ""), 0)
        accepted, _ = server.accept()
        first = watched(link)
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        second = watched(link)
        accepted.close()
        async with asyncio.timeout(3):
            with pytest.raises(ConnectionLost, match="closed"):
                await second
        await link.close()


async def test_nobody_listens(protocol):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(ConnectRefused, match=f"127.0.0.1:{port}"):
        await protocol.connect(protocol.parse(f"tcp://127.0.0.1:{port}", ""), 0)


async def test_a_server_that_accepts_nothing_times_out_at_its_own_deadline(protocol):
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        port = server.getsockname()[1]
        # Connections that nobody accepts fill the queue, then the kernel leaves SYNs unanswered.
        filling = [socket.socket(socket.AF_INET, socket.SOCK_STREAM) for _ in range(4)]
        for sock in filling:
            sock.setblocking(False)
            assert sock.connect_ex(("127.0.0.1", port)) == errno.EINPROGRESS
        start = loop.time()
        with pytest.raises(ConnectTimeout, match=f"127.0.0.1:{port}"):
            await protocol.connect(protocol.parse(f"tcp://127.0.0.1:{port}?timeout=400000", ""), 0)
        assert 0.3 < loop.time() - start < 1.5
        for sock in filling:
            sock.close()
