"""SRT egress: the URL dialect, shared ports, and real receivers."""

import asyncio
import hashlib
import logging
import os
import random
import socket
from contextlib import contextmanager
from dataclasses import replace

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st
from live import watched
from srt_peer import srt_listener, until

from pushcast.egress.multiplexer import ASSUMED_BYTES_PER_S, MAX_BYTES_PER_S, MAX_SOCKETS, PortKey, PortLoad, Ports
from pushcast.egress.srt import SrtProtocol, SrtTarget, sender_buffers
from pushcast.errors import ConnectionLost, ConnectTimeout, EngineError, InvalidRequest, ResolveError, Retry, SrtError
from pushcast.media import Container
from pushcast.srt import SrtCaller, has_bonding, library_version

PACKET = 188
NULL_PACKET = b"\x47\x1f\xff\x10" + b"\xff" * 184


@pytest.fixture
def protocol() -> SrtProtocol:
    return SrtProtocol()


def ts_bytes(packets: int, seed: int) -> bytes:
    noise = random.Random(seed)
    return b"".join(b"\x47\x1f\xff\x10" + noise.randbytes(PACKET - 4) for _ in range(packets))


async def send_all(transport, data: bytes) -> None:
    async with asyncio.timeout(10):
        at = 0
        while at < len(data):
            at += transport.send(data[at : at + 1316 * 20])
            await asyncio.sleep(0.005)


def silent_port() -> socket.socket:
    held = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    held.bind(("127.0.0.1", 0))
    return held


def free_port() -> int:
    with silent_port() as held:
        return held.getsockname()[1]


# ---- the URL ----


def test_what_the_protocol_is(protocol):
    assert (protocol.name, protocol.container) == ("srt", Container.MPEGTS)


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("udp://10.0.0.1:29998", "Unsupported protocol"),
        ("SRT://10.0.0.1:29998", "Unsupported protocol"),
        ("rtmp://10.0.0.1/live", "Unsupported protocol"),
        ("srt://10.0.0.1:29998?mode=listener", "Unsupported connection mode"),
        ("srt://10.0.0.1:29998?mode=Caller", "Unsupported connection mode"),
        ("srt://10.0.0.1:29998?latency=1000&mode=rendezvous", "Unsupported connection mode"),
        ("srt://10.0.0.1:29998?mode=", "Unsupported connection mode"),
        ("not a url", "Could not parse url"),
        ("", "Could not parse url"),
        ("srt://", "Could not parse url"),
        ("srt://:9000", "Could not parse url"),
        ("srt://[::1:9000", "Could not parse url"),
        ("srt://10.0.0.1:0", "Could not parse url"),
        ("srt://10.0.0.1:65536", "Could not parse url"),
        ("srt://10.0.0.1:port", "Could not parse url"),
        ("srt://user:word@10.0.0.1:9000", "Could not parse url"),
        ("srt://10.0.0.1:9000?streamid=a\nb", "Could not parse url"),
        ("srt://10.0.0.1:9000?streamid=a b", "Could not parse url"),
        ("srt://10.0.0.1:9000?" + "x" * 5000, "Could not parse url"),
        ("srt://10.0.0.1", "Could not parse url: srt needs a port, srt://host:port"),
    ],
)
def test_a_wrong_url_is_refused_in_the_words_of_the_api(protocol, url, text):
    with pytest.raises(InvalidRequest) as caught:
        protocol.parse(url, "")
    assert str(caught.value) == text


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("srt://srt.example:9710", "srt.example", 9710),
        ("srt://192.0.2.4:9710?mode=caller", "192.0.2.4", 9710),
        ("srt://[2001:db8::4]:9710/", "2001:db8::4", 9710),
        ("srt://[fe80::4%eth7]:9710", "fe80::4%eth7", 9710),
    ],
)
def test_host_and_port(protocol, url, host, port):
    target = protocol.parse(url, "the key is not used")
    assert (target.host, target.port) == (host, port)


