"""Host names to addresses: literals at once, shared lookups, dead DNS harmless to others."""

import asyncio
import socket
import threading

import pytest

import pushcast.egress.resolve as module
from pushcast.egress.resolve import resolve
from pushcast.errors import ResolveError, Retry


class Resolver:
    """Stands for the name servers: ``socket.getaddrinfo`` waits until it is let go for names with 'dead' or 'held'."""

    def __init__(self) -> None:
        self.real = socket.getaddrinfo
        self.release = threading.Event()
        self.asked: list[str] = []

    def __call__(self, host, port, *args, **kwargs):
        if kwargs.get("flags", 0) & socket.AI_NUMERICHOST:
            return self.real(host, port, *args, **kwargs)
        self.asked.append(host)
        if "dead" in host or "held" in host:
            assert self.release.wait(10)
        if "dead" in host:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.77", port))]


@pytest.fixture
def resolver(monkeypatch):
    stand_in = Resolver()
    monkeypatch.setattr(socket, "getaddrinfo", stand_in)
    yield stand_in
    stand_in.release.set()


async def until(condition) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 -- lookup threads set no asyncio event
            await asyncio.sleep(0.005)


@pytest.mark.parametrize(
    ("host", "family", "address"),
    [
        ("192.0.2.9", socket.AF_INET, ("192.0.2.9", 4711)),
        ("2001:db8::9", socket.AF_INET6, ("2001:db8::9", 4711, 0, 0)),
        ("::1", socket.AF_INET6, ("::1", 4711, 0, 0)),
    ],
)
async def test_literals_need_no_lookup(resolver, host, family, address):
    assert await resolve(host, 4711, type=socket.SOCK_DGRAM) == [(family, address)]
    assert resolver.asked == []


async def test_a_link_local_literal_keeps_its_scope():
    index = socket.if_nametoindex("lo")
    [(family, address)] = await resolve("fe80::7%lo", 4711, type=socket.SOCK_DGRAM)
    assert (family, address[1], address[3]) == (socket.AF_INET6, 4711, index)


async def test_a_real_name_resolves():
    found = await resolve("localhost", 4711, type=socket.SOCK_STREAM)
    assert (socket.AF_INET, ("127.0.0.1", 4711)) in found


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a..b", "x" * 70 + ".example", "nul\0byte"])
async def test_an_unknown_or_impossible_name_is_named(host):
    with pytest.raises(ResolveError) as caught:
        await resolve(host, 4711, type=socket.SOCK_STREAM)
    assert f"'{host}'" in str(caught.value)
    assert caught.value.code == "resolve"
    assert caught.value.retry is Retry.SOON


async def test_concurrent_lookups_of_one_name_share_one_query(resolver):
    waiting = [
        asyncio.create_task(resolve("dead.example", port, type=socket.SOCK_STREAM)) for port in range(4000, 4050)
    ]
    waiting += [asyncio.create_task(resolve("DEAD.example", 4050, type=socket.SOCK_DGRAM))]
    await until(lambda: module._queries and module._queries["dead.example"].waiting == 51)
    waiting[0].cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting[0]
    resolver.release.set()
    results = await asyncio.gather(*waiting[1:], return_exceptions=True)
    assert all(isinstance(result, ResolveError) for result in results)
    assert resolver.asked == ["dead.example"]
    assert "dead.example" not in module._queries


async def test_shared_answers_carry_each_callers_port(resolver):
    waiting = [asyncio.create_task(resolve("held.example", port, type=socket.SOCK_STREAM)) for port in (4001, 4002)]
    await until(lambda: module._queries and module._queries["held.example"].waiting == 2)
    resolver.release.set()
    first, second = await asyncio.gather(*waiting)
    assert first == [(socket.AF_INET, ("192.0.2.77", 4001))]
    assert second == [(socket.AF_INET, ("192.0.2.77", 4002))]
    assert resolver.asked == ["held.example"]


async def test_dead_names_do_not_delay_a_live_one(resolver):
    names = [f"dead{i}.example" for i in range(module._LOOKUP_THREADS - 1)]
    waiting = [asyncio.create_task(resolve(name, 4711, type=socket.SOCK_STREAM)) for name in names]
    await until(lambda: len(resolver.asked) == len(names))
    async with asyncio.timeout(2):
        assert await resolve("alive.example", 4711, type=socket.SOCK_STREAM)
    resolver.release.set()
    await asyncio.gather(*waiting, return_exceptions=True)


async def test_a_query_that_nobody_waits_for_leaves_the_queue(resolver):
    busy = [
        asyncio.create_task(resolve(f"dead{i}.example", 4711, type=socket.SOCK_STREAM))
        for i in range(module._LOOKUP_THREADS)
    ]
    await until(lambda: len(resolver.asked) == module._LOOKUP_THREADS)
    queued = asyncio.create_task(resolve("given.up.example", 4711, type=socket.SOCK_STREAM))
    await until(lambda: "given.up.example" in module._queries)
    queued.cancel()
    await asyncio.gather(queued, return_exceptions=True)
    assert "given.up.example" not in module._queries
    resolver.release.set()
    await asyncio.gather(*busy, return_exceptions=True)
    assert "given.up.example" not in resolver.asked


async def test_a_later_caller_shares_a_query_that_the_first_gave_up(resolver):
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await resolve("dead.example", 4711, type=socket.SOCK_STREAM)
    later = asyncio.create_task(resolve("dead.example", 4711, type=socket.SOCK_STREAM))
    await until(lambda: module._queries["dead.example"].waiting == 1)
    resolver.release.set()
    with pytest.raises(ResolveError):
        await later
    assert resolver.asked == ["dead.example"]
