"""SRT callers against real peers: options, ports, refusals."""

import os
import socket

import pytest
from srt_calls import PACKET, connected, free_udp_port, send_all, ts_bytes
from srt_peer import srt_listener

from pushcast.egress.srt_rejection import rejection
from pushcast.errors import ConnectTimeout, Retry, SrtError
from pushcast.srt import SrtCaller
from pushcast.srttransport import SrtTransport


async def test_options_reach_the_peer():
    async with (
        srt_listener(latency=61) as peer,
        connected(peer.port, streamid="#!::r=live/käse,m=publish", peerlatency=333) as transport,
    ):
        await send_all(transport, ts_bytes(7, seed=1))
        got = await peer.received(7 * PACKET)
        assert got["streamid"] == "#!::r=live/käse,m=publish"
        assert got["latency_ms"] == 333
        assert transport.stats()["peer_latency_ms"] == 333


@pytest.mark.parametrize(
    ("reason", "words", "retry"),
    [
        (10, "wrong passphrase (10)", Retry.SLOWLY),
        (11, "only one side has a passphrase (11)", Retry.SLOWLY),
        (14, "packet filter", Retry.SLOWLY),
        (17, "encryption mode", Retry.SLOWLY),
        (5, "backlog", Retry.SOON),
        (1400, "bad request", Retry.SLOWLY),
        (1401, "unauthorized", Retry.SLOWLY),
        (1402, "overloaded", Retry.SOON),
        (1403, "forbidden", Retry.SLOWLY),
        (1404, "not found", Retry.SOON),
        (1405, "mode", Retry.SLOWLY),
        (1409, "conflict", Retry.SOON),
        (1503, "down", Retry.SOON),
        (2077, "code 2077 of the peer's application", Retry.SOON),
        (99, "unknown reason 99", Retry.SOON),
    ],
)
def test_reject_reasons_in_words(reason, words, retry):
    error = rejection(reason, "srt.example:9999")
    assert isinstance(error, SrtError)
    assert (error.reject_reason, error.retry, error.code) == (reason, retry, "srt")
    assert words in str(error)
    assert "srt.example:9999" in str(error)


def test_no_answer_is_a_connect_timeout():
    assert isinstance(rejection(16, "srt.example:9999"), ConnectTimeout)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("passphrase", "geheim"),
        ("pbkeylen", 17),
        ("packetfilter", "no-such-filter"),
        ("streamid", "s" * 513),
        ("fc", -5),
    ],
)
def test_an_option_that_libsrt_refuses_is_named_without_its_value(name, value):
    with pytest.raises(SrtError) as caught:
        SrtCaller([(name, value)])
    assert f"option {name}" in str(caught.value)
    assert str(value) not in str(caught.value).replace("(libsrt 5003)", "")
    assert caught.value.retry is Retry.NEVER


def test_an_unknown_option_is_a_bug_of_the_caller():
    with pytest.raises(KeyError):
        SrtCaller([("nosuchoption", 1)])


def test_a_closed_caller_says_so():
    caller = SrtCaller()
    caller.close()
    caller.close()
    assert caller.closed
    with pytest.raises(SrtError, match="closed"):
        caller.bind(socket.AF_INET, "", 0)
    with pytest.raises(SrtError, match="closed"):
        SrtTransport(caller)


def test_callers_share_a_port_and_its_two_threads():
    first, second = SrtCaller(), SrtCaller()
    port = first.bind(socket.AF_INET, "", 0)
    threads = len(os.listdir("/proc/self/task"))
    assert second.bind(socket.AF_INET, "", port) == port
    assert len(os.listdir("/proc/self/task")) <= threads  # fewer while libsrt collects earlier ports
    first.close()
    second.close()


def test_a_port_of_somebody_else_is_refused():
    with free_udp_port() as taken:
        caller = SrtCaller()
        with pytest.raises(SrtError, match="bind"):
            caller.bind(socket.AF_INET, "127.0.0.1", taken.getsockname()[1])
        caller.close()