def test_an_ipv6_endpoint_is_shown_in_brackets(protocol):
    assert protocol.parse("srt://[2001:db8::4]:9710", "").endpoint == "[2001:db8::4]:9710"


@pytest.mark.parametrize(
    ("query", "options"),
    [
        # microseconds, as ffmpeg counts
        ("latency=230000", {"rcvlatency": 230, "peerlatency": 230}),
        ("tsbpddelay=230000", {"rcvlatency": 230, "peerlatency": 230}),
        ("rcvlatency=41000&peerlatency=42000", {"rcvlatency": 41, "peerlatency": 42}),
        ("latency=230000&peerlatency=42000", {"rcvlatency": 230, "peerlatency": 42}),
        ("latency=0", {"rcvlatency": 0, "peerlatency": 0}),
        # explicit suffixes
        ("latency=230ms", {"rcvlatency": 230, "peerlatency": 230}),
        ("latency=1.75s", {"rcvlatency": 1750, "peerlatency": 1750}),
        ("latency=5500us", {"rcvlatency": 5, "peerlatency": 5}),
        # libsrt's handshake timer follows the timeout, unless it is given, in milliseconds
        ("timeout=640000", {"conntimeo": 640}),
        ("timeout=640001", {"conntimeo": 641}),
        ("connect_timeout=870", {"conntimeo": 870}),
        ("conntimeo=870", {"conntimeo": 870}),
        ("connect_timeout=2s&timeout=640000", {"conntimeo": 2000}),
        ("peeridletimeo=7000", {"peeridletimeo": 7000}),
        ("ffs=4096", {"fc": 4096}),
        ("fc=4096", {"fc": 4096}),
        ("sndbuf=3000000&rcvbuf=500000", {"sndbuf": 3000000, "rcvbuf": 500000}),
        ("send_buffer_size=70000&recv_buffer_size=80000", {"udp_sndbuf": 70000, "udp_rcvbuf": 80000}),
        ("maxbw=-1&inputbw=312345&oheadbw=35", {"maxbw": -1, "inputbw": 312345, "oheadbw": 35}),
        ("maxbw=9876543210", {"maxbw": 9876543210}),
        ("ipttl=77&iptos=184", {"ipttl": 77, "iptos": 184}),
        ("tlpktdrop=0&nakreport=true", {"tlpktdrop": 0, "nakreport": 1}),
        ("enforced_encryption=0", {"enforcedencryption": 0}),
        ("enforcedencryption=no", {"enforcedencryption": 0}),
        ("kmrefreshrate=9000&kmpreannounce=400", {"kmrefreshrate": 9000, "kmpreannounce": 400}),
        ("lossmaxttl=21", {"lossmaxttl": 21}),
        ("minversion=1.4.2", {"minversion": 0x010402}),
        ("minversion=66562", {"minversion": 66562}),
        ("passphrase=ten+letters&pbkeylen=24", {"passphrase": b"ten+letters", "pbkeylen": 24}),
        ("passphrase=a%26b%3Dc%25d%C3%A4%2Be", {"passphrase": "a&b=c%dä+e".encode()}),
        ("passphrase=", {}),
        ("streamid=live%2Fcam7%3Ftoken%3Dx", {"streamid": b"live/cam7?token=x"}),
        ("streamid=#!::r=live/cam7,m=publish", {"streamid": b"#!::r=live/cam7,m=publish"}),
        ("streamid=%23!::r%3Dlive/cam7,m%3Dpublish", {"streamid": b"#!::r=live/cam7,m=publish"}),
        ("streamid=publish:cam7:user:word&latency=55ms", {"streamid": b"publish:cam7:user:word", "peerlatency": 55}),
        ("streamid=first&streamid=second", {"streamid": b"first"}),
        ("packetfilter=fec,cols:10", {"packetfilter": b"fec,cols:10"}),
        ("transtype=live&smoother=live&congestion=live&messageapi=1", {}),
        ("mss=1400", {"mss": 1400}),
    ],
)
def test_options_in_libsrts_units(protocol, query, options):
    found = dict(protocol.parse(f"srt://192.0.2.4:9710?{query}", "").options.socket)
    assert {name: found.get(name) for name in options} == options
    assert set(found) - set(options) <= {"payloadsize", "rcvlatency"}


