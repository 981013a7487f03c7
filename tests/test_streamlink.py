"""StreamLink: what an end of reading means, and who tells why."""

from __future__ import annotations

import asyncio
import socket
import struct

import pytest

from pushcast.egress import streamlink
from pushcast.egress.channel import Channel
from pushcast.egress.streamlink import StreamLink
from pushcast.errors import EngineError, Stalled


class Reading(StreamLink):
    """A link whose peer says nothing that counts."""

    @property
    def peer(self) -> str:
        return "peer"

    def take(self, data: memoryview | bytes) -> None:
        pass


async def connected() -> tuple[Reading, socket.socket, list[EngineError]]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        near = socket.create_connection(server.getsockname())
        far, _ = server.accept()
    near.setblocking(False)
    link, errors = Reading(Channel(near)), []
    link.on_lost = errors.append
    return link, far, errors


def reset(far: socket.socket) -> None:
    far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    far.close()


async def until(errors: list[EngineError]) -> None:
    async with asyncio.timeout(5):
        while not errors:  # noqa: ASYNC110 -- the kernel sets no event
            await asyncio.sleep(0.005)


async def test_a_peer_that_closes_has_closed() -> None:
    link, far, errors = await connected()
    link.watch()
    far.close()
    await until(errors)
    assert str(errors[0]) == "peer closed the connection while we published"
    await link.close()


async def test_a_reset_that_is_read_here_is_said_here() -> None:
    link, far, errors = await connected()
    link.watch()
    reset(far)
    await until(errors)
    assert str(errors[0]) == "peer is lost: Connection reset by peer"
    await link.close()


@pytest.mark.parametrize("told", [True, False], ids=["the sender tells why", "nobody does"])
async def test_an_error_that_the_sender_met_is_the_senders_to_tell(monkeypatch: pytest.MonkeyPatch, told: bool) -> None:
    monkeypatch.setattr(streamlink, "REASON_S", 0.1)
    link, far, errors = await connected()
    reset(far)
    await asyncio.sleep(0.03)
    with pytest.raises(ConnectionResetError):
        link.transport.send(b"what the sender thread was at")
    link.watch()
    await asyncio.sleep(0.03)
    assert errors == []
    if told:
        link.lose(Stalled("it took nothing"))
    await until(errors)
    await asyncio.sleep(0.15)
    assert [str(each) for each in errors] == [
        "it took nothing" if told else "peer closed the connection while we published"
    ]
    await link.close()
