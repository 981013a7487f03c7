"""srtOptions: every option under a name with its unit, beside a URL, and refused by that name."""

from __future__ import annotations

from typing import Any

import pytest

from pushcast.egress import SRT
from pushcast.egress.srt import SrtTarget
from pushcast.egress.srt_members import MEMBERS, read_srt_options
from pushcast.errors import InvalidRequest

READ = [
    # member, the query that means the same
    ({"latencyMs": 800}, "latency=800000"),
    ({"latencyMs": 800, "peerLatencyMs": 900, "receiverLatencyMs": 0}, "latency=800ms&peerlatency=900ms&rcvlatency=0"),
    ({"timeoutMs": 3000, "connectTimeoutMs": 2000}, "timeout=3s&conntimeo=2s"),
    ({"peerIdleTimeoutMs": 4000}, "peeridletimeo=4s"),
    ({"streamId": "#!::r=a/b,m=publish&x=ü"}, "streamid=%23!::r=a/b,m=publish%26x=%C3%BC"),
    ({"passphrase": "0123456789", "keyLengthBytes": 32}, "passphrase=0123456789&pbkeylen=32"),
    ({"enforcedEncryption": False, "nakReport": True}, "enforced_encryption=0&nakreport=1"),
    ({"tooLatePacketDrop": False, "sendDropDelayMs": -1}, "tlpktdrop=0&snddropdelay=-1"),
    ({"payloadSizeBytes": 1128, "mssBytes": 1400}, "payload_size=1128&mss=1400"),
    ({"flowWindowPackets": 9000, "sendBufferBytes": 2000000}, "ffs=9000&sndbuf=2000000"),
    ({"receiveBufferBytes": 50000, "udpSendBufferBytes": 70000, "udpReceiveBufferBytes": 80000},
     "rcvbuf=50000&udp_sndbuf=70000&udp_rcvbuf=80000"),
    ({"maxBandwidthBytesPerSecond": 0, "inputBandwidthBytesPerSecond": 5, "minInputBandwidthBytesPerSecond": 6,
      "overheadBandwidthPercent": 30}, "maxbw=0&inputbw=5&mininputbw=6&oheadbw=30"),
    ({"lossMaxTtlPackets": 4, "retransmitAlgorithm": 1, "packetFilter": "fec,cols:10,rows:5"},
     "lossmaxttl=4&retransmitalgo=1&packetfilter=fec,cols:10,rows:5"),
    ({"keyRefreshPackets": 100, "keyPreannouncePackets": 9, "minVersion": "1.4.0"},
     "kmrefreshrate=100&kmpreannounce=9&minversion=1.4.0"),
    ({"ttl": 3, "tos": 160, "adapter": "127.0.0.1", "bindToDevice": "lo"},
     "ipttl=3&iptos=160&adapter=127.0.0.1&bindtodevice=lo"),
    ({"latencyMs": None}, ""),
    (None, ""),
]  # fmt: skip
REFUSED = [
    ("x", "srtOptions: found str, allowed an object"),
    ({"latency": 5}, "srtOptions.latency: not known, allowed are latencyMs, "),
    ({"latencyMs": "5"}, "srtOptions.latencyMs: found str, allowed a whole number"),
    ({"latencyMs": True}, "srtOptions.latencyMs: found bool, allowed a whole number"),
    ({"nakReport": 1}, "srtOptions.nakReport: found int, allowed true or false"),
    ({"latencyMs": 70_000}, "srtOptions.latencyMs: found '70000ms', allowed 0us..65535000us"),
    ({"ttl": 0}, "srtOptions.ttl: found '0', allowed a number 1..255"),
    ({"passphrase": "short"}, "srtOptions.passphrase: found 5 bytes, allowed 10..79 bytes"),
    ({"streamId": "x" * 513}, "srtOptions.streamId: found 513 bytes, allowed 0..512 bytes"),
    ({"keyLengthBytes": 20}, "srtOptions.keyLengthBytes: found '20', allowed 0 or 16 or 24 or 32"),
    ({"adapter": "eth0"}, "srtOptions.adapter: found 'eth0', allowed an IPv4 or IPv6 address"),
    ({"mssBytes": 100}, "srtOptions.mssBytes: found '100', allowed a number 232..1500"),
    (
        {"groupType": "backup"},
        "srtOptions.groupType: found 'backup', allowed: none; groups need bonding, which libsrt 1.",
    ),
]


@pytest.mark.parametrize(("member", "query"), READ)
def test_members_mean_what_the_query_means(member: dict[str, Any] | None, query: str) -> None:
    assert read_srt_options(member, "") == read_srt_options(None, query)


def test_every_member_is_in_the_table() -> None:
    assert {name for member, _ in READ for name in member or ()} | {"groupType"} == set(MEMBERS)


@pytest.mark.parametrize(
    ("member", "query", "same"),
    [
        ({"latencyMs": 500}, "latency=90ms&ipttl=9", "latency=500ms&ipttl=9"),
        ({"latencyMs": 500}, "tsbpddelay=90ms", "latency=500ms"),
        ({"sendBufferBytes": 90000}, "passphrase=0123456789", "sndbuf=90000&passphrase=0123456789"),
        ({"udpSendBufferBytes": 90000}, "udp_sndbuf=70000", "udp_sndbuf=90000"),
    ],
)
def test_members_beat_the_query(member: dict[str, Any], query: str, same: str) -> None:
    assert read_srt_options(member, query) == read_srt_options(None, same)


@pytest.mark.parametrize(("member", "words"), REFUSED)
def test_refusals_call_it_by_its_name(member: object, words: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        read_srt_options(member, "latency=50ms")
    assert str(caught.value).startswith(words)


@pytest.mark.parametrize(
    ("url", "member", "warnings"),
    [
        ("srt://h:9?latency=120000", None, ()),
        ("srt://h:9?latency=120", None, ("latency is 120 us, less than 1 ms: a bare number counts in microseconds",)),
        ("srt://h:9?peerlatency=65000000", None, ("peerlatency is 65 s: a bare number counts in microseconds",)),
        ("srt://h:9?latency=120", {"latencyMs": 120}, ()),
        ("srt://h:9?latency=0", None, ()),
    ],
)
def test_latencies_that_look_like_a_mistake(url: str, member: dict[str, Any] | None, warnings: tuple[str, ...]) -> None:
    target = SRT.parse(url, "", {} if member is None else {"srtOptions": member})
    assert isinstance(target, SrtTarget)
    assert target.warnings == warnings
