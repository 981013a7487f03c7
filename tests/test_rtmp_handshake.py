"""The RTMP handshake: both roles against each other and against peers that bend it."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pushcast.errors import RemoteProtocolError
from pushcast.rtmp.handshake import BLOCK_BYTES, ClientHandshake, Handshake, ServerHandshake


def feed(side: Handshake, data: bytes, size: int) -> tuple[bytes, bytes]:
    """(what it sent, what it gave back) for data in pieces of this size; nothing may come after the end."""
    sent, rest = bytearray(), bytearray()
    for start in range(0, len(data), size):
        piece = data[start : start + size]
        if side.done:
            rest += piece
            continue
        answer, behind = side.receive(piece)
        sent += answer
        rest += behind
    return bytes(sent), bytes(rest)


@pytest.mark.parametrize("size", [1, 7, 1536, 1537, 3073, 9999])
def test_both_roles_agree(size: int) -> None:
    client, server = ClientHandshake(0x01020304), ServerHandshake(0xFFFFFFFFF)
    c0c1 = client.hello()
    assert c0c1[:9] == b"\x03\x01\x02\x03\x04\0\0\0\0"
    assert len(c0c1) == 1 + BLOCK_BYTES
    s0s1s2, nothing = feed(server, c0c1, size)
    assert s0s1s2[:9] == b"\x03\xff\xff\xff\xff\0\0\0\0"
    assert s0s1s2[1 + BLOCK_BYTES :] == c0c1[1:5] + b"\xff\xff\xff\xff" + c0c1[9:]
    c2, early = feed(client, s0s1s2 + b"server speaks first", size)
    assert c2 == s0s1s2[1:5] + b"\x01\x02\x03\x04" + s0s1s2[9 : 1 + BLOCK_BYTES]
    assert early == b"server speaks first"
    sent, tail = feed(server, c2 + b"tail", size)
    assert (nothing, sent, tail) == (b"", b"", b"tail")
    assert client.done
    assert server.done


def test_client_sends_c2_at_s1_and_waits_for_s2() -> None:
    client = ClientHandshake(7)
    client.hello()
    answer, _ = client.receive(b"\x03" + bytes(BLOCK_BYTES))
    assert len(answer) == BLOCK_BYTES
    assert not client.done
    client.receive(b"?" * BLOCK_BYTES)  # a wrong echo is taken
    assert client.done


def test_a_peer_that_offers_a_digest_is_answered_plainly() -> None:
    c1 = bytes(4) + b"\x80\0\7\2" + bytes(range(191)) * 8
    answer, _ = ServerHandshake(5).receive(b"\x03" + c1)
    assert answer[5:9] == bytes(4)
    assert answer[1 + BLOCK_BYTES + 8 :] == c1[8:]


@pytest.mark.parametrize(
    ("first", "words"),
    [(b"G", "from the client, got 71$"), (b"\x06", "got 6$"), (b"\x16\3\1", "TLS"), (b"\0", "got 0$")],
)
def test_another_version_is_refused_at_its_first_byte(first: bytes, words: str) -> None:
    with pytest.raises(RemoteProtocolError, match=words):
        ServerHandshake(1).receive(first)


def test_two_random_blocks_differ() -> None:
    assert ClientHandshake(1).hello() != ClientHandshake(1).hello()


@settings(deadline=None, max_examples=150)
@given(st.binary(max_size=80), st.integers(0, 3200), st.integers(1, 4000), st.booleans())
def test_any_bytes_end_in_a_refusal_or_in_done(head: bytes, filling: int, size: int, valid: bool) -> None:
    data = (b"\x03" if valid else b"") + head + b"\xa5" * filling
    side = ServerHandshake(3)
    refused = bool(data) and data[0] != 3
    if refused:
        with pytest.raises(RemoteProtocolError, match="expected version 3"):
            feed(side, data, size)
        return
    sent, rest = feed(side, data, size)
    assert len(sent) == (1 + 2 * BLOCK_BYTES if len(data) > BLOCK_BYTES else 0)
    assert side.done == (len(data) > 2 * BLOCK_BYTES)
    assert rest == data[1 + 2 * BLOCK_BYTES :]
