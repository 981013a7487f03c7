"""Host names to socket addresses, without letting dead DNS delay anybody else.

``getaddrinfo`` blocks its thread for as long as the resolver waits (30 s and more when no name server answers) and
cannot be interrupted.  So names are looked up in threads of their own, callers who ask for the same name share one
query (also one that earlier callers gave up), and a query that has not begun is dropped when nobody waits for it any
more.  Deadlines are the caller's: it cancels.

Every connect of egress takes its addresses from here, so this is also where the rules for destinations are enforced:
on the name, and on the very addresses that are returned (destinations.py).
"""

from __future__ import annotations

import asyncio
import socket
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress

from pushcast.destinations import DestinationPolicy, DestinationRefused
from pushcast.errors import ResolveError

Address = tuple[socket.AddressFamily, tuple[str, int] | tuple[str, int, int, int]]

# 32 dead names at once before a live one has to wait.  The loop's default pool has 6 threads on two cores: six pushes
# to names whose servers do not answer would stop every other lookup of the process.  A waiting thread costs one
# stack.
_LOOKUP_THREADS = 32
_threads = ThreadPoolExecutor(_LOOKUP_THREADS, thread_name_prefix="resolve")


class _Query:
    """One lookup under way and the number of those who wait for it."""

    def __init__(self, answer: Future[list[Address]]) -> None:
        self.answer = answer
        self.waiting = 0


_queries: dict[str, _Query] = {}
_policy = DestinationPolicy()


def enforce(policy: DestinationPolicy) -> None:
    """From now on no address leaves here that ``policy`` refuses; until then only cloud metadata is refused."""
    global _policy
    _policy = policy


def check_request(host: str, port: int) -> None:
    """Refuse at the request what is refused without a lookup: a denied name, or an address in whatever spelling.

    :raises DestinationRefused: which is an InvalidRequest, 400.
    """
    _policy.check_name(host, port)
    try:
        found = _lookup(host, port, socket.SOCK_STREAM, socket.AI_NUMERICHOST)
    except (OSError, ValueError):
        return  # a name, or what the connect will find impossible
    _permitted(host, port, found)


async def resolve(host: str, port: int, *, type: socket.SocketKind) -> list[Address]:
    """Addresses of ``host`` in the system's order of preference, each as (family, sockaddr) for a socket of ``type``.

    IP literals are answered at once.  Raises ResolveError, which names the host, and DestinationRefused when the policy
    refuses the name or all of its addresses; those that it refuses beside others are left out.
    """
    _policy.check_name(host, port)
    try:
        return _permitted(host, port, _lookup(host, port, type, socket.AI_NUMERICHOST))
    except socket.gaierror as error:
        if error.errno != socket.EAI_NONAME:
            raise ResolveError(f"host '{host}' has no usable address: {error.strerror}") from error
    except ValueError as error:
        raise ResolveError(f"host '{host}' is not a valid name: {error}") from error
    found: list[Address] = [
        (family, (address[0], port, *address[2:])) for family, address in await _shared_lookup(host)
    ]
    return _permitted(host, port, found)


def _permitted(host: str, port: int, found: list[Address]) -> list[Address]:
    permitted: list[Address] = []
    refusal: DestinationRefused | None = None
    for address in found:
        try:
            _policy.check_address(host, port, address[1][0])
            permitted.append(address)
        except DestinationRefused as error:
            refusal = refusal or error
    if refusal is not None and not permitted:
        raise refusal
    return permitted


async def _shared_lookup(host: str) -> list[Address]:
    name = host.lower()
    query = _queries.get(name) or _start(name)
    query.waiting += 1
    try:
        return await _result(query.answer)
    except socket.gaierror as error:
        raise ResolveError(f"cannot resolve host '{host}': {error.strerror}") from error
    except (OSError, ValueError) as error:
        raise ResolveError(f"cannot resolve host '{host}': {error}") from error
    finally:
        query.waiting -= 1
        if query.waiting == 0:
            query.answer.cancel()  # does nothing to one that is running: whoever asks for the name next shares it


def _start(name: str) -> _Query:
    query = _queries[name] = _Query(_threads.submit(_lookup, name, 0, socket.SOCK_STREAM, socket.AI_ADDRCONFIG))

    def forget(_: Future[list[Address]]) -> None:
        if _queries.get(name) is query:
            del _queries[name]

    query.answer.add_done_callback(forget)
    return query


async def _result(answer: Future[list[Address]]) -> list[Address]:
    """Wait for a shared answer; unlike ``asyncio.wrap_future``, being cancelled does not cancel it for the others."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not done.done():
            done.set_result(None)

    def on_answer(_: Future[list[Address]]) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(wake)

    answer.add_done_callback(on_answer)
    await done
    return answer.result()


def _lookup(host: str, port: int, type: socket.SocketKind, flags: int) -> list[Address]:
    with suppress(OSError, ValueError):
        # The usual spelling of an address: getaddrinfo would let go of Python's lock, and then wait for it.
        socket.inet_pton(socket.AF_INET, host)
        return [(socket.AF_INET, (host, port))]
    found = socket.getaddrinfo(host, port, type=type, flags=flags)
    return [(family, address) for family, _, _, _, address in found]  # type: ignore[misc]
