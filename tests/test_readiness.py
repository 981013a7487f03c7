"""One descriptor of the loop stands for all sockets that are read: nobody is forgotten, and no turn hears everybody."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
import uvloop
from live import until

from pushcast.egress.readiness import PEERS_A_TURN, Readiness, readiness

COUNT = 5 * PEERS_A_TURN


@pytest.fixture
def pairs() -> Iterator[list[tuple[socket.socket, socket.socket]]]:
    with ExitStack() as opened:
        made = [socket.socketpair() for _ in range(COUNT)]
        for ends in made:
            for end in ends:
                end.setblocking(False)
                opened.enter_context(end)
        yield made


class Listener:
    """Reads what it is told of, and notes in which turn."""

    def __init__(self, ready: Readiness, fd: int, turns: Turns) -> None:
        self.ready = ready
        self.fd = fd
        self.turns = turns
        self.heard = b""

    def on_readable(self) -> None:
        self.heard += bytes(self.ready.read(self.fd))
        self.turns.heard.append(self.turns.count)


class Turns:
    """Counts the turns of the loop until it is stopped."""

    def __init__(self) -> None:
        self.count = 0
        self.heard: list[int] = []
        self.running = True
        asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        self.count += 1
        if self.running:
            asyncio.get_running_loop().call_soon(self._turn)


async def test_one_turn_hears_a_few_and_all_are_heard(pairs: list[tuple[socket.socket, socket.socket]]) -> None:
    ready, turns = readiness(), Turns()
    assert ready is readiness()
    listeners = [Listener(ready, ours.fileno(), turns) for ours, _ in pairs]
    for listener in listeners:
        ready.add(listener.fd, listener)
    for number, (_, theirs) in enumerate(pairs):
        theirs.send(bytes([number]) * 3)
    await until(lambda: all(listener.heard for listener in listeners))
    turns.running = False
    assert [listener.heard for listener in listeners] == [bytes([number]) * 3 for number in range(COUNT)]
    assert max(turns.heard.count(turn) for turn in turns.heard) == PEERS_A_TURN
    for listener in listeners:
        ready.remove(listener.fd)
        ready.remove(listener.fd)


async def test_who_is_removed_is_not_called_even_in_the_turn_that_found_it_readable(
    pairs: list[tuple[socket.socket, socket.socket]],
) -> None:
    ready, called = readiness(), []

    class Selfish:
        """The first who is called removes all."""

        def on_readable(self) -> None:
            called.append(self)
            for ours, _ in pairs:
                ready.remove(ours.fileno())

    for ours, theirs in pairs:
        ready.add(ours.fileno(), Selfish())
        theirs.send(b"x")
    await until(lambda: called)
    assert await asyncio.wait_for(ready.receive(pairs[0][0].fileno()), 5) == b"x"
    assert len(called) == 1


async def test_receiving_waits_for_bytes_and_ends_with_the_peer(
    pairs: list[tuple[socket.socket, socket.socket]],
) -> None:
    ours, theirs = pairs[0]
    waiting = asyncio.create_task(readiness().receive(ours.fileno()))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait({waiting})
    again = asyncio.create_task(readiness().receive(ours.fileno()))
    await asyncio.sleep(0)
    theirs.send(b"said")
    assert await asyncio.wait_for(again, 5) == b"said"
    theirs.close()
    assert await asyncio.wait_for(readiness().receive(ours.fileno()), 5) == b""


def test_each_loop_has_its_own() -> None:
    async def mine() -> Readiness:
        return readiness()

    assert uvloop.run(mine()) is not uvloop.run(mine())
