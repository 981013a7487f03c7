"""Before the first SRT caller: what is not a handshake is thrown away, and a handshake goes with its socket."""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from serving import serving
from srt_calls import call

from pushcast.ingest.first_caller import LOOKS_AT_ONCE, FirstCaller, is_handshake

HANDSHAKE = struct.pack(">IIII", 0x80000000, 0, 0, 0) + bytes(48)
DATA = struct.pack(">IIII", 7, 0xC0000001, 0, 0) + bytes(1316)


@pytest.fixture
def sender() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as made:
        yield made


@pytest.mark.parametrize(
    ("datagram", "expected"),
    [
        (HANDSHAKE, True),
        (HANDSHAKE[:63], False),
        (DATA[:64], False),
        (struct.pack(">I", 0x80010000) + bytes(60), False),
        (b"", False),
    ],
    ids=["handshake", "cut", "data", "keep-alive", "empty"],
)
def test_what_a_handshake_is(datagram: bytes, expected: bool) -> None:
    assert is_handshake(datagram) is expected


@pytest.mark.parametrize("noise", [[], [b""], [b"x"] * (3 * LOOKS_AT_ONCE), [DATA, HANDSHAKE[:40], b""]])
async def test_a_handshake_goes_with_its_socket_and_noise_goes_away(noise: list[bytes], sender: socket.socket) -> None:
    called: asyncio.Future[socket.socket] = asyncio.get_running_loop().create_future()
    first = FirstCaller(socket.AF_INET, ("127.0.0.1", 0), called.set_result)
    for datagram in [*noise, HANDSHAKE + b"extensions", b"behind it"]:
        sender.sendto(datagram, ("127.0.0.1", first.port))
    with await asyncio.wait_for(called, 10) as udp:
        first.close()  # has no part in it any more
        assert udp.recv(2000) == HANDSHAKE + b"extensions"
        assert udp.recv(2000) == b"behind it"


async def test_the_port_is_free_once_it_is_closed() -> None:
    first = FirstCaller(socket.AF_INET, ("127.0.0.1", 0), lambda udp: pytest.fail("nobody called"))
    with pytest.raises(OSError, match="in use") as caught:
        FirstCaller(socket.AF_INET, ("127.0.0.1", first.port), lambda udp: None)
    assert caught.value.errno == errno.EADDRINUSE
    first.close()
    FirstCaller(socket.AF_INET, ("127.0.0.1", first.port), lambda udp: None).close()


async def test_ipv6() -> None:
    called: asyncio.Future[socket.socket] = asyncio.get_running_loop().create_future()
    first = FirstCaller(socket.AF_INET6, ("::1", 0), called.set_result)
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as caller:
        caller.sendto(HANDSHAKE, ("::1", first.port))
        (await asyncio.wait_for(called, 10)).close()


async def test_a_server_has_nothing_of_libsrt_until_somebody_calls(tmp_path: Path, sender: socket.socket) -> None:
    with serving(tmp_path) as served:

        def threads() -> set[str]:
            tasks = Path(f"/proc/{served.process.pid}/task").iterdir()
            return {(task / "comm").read_text().partition(":")[0] for task in tasks}

        sender.sendto(DATA, ("127.0.0.1", served.srt_port))
        assert "SRT" not in threads()
        assert await call(served.srt_port, streamid="app/s") is None
        assert "SRT" in threads()