@pytest.mark.parametrize(
    ("query", "datagram_bytes"),
    [
        ("", 1316),
        ("payload_size=752", 752),
        ("pkt_size=1316", 1316),
        ("payloadsize=1456", 1316),
        ("payload_size=400", 376),
        ("mss=700", 564),
    ],
)
def test_a_payload_is_whole_packets(protocol, query, datagram_bytes):
    options = protocol.parse(f"srt://192.0.2.4:9710?{query}", "").options
    assert options.datagram_bytes == datagram_bytes
    assert options.get("payloadsize") == datagram_bytes


@pytest.mark.parametrize(
    ("query", "named", "allowed"),
    [
        ("latency=fast", "latency", "us"),
        ("latency=-5", "latency", "us"),
        ("latency=120000ms", "latency", "65535000us"),
        ("latency=1.5", "latency", "us"),
        ("peerlatency=9h", "peerlatency", "us"),
        ("timeout=0", "timeout", "1000us"),
        ("connect_timeout=ever", "connect_timeout", "ms"),
        ("payload_size=1457", "payload_size", "188..1456"),
        ("payload_size=100", "payload_size", "188..1456"),
        ("payload_size=1316&mss=1200", "payload_size", "188..1156"),
        ("pbkeylen=20", "pbkeylen", "16 or 24 or 32"),
        ("oheadbw=101", "oheadbw", "5..100"),
        ("ipttl=0", "ipttl", "1..255"),
        ("iptos=256", "iptos", "0..255"),
        ("mss=1501", "mss", "1500"),
        ("ffs=31", "ffs", "32"),
        ("maxbw=99999999999999999999", "maxbw", "-1"),
        ("tlpktdrop=maybe", "tlpktdrop", "0 or 1"),
        ("transtype=file", "transtype", "live"),
        ("smoother=file", "smoother", "live"),
        ("messageapi=0", "messageapi", "1"),
        ("minversion=1.4", "minversion", "1.5.0"),
        ("minversion=1.999.0", "minversion", "1.5.0"),
        ("adapter=eth0", "adapter", "IPv4 or IPv6 address"),
        ("latency=%FF", "latency", "UTF-8"),
    ],
)
def test_a_bad_option_is_named_with_what_is_allowed(protocol, query, named, allowed):
    with pytest.raises(InvalidRequest) as caught:
        protocol.parse(f"srt://192.0.2.4:9710?{query}", "")
    assert str(caught.value).startswith(f"Option {named}: found ")
    assert allowed in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("query", "secret"),
    [
        ("passphrase=tooshort!", "tooshort!"),
        ("passphrase=" + "toolong" * 12, "toolong"),
        ("passphrase=with%00a%00nought%00inside", "nought"),
        ("streamid=" + "s3cr3t" * 90, "s3cr3t"),
    ],
)
def test_a_secret_is_refused_without_being_shown(protocol, query, secret):
    with pytest.raises(InvalidRequest) as caught:
        protocol.parse(f"srt://192.0.2.4:9710?{query}", "")
    assert secret not in str(caught.value)
    assert "bytes" in str(caught.value)


def test_no_secret_in_a_targets_repr(protocol):
    target = protocol.parse("srt://192.0.2.4:9710?passphrase=hidden+words&streamid=hidden-too", "hidden-key")
    assert "hidden" not in repr(target)
    assert "hidden" not in repr(target.options)


@pytest.mark.parametrize("option", ["grouptype=broadcast", "nodes=192.0.2.5:9710,192.0.2.6:9710", "groupconnect=1"])
def test_groups_need_a_library_that_has_them(protocol, option):
    """A single link in their place would be no group, and nobody would know."""
    assert not has_bonding(), "groups could be built on this library"
    with pytest.raises(InvalidRequest) as caught:
        protocol.parse(f"srt://192.0.2.4:9710?latency=70ms&{option}", "")
    name = option.partition("=")[0]
    assert str(caught.value).startswith(f"Option {name}: found '")
    assert str(caught.value).endswith(f"groups need bonding, which libsrt {library_version()} here has not")


def test_unknown_options_are_ignored_with_one_line_that_names_them(protocol, caplog):
    caplog.set_level(logging.INFO)
    logging.getLogger("pushcast").propagate = True
    target = protocol.parse("srt://192.0.2.4:9710?warp=9secret&latency=70ms&linger=3&baresecret", "")
    assert target.options.latency_ms == 70
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 3
    assert "warp" in lines[0]
    assert "linger" in lines[1]
    assert not any("secret" in line for line in lines)


@settings(deadline=None, max_examples=300)
@given(st.text(max_size=60))
def test_any_url_is_parsed_or_refused(tail):
    for url in (f"srt://{tail}", f"srt://192.0.2.4:9710?{tail}", f"srt://192.0.2.4:9710?latency={tail}"):
        try:
            target = SrtProtocol().parse(url, "")
        except InvalidRequest:
            continue
        assert isinstance(target, SrtTarget)
        assert target.options.datagram_bytes % PACKET == 0


# ---- buffers and ports ----


def test_the_send_buffer_grows_with_rate_and_latency():
    small = sender_buffers(312_500, 120, 1316)
    assert small["fc"] == 32
    assert small["rcvbuf"] <= small["fc"] * 1472
    assert sender_buffers(2_500_000, 120, 1316)["sndbuf"] > 4 * small["sndbuf"]
    assert sender_buffers(312_500, 4000, 1316)["sndbuf"] > 4 * small["sndbuf"]
    # A second of media at least, when the round trip is as long as a latency of 400 ms.
    assert sender_buffers(1_000_000, 400, 1316)["sndbuf"] >= 1_000_000


@contextmanager
def bound(ports, count, bytes_per_s=1000, **key):
    """Leases of so many callers."""
    callers = [SrtCaller() for _ in range(count)]
    try:
        yield [ports.bind(caller, PortKey(socket.AF_INET, **key), bytes_per_s) for caller in callers]
    finally:
        for caller in callers:
            caller.close()


def sockets(ports):
    return [load.sockets for load in ports.loads()]


def test_callers_fill_a_port_before_the_next_is_opened():
    ports = Ports(spare_cores=1)
    with bound(ports, MAX_SOCKETS + 3) as leases:
        assert sockets(ports) == [MAX_SOCKETS, 3]
        leases[0].give_back()
        leases[0].give_back()
        assert sockets(ports) == [MAX_SOCKETS - 1, 3]
        for lease in leases[-3:]:
            lease.give_back()
        assert sockets(ports) == [MAX_SOCKETS - 1]
    for lease in leases:
        lease.give_back()
    assert sockets(ports) == []


def test_ports_are_half_filled_while_there_are_cores_to_spare():
    ports = Ports(spare_cores=3)
    with bound(ports, 3 * MAX_SOCKETS + 2):
        # The third is the last with a core of its own; then all are filled, then there is another.
        assert sockets(ports) == [MAX_SOCKETS, MAX_SOCKETS, MAX_SOCKETS, 2]
    ports = Ports(spare_cores=3)
    with bound(ports, MAX_SOCKETS // 2 + 2):
        assert sockets(ports) == [MAX_SOCKETS // 2, 2]


def test_an_overloaded_port_takes_no_more_callers():
    ports = Ports(spare_cores=1)
    with bound(ports, 2) as first:
        first[0].strained = True
        with bound(ports, 2):
            assert [(load.sockets, load.overloaded) for load in ports.loads()] == [(2, 1), (2, 0)]
            first[0].strained = False
            with bound(ports, 1):
                assert [(load.sockets, load.overloaded) for load in ports.loads()] == [(3, 0), (2, 0)]


def test_a_rate_that_is_not_known_yet_counts_as_an_assumed_one():
    ports = Ports(spare_cores=1)
    with bound(ports, 1, bytes_per_s=0):
        assert ports.loads() == [PortLoad(1, ASSUMED_BYTES_PER_S, 0)]


@pytest.mark.parametrize(("encrypted", "on_one"), [(False, 5), (True, 1)])
def test_a_port_carries_a_bounded_rate(encrypted, on_one):
    ports = Ports(spare_cores=1)
    with bound(ports, 6, MAX_BYTES_PER_S // 5, encrypted=encrypted):
        assert sockets(ports)[0] == on_one


def test_sockets_that_disagree_do_not_share_a_port():
    ports = Ports()
    callers = [SrtCaller(), SrtCaller([("ipttl", 9)]), SrtCaller(), SrtCaller()]
    plain = PortKey(socket.AF_INET)
    keys = [plain, replace(plain, ipttl=9), replace(plain, family=socket.AF_INET6), replace(plain, encrypted=True)]
    for caller, key in zip(callers, keys, strict=True):
        ports.bind(caller, key, 0)
    assert sockets(ports) == [1, 1, 1, 1]
    for caller in callers:
        caller.close()


async def test_a_port_that_somebody_else_took_is_replaced():
    ports = Ports()
    key = PortKey(socket.AF_INET)
    first, second = SrtCaller(), SrtCaller()
    lease = ports.bind(first, key, 0)
    # libsrt drops the port with its last socket, although this lease was not given back yet.
    await asyncio.to_thread(first.close)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as thief:
        async with asyncio.timeout(8):
            while True:
                try:
                    thief.bind(("0.0.0.0", lease.port.number))
                    break
                except OSError:
                    await asyncio.sleep(0.02)
        replaced = ports.bind(second, key, 0)
        assert replaced.port.number != lease.port.number
        assert sockets(ports) == [1]
    lease.give_back()
    assert sockets(ports) == [1]
    second.close()


# ---- connecting ----


async def test_a_link_sends_watches_and_closes(protocol):
    data = ts_bytes(7 * 30, seed=11)
    async with srt_listener() as peer:
        target = protocol.parse(f"srt://127.0.0.1:{peer.port}?streamid=cam%2F7&latency=90ms", "")
        link = await protocol.connect(target, 400_000)
        watching = watched(link)
        await send_all(link.transport, data)
        got = await peer.received(len(data))
        assert got["sha256"] == hashlib.sha256(data).hexdigest()
        assert (got["streamid"], got["latency_ms"]) == ("cam/7", 120)
        assert (link.message_stream_id, link.final()) == (0, b"")
        assert link.stats()["sent_unique_packets"] == 30
        assert not watching.done()
        await peer.close()
        async with asyncio.timeout(3):
            with pytest.raises(ConnectionLost, match=f"127.0.0.1:{peer.port}"):
                await watching
        await link.close()
        await link.close()
    assert link.transport.closed
    assert sockets(protocol.ports) == []


@pytest.mark.parametrize(
    ("listener", "query", "reason", "words"),
    [
        ({"passphrase": "correct horse battery"}, "passphrase=wrong+horse+battery", 10, "wrong passphrase"),
        ({"passphrase": "correct horse battery"}, "", 11, "only one side has a passphrase"),
        ({"reject": 1401}, "", 1401, "unauthorized"),
    ],
)
async def test_a_refusal_says_why_and_is_retried_slowly(protocol, listener, query, reason, words):
    async with srt_listener(**listener) as peer:
        with pytest.raises(SrtError, match=words) as caught:
            await protocol.connect(protocol.parse(f"srt://127.0.0.1:{peer.port}?{query}", ""), 0)
    assert (caught.value.reject_reason, caught.value.retry) == (reason, Retry.SLOWLY)
    assert "horse" not in str(caught.value)
    await until(lambda: not protocol.ports.loads())


async def test_the_right_passphrase_is_accepted(protocol):
    async with srt_listener(passphrase="correct horse battery") as peer:
        url = f"srt://127.0.0.1:{peer.port}?passphrase=correct%20horse%20battery&pbkeylen=32"
        link = await protocol.connect(protocol.parse(url, ""), 0)
        await send_all(link.transport, ts_bytes(7, seed=12))
        assert (await peer.received(7 * PACKET))["received_bytes"] == 7 * PACKET
        await link.close()


@pytest.mark.parametrize("query", ["timeout=600000", "connect_timeout=600"])
async def test_a_destination_that_never_answers_costs_only_its_own_deadline(protocol, query):
    loop = asyncio.get_running_loop()
    start = loop.time()
    with silent_port() as silent:
        dead = [
            asyncio.create_task(protocol.connect(protocol.parse(f"srt://127.0.0.1:{port}?{query}", ""), 0))
            for port in [silent.getsockname()[1]] * 20
        ]
        async with srt_listener() as peer:
            links = await asyncio.gather(
                *(protocol.connect(protocol.parse(f"srt://127.0.0.1:{peer.port}", ""), 0) for _ in range(5))
            )
            assert loop.time() - start < 0.5
            for link in links:
                await link.close()
        results = await asyncio.gather(*dead, return_exceptions=True)
    assert all(isinstance(result, ConnectTimeout) for result in results)
    assert 0.55 < loop.time() - start < 1.5


async def test_the_owner_may_give_up_at_any_time(protocol):
    with silent_port() as silent:
        target = protocol.parse(f"srt://127.0.0.1:{silent.getsockname()[1]}", "")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await protocol.connect(target, 0)
    await until(lambda: not protocol.ports.loads())


async def test_encrypted_handshakes_are_spread_and_waiting_costs_no_deadline(protocol):
    """One after the other would be 40 deadlines of 0.3 s; all at once would hold up running pushes."""
    loop = asyncio.get_running_loop()
    start = loop.time()
    took: list[float] = []

    async def call(url: str) -> None:
        with pytest.raises(ConnectTimeout):
            await protocol.connect(protocol.parse(url, ""), 0)
        took.append(loop.time() - start)

    with silent_port() as silent:
        url = f"srt://127.0.0.1:{silent.getsockname()[1]}?timeout=300000&passphrase=correct-horse-battery"
        await asyncio.gather(*(call(url) for _ in range(40)))
    assert max(took) - min(took) > 0.1
    assert max(took) < 2.0


async def test_an_unknown_host_is_named(protocol):
    with pytest.raises(ResolveError, match=r"no-such-host\.invalid"):
        await protocol.connect(protocol.parse("srt://no-such-host.invalid:9710", ""), 0)


async def test_an_adapter_of_the_other_family_is_an_error(protocol):
    with pytest.raises(ResolveError, match="adapter"):
        await protocol.connect(protocol.parse("srt://127.0.0.1:9710?adapter=::1", ""), 0)


async def test_an_option_that_libsrt_refuses_is_not_retried(protocol):
    with pytest.raises(SrtError, match="packetfilter") as caught:
        await protocol.connect(protocol.parse("srt://127.0.0.1:9710?packetfilter=nonsense", ""), 0)
    assert caught.value.retry is Retry.NEVER


async def test_two_hundred_pushes_connect_at_once_on_one_port(protocol):
    async with srt_listener(hash=False) as peer:
        url = f"srt://127.0.0.1:{peer.port}?streamid="
        protocol.ports.spare_cores = 1
        first = await protocol.connect(protocol.parse(url + "first", ""), 312_500)
        await first.close()
        threads = len(os.listdir("/proc/self/task"))
        async with asyncio.timeout(8):
            links = await asyncio.gather(
                *(protocol.connect(protocol.parse(f"{url}s{i}", ""), 312_500) for i in range(200))
            )
        # One more port at most, two threads; the first one's may be on their way out.
        assert len(os.listdir("/proc/self/task")) <= threads + 2
        assert sockets(protocol.ports) == [200]
        for link in links:
            assert link.transport.send(ts_bytes(7, seed=1)) == 1316
        await peer.received(200 * 1316)
        report = await peer.report()
        assert {each["streamid"] for each in report["peers"]} == {f"s{i}" for i in range(200)}
        await asyncio.gather(*(link.close() for link in links))
    assert sockets(protocol.ports) == []


def test_the_same_on_uvloop(protocol):
    async def push() -> dict:
        async with srt_listener() as peer:
            link = await protocol.connect(protocol.parse(f"srt://127.0.0.1:{peer.port}?streamid=uv", ""), 0)
            await send_all(link.transport, ts_bytes(14, seed=13))
            got = await peer.received(14 * PACKET)
            watching = watched(link)
            await peer.close()
            with pytest.raises(EngineError):
                async with asyncio.timeout(3):
                    await watching
            await link.close()
            return got

    assert uvloop.run(push())["streamid"] == "uv"


# ---- receivers of other people ----


async def started(*command: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )


async def connect_when_ready(protocol: SrtProtocol, url: str):
    """The receiver needs a moment until it listens; a caller that comes too early just gets no answer."""
    async with asyncio.timeout(10):
        while True:
            try:
                return await protocol.connect(protocol.parse(url, ""), 300_000)
            except ConnectTimeout:
                continue


async def stop(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
        async with asyncio.timeout(5):
            await process.wait()


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [("", ""), ("&passphrase=correct-horse-battery", "&passphrase=correct-horse-battery&pbkeylen=24")],
)
async def test_srt_live_transmit_receives(protocol, theirs, ours):
    """It gives each SRT message on as one UDP datagram."""
    data = ts_bytes(7 * 60, seed=21)
    loop = asyncio.get_running_loop()
    port = free_port()
    with silent_port() as receiver:
        receiver.setblocking(False)
        out = f"udp://127.0.0.1:{receiver.getsockname()[1]}"
        listener = f"srt://127.0.0.1:{port}?mode=listener{theirs}"
        process = await started("srt-live-transmit", "-q", "-chunk:1316", listener, out)
        try:
            link = await connect_when_ready(protocol, f"srt://127.0.0.1:{port}?connect_timeout=300{ours}")
            await send_all(link.transport, data)
            got = b""
            async with asyncio.timeout(5):
                while len(got) < len(data):
                    got += await loop.sock_recv(receiver, 2048)
            assert got == data
            await link.close()
        finally:
            await stop(process)


async def test_ffmpeg_receives_every_frame(protocol, tmp_path):
    clip = tmp_path / "clip.ts"
    source = ("-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25")
    coded = ("-frames:v", "50", "-c:v", "mpeg2video", "-b:v", "1500k", "-muxdelay", "0.1", "-f", "mpegts", str(clip))
    maker = await started("ffmpeg", "-v", "error", *source, *coded)
    await maker.communicate()
    data = clip.read_bytes()
    assert len(data) % PACKET == 0
    port = free_port()
    listener = f"srt://127.0.0.1:{port}?mode=listener&latency=200000"
    process = await started("ffmpeg", "-v", "error", "-i", listener, "-map", "0:v", "-f", "framemd5", "-")
    try:
        link = await connect_when_ready(protocol, f"srt://127.0.0.1:{port}?connect_timeout=300&latency=200000")
        await send_all(link.transport, data)
        # The receiver plays everything a latency late and drops the rest at a close: padding follows the last frame.
        for _ in range(25):
            await send_all(link.transport, NULL_PACKET * 7)
            await asyncio.sleep(0.02)
        await link.close()
        async with asyncio.timeout(8):
            got, errors = await process.communicate()
    finally:
        await stop(process)
    frames = [line for line in got.decode().splitlines() if line and not line.startswith("#")]
    direct = await started("ffmpeg", "-v", "error", "-i", str(clip), "-map", "0:v", "-f", "framemd5", "-")
    expected, _ = await direct.communicate()
    wanted = [line for line in expected.decode().splitlines() if line and not line.startswith("#")]
    assert [line.split(",")[-1] for line in frames] == [line.split(",")[-1] for line in wanted], errors.decode()
