"""RTMP chunk streams: golden bytes in every piece size, limits, and hostile input."""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pushcast.chunk import ChunkReader, write_message
from pushcast.errors import LocalProtocolError, RemoteProtocolError
from pushcast.message import MediaSink, Message

CORPUS = Path(__file__).parent / "corpus" / "rtmp"
BODY = bytes(range(3, 253)) * 2  # 500 bytes, four chunks of the default size


def fmt0(csid: int, time_ms: int, length: int, type: int, stream: int, tail: bytes = b"") -> bytes:
    head = bytes((csid,)) + time_ms.to_bytes(3) + length.to_bytes(3) + bytes((type,)) + struct.pack("<I", stream)
    return head + tail


def fmt1(csid: int, delta_ms: int, length: int, type: int, tail: bytes = b"") -> bytes:
    return bytes((0x40 | csid,)) + delta_ms.to_bytes(3) + length.to_bytes(3) + bytes((type,)) + tail


def fmt2(csid: int, delta_ms: int, tail: bytes = b"") -> bytes:
    return bytes((0x80 | csid,)) + delta_ms.to_bytes(3) + tail


def fmt3(csid: int, tail: bytes = b"") -> bytes:
    return bytes((0xC0 | csid,)) + tail


SET_SIZE_7 = fmt0(2, 0, 4, 1, 0, b"\0\0\0\7")
CONTROL_7 = Message(1, 0, 0, b"\0\0\0\7")
TIME_LONG = 0x01234567
EXTENDED = TIME_LONG.to_bytes(4)
FMT0_LONG = fmt0(6, 0xFFFFFF, 300, 9, 1, EXTENDED)

# name, bytes, messages
READ = [
    ("one chunk", fmt0(3, 258, 5, 20, 66051, b"abcde"), [Message(20, 66051, 258, b"abcde")]),
    ("empty message", fmt0(3, 9, 0, 20, 1), [Message(20, 1, 9, b"")]),
    (
        "four chunks",
        fmt0(5, 77, 500, 18, 1, BODY[:128]) + fmt3(5, BODY[128:256]) + fmt3(5, BODY[256:384]) + fmt3(5, BODY[384:]),
        [Message(18, 1, 77, BODY)],
    ),
    (
        "fmt 1, 2, 3 begin messages",
        fmt0(4, 1000, 2, 18, 9, b"ab") + fmt1(4, 23, 3, 15, b"cde") + fmt2(4, 40, b"fgh") + fmt3(4, b"ijk"),
        [
            Message(18, 9, 1000, b"ab"),
            Message(15, 9, 1023, b"cde"),
            Message(15, 9, 1063, b"fgh"),
            Message(15, 9, 1103, b"ijk"),
        ],
    ),
    (
        "fmt 3 after fmt 0 adds the time again",
        fmt0(4, 21, 1, 18, 9, b"a") + fmt3(4, b"b"),
        [Message(18, 9, 21, b"a"), Message(18, 9, 42, b"b")],
    ),
    (
        "interleaved csids",
        fmt0(6, 5, 130, 9, 1, BODY[:128])
        + fmt0(4, 6, 129, 8, 1, BODY[100:228])
        + fmt3(6, BODY[128:130])
        + fmt3(4, b"Z"),
        [Message(9, 1, 5, BODY[:130]), Message(8, 1, 6, BODY[100:228] + b"Z")],
    ),
    (
        "set chunk size",
        SET_SIZE_7 + fmt0(3, 0, 9, 20, 0, b"abcdefg") + fmt3(3, b"hi"),
        [CONTROL_7, Message(20, 0, 0, b"abcdefghi")],
    ),
    (
        "chunk size changes within a message of another csid",
        fmt0(3, 0, 140, 20, 0, BODY[:128]) + SET_SIZE_7 + fmt3(3, BODY[128:135]) + fmt3(3, BODY[135:140]),
        [CONTROL_7, Message(20, 0, 0, BODY[:140])],
    ),
    (
        "abort",
        fmt0(6, 5, 130, 9, 1, BODY[:128]) + fmt0(2, 0, 4, 2, 0, b"\0\0\0\6") + fmt0(6, 8, 1, 9, 1, b"Q"),
        [Message(2, 0, 0, b"\0\0\0\6"), Message(9, 1, 8, b"Q")],
    ),
    (
        "abort names itself",
        fmt0(2, 0, 4, 2, 0, b"\0\0\0\2") + fmt0(2, 0, 4, 3, 0, b"\0\0\0\1"),
        [Message(2, 0, 0, b"\0\0\0\2"), Message(3, 0, 0, b"\0\0\0\1")],
    ),
    ("csid of two bytes", b"\0\x05" + fmt0(0, 1, 1, 20, 0, b"x")[1:], [Message(20, 0, 1, b"x")]),
    ("csid of three bytes", b"\1\x05\x07" + fmt0(0, 1, 1, 20, 0, b"x")[1:], [Message(20, 0, 1, b"x")]),
    (
        "extended time, repeated in fmt 3",
        FMT0_LONG + BODY[:128] + fmt3(6, EXTENDED + BODY[128:256]) + fmt3(6, EXTENDED + BODY[256:300]),
        [Message(9, 1, TIME_LONG, BODY[:300])],
    ),
    (
        "extended time, left out in fmt 3",
        FMT0_LONG + BODY[:128] + fmt3(6, BODY[128:256]) + fmt3(6, BODY[256:300]),
        [Message(9, 1, TIME_LONG, BODY[:300])],
    ),
    (
        "extended time left out where the payload begins like it",
        fmt0(6, 0xFFFFFF, 129, 9, 1, EXTENDED) + BODY[:128] + fmt3(6, EXTENDED[:1]) + fmt0(6, 3, 1, 9, 1, b"x"),
        [Message(9, 1, TIME_LONG, BODY[:128] + EXTENDED[:1]), Message(9, 1, 3, b"x")],
    ),
    (
        "extended delta, absolute time in fmt 3",
        fmt0(6, 700, 1, 9, 1, b"x")
        + fmt1(6, 0xFFFFFF, 200, 9, EXTENDED + BODY[:128])
        + fmt3(6, (TIME_LONG + 700).to_bytes(4) + BODY[128:200]),
        [Message(9, 1, 700, b"x"), Message(9, 1, TIME_LONG + 700, BODY[:200])],
    ),
    ("0xFFFFFF itself is extended", fmt0(6, 0xFFFFFF, 1, 9, 1, b"\0\xff\xff\xffx"), [Message(9, 1, 0xFFFFFF, b"x")]),
    (
        "time wraps",
        fmt0(4, 0xFFFFFF, 1, 8, 1, b"\xff\xff\xff\xf0a") + fmt1(4, 33, 1, 8, b"b"),
        [Message(8, 1, 0xFFFFFFF0, b"a"), Message(8, 1, 17, b"b")],
    ),
    ("a csid begins with fmt 1", fmt1(2, 0, 6, 4, b"\0\6abcd"), [Message(4, 0, 0, b"\0\6abcd")]),
    (
        "aggregate",
        fmt0(6, 5000, 37, 22, 1)
        + bytes((8, 0, 0, 2, 0, 1, 44, 0, 0, 0, 0))
        + b"AA"
        + bytes((0, 0, 0, 13))
        + bytes((9, 0, 0, 5, 0, 1, 84, 0, 0, 0, 0))
        + b"VVVVV"
        + bytes(4),
        [Message(8, 1, 5000, b"AA"), Message(9, 1, 5040, b"VVVVV")],
    ),
]

# bytes, words of the error
REFUSED = [
    (fmt2(9, 1), "stream 9: expected fmt 0 in its first chunk, got fmt 2"),
    (fmt3(9), "got fmt 3"),
    (
        fmt0(6, 5, 130, 9, 1, BODY[:128]) + fmt0(6, 5, 1, 9, 1),
        "expected fmt 3 with the 2 bytes left of a message, got fmt 0",
    ),
    (fmt0(2, 0, 4, 1, 0, bytes(4)), "Set Chunk Size: expected 1 to 2147483647, got 0"),
    (fmt0(2, 0, 4, 1, 0, b"\x80\0\0\0"), "got 2147483648"),
    (fmt0(2, 0, 3, 1, 0, bytes(3)), "expected 4 bytes, got 3"),
    (fmt0(6, 0, 9, 22, 1, bytes(9)), "aggregate: expected a part of 11 bytes, got 9"),
    (fmt0(6, 0, 12, 22, 1, b"\x08\0\0\x02" + bytes(8)), "aggregate: expected a part of 13 bytes, got 12"),
]


class Kept(MediaSink):
    def __init__(self) -> None:
        self.messages: list[Message] = []

    def take(self, message: Message) -> None:
        self.messages.append(message)


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


def read(reader: ChunkReader, wire: bytes, size: int) -> list[Message]:
    return [message for piece in pieces(wire, size) for message in reader.receive(piece)]


def refusal(reader: ChunkReader, wire: bytes, size: int) -> str:
    """The words of the error that these bytes end in, empty when they do not."""
    try:
        read(reader, wire, size)
    except RemoteProtocolError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(("name", "wire", "expected"), READ, ids=[case[0] for case in READ])
@pytest.mark.parametrize("size", [1, 2, 3, 5, 17, 100000])
def test_reads_messages_in_any_pieces(name: str, wire: bytes, expected: list[Message], size: int) -> None:
    reader = ChunkReader()
    got = read(reader, wire, size)
    assert got == expected
    assert reader.bytes_received == len(wire)


@pytest.mark.parametrize(("name", "wire", "expected"), READ, ids=[case[0] for case in READ])
def test_a_tail_does_not_disturb_the_message_before(name: str, wire: bytes, expected: list[Message]) -> None:
    tail = fmt0(7, 11, 1, 20, 5, b"t")
    assert ChunkReader().receive(wire + tail) == [*expected, Message(20, 5, 11, b"t")]


@pytest.mark.parametrize(("wire", "words"), REFUSED, ids=[case[1] for case in REFUSED])
@pytest.mark.parametrize("size", [1, 100000])
def test_refuses_with_expected_and_got(wire: bytes, words: str, size: int) -> None:
    reader = ChunkReader()
    with pytest.raises(RemoteProtocolError, match=words):
        read(reader, wire, size)
    with pytest.raises(LocalProtocolError):
        reader.receive(b"")


def test_a_time_left_out_does_not_hold_the_last_bytes_back() -> None:
    reader = ChunkReader()
    wire = fmt0(6, 0xFFFFFF, 129, 9, 1, EXTENDED) + BODY[:128] + fmt3(6, b"\x99")
    assert reader.receive(wire) == [Message(9, 1, TIME_LONG, BODY[:128] + b"\x99")]


def test_media_goes_to_the_sink_and_the_rest_is_returned() -> None:
    sink = Kept()
    reader = ChunkReader()
    reader.media = sink
    wire = (
        fmt0(6, 5, 130, 9, 1, BODY[:128])
        + fmt0(4, 6, 3, 8, 1, b"aud")
        + fmt0(3, 6, 3, 20, 1, b"cmd")
        + fmt3(6, BODY[128:130])
        + fmt0(6, 40, 31, 22, 1)
        + bytes((18, 0, 0, 2, 0, 0, 7, 0, 0, 0, 0))
        + b"DD"
        + bytes(4)
        + bytes((8, 0, 0, 3, 0, 0, 9, 0, 0, 0, 0))
        + b"AAA"
    )
    assert reader.receive(memoryview(wire)) == [Message(20, 1, 6, b"cmd"), Message(18, 1, 40, b"DD")]
    assert sink.messages == [Message(8, 1, 6, b"aud"), Message(9, 1, 5, BODY[:130]), Message(8, 1, 42, b"AAA")]
    sink.receive(Message(8, 2, 3, b"late"))
    assert sink.messages[-1] == Message(8, 2, 3, b"late")


def test_what_the_sink_raises_comes_out_and_ends_the_reader() -> None:
    class Full(MediaSink):
        def take(self, message: Message) -> None:
            raise RemoteProtocolError("enough")

    reader = ChunkReader()
    reader.media = Full()
    with pytest.raises(RemoteProtocolError, match="enough"):
        reader.receive(fmt0(4, 6, 3, 8, 1, b"aud"))
    with pytest.raises(LocalProtocolError):
        reader.receive(b"x")
    with pytest.raises(NotImplementedError):
        MediaSink().receive(Message(8, 0, 0, b""))


@pytest.mark.parametrize("csid", [2, 63, 64, 319, 320, 65599])
@pytest.mark.parametrize("time_ms", [0, 0xFFFFFE, 0xFFFFFF, 0xFFFFFFFF])
@pytest.mark.parametrize(("length", "chunk_size"), [(0, 1), (1, 1), (3, 1), (4096, 1000), (70001, 65536), (128, 128)])
def test_what_is_written_is_read(csid: int, time_ms: int, length: int, chunk_size: int) -> None:
    body = (BODY * 141)[:length]
    control = write_message(2, 1, 0, 0, chunk_size.to_bytes(4), 128)
    wire = control + write_message(csid, 19, 31, time_ms, body, chunk_size)
    for size in (len(wire), 4099, 7):
        reader = ChunkReader()
        got = read(reader, wire, size)
        assert got[1:] == [Message(19, 31, time_ms, body)]


def test_written_bytes_are_golden() -> None:
    assert write_message(65, 20, 0x01020304, 0x060708, b"abc", 2) == bytes.fromhex(
        "00 01 060708 000003 14 04030201 6162 c001 63"
    )
    assert write_message(3, 8, 1, 0x11223344, b"abc", 2) == bytes.fromhex(
        "03 ffffff 000003 08 01000000 11223344 6162 c3 11223344 63"
    )


@pytest.mark.parametrize(
    "wrong",
    [
        (1, 8, 1, 0, b"", 128),
        (65600, 8, 1, 0, b"", 128),
        (3, 8, 1, 0, b"", 0),
        (3, 8, 1, 0, b"", 1 << 24),
        (3, 256, 1, 0, b"", 9),
    ],
)
def test_writing_outside_the_format_is_our_own_error(wrong: tuple[int, int, int, int, bytes, int]) -> None:
    with pytest.raises(LocalProtocolError):
        write_message(*wrong)


def test_chunk_size_beyond_a_message_is_taken_as_the_longest_message() -> None:
    reader = ChunkReader()
    reader.receive(fmt0(2, 0, 4, 1, 0, b"\x7f\xff\xff\xff"))
    assert reader.chunk_size == 0xFFFFFF


def test_limits_are_refused() -> None:
    with pytest.raises(RemoteProtocolError, match="at most 1000 bytes, got 1001"):
        ChunkReader(max_message_bytes=1000).receive(fmt0(3, 0, 1001, 20, 0))
    reader = ChunkReader(max_csids=5)
    for csid in range(3, 8):
        reader.receive(fmt0(csid, 0, 1, 20, 0, b"x"))
    with pytest.raises(RemoteProtocolError, match="at most 5 chunk stream ids, got one more: 8"):
        reader.receive(fmt0(8, 0, 1, 20, 0, b"x"))


def test_memory_follows_the_bytes_that_came_and_not_the_length_announced() -> None:
    reader = ChunkReader(max_partial_bytes=100_000)
    begun = 0
    while not (words := refusal(reader, fmt0(3 + begun, 0, 0xFFFFFF, 9, 1, bytes(128)), 200)):
        begun += 1
    assert "at most 100000 bytes of unfinished messages" in words
    assert begun == 100_000 // 4096
    assert reader.partial_bytes <= 100_000


def test_buffers_of_large_messages_go_back_and_small_ones_stay() -> None:
    reader = ChunkReader()
    reader.receive(write_message(2, 1, 0, 0, (65536).to_bytes(4), 128))
    large = write_message(6, 9, 1, 0, bytes(3_000_000), 65536)
    assert len(reader.receive(large)) == 1
    assert reader.partial_bytes == 0
    for _ in range(3):
        reader.receive(write_message(4, 8, 1, 0, bytes(90_000), 65536))
        assert 90_000 <= reader.partial_bytes <= 262_144


def test_feeding_byte_by_byte_is_not_quadratic() -> None:
    def seconds(length: int) -> float:
        reader = ChunkReader()
        wire = write_message(6, 18, 1, 0, bytes(length), 128)
        start = time.process_time()
        got = [message for index in range(len(wire)) for message in reader.receive(wire[index : index + 1])]
        assert len(got[0].payload) == length
        return time.process_time() - start

    seconds(20_000)
    assert seconds(400_000) < 20 * max(seconds(100_000), 0.01)


def test_no_secret_in_repr() -> None:
    assert "hush" not in repr(Message(20, 0, 0, b"hush"))


@settings(deadline=None, max_examples=150)
@given(
    st.lists(
        st.tuples(
            st.sampled_from([3, 4, 63, 64, 400]),
            st.sampled_from([8, 9, 18, 20]),
            st.integers(0, 0xFFFFFFFF),
            st.binary(max_size=700),
        ),
        max_size=8,
    ),
    st.integers(1, 300),
    st.integers(1, 900),
)
def test_any_messages_in_any_pieces(parts: list[tuple[int, int, int, bytes]], chunk_size: int, size: int) -> None:
    wire = write_message(2, 1, 0, 0, chunk_size.to_bytes(4), 128)
    wire += b"".join(write_message(csid, type, 1, ms, body, chunk_size) for csid, type, ms, body in parts)
    reader = ChunkReader()
    got = read(reader, wire, size)
    assert got[1:] == [Message(type, 1, ms, body) for _, type, ms, body in parts]


def only_refusals(wire: bytes, size: int) -> None:
    """The invariant of hostile input: RemoteProtocolError or nothing, and memory within the limit."""
    reader = ChunkReader(max_message_bytes=200_000, max_partial_bytes=300_000)
    reader.media = Kept()
    words = refusal(reader, wire, size)
    assert not words or ("expected" in words and "got" in words)
    assert reader.partial_bytes <= 300_000


@settings(deadline=None, max_examples=300)
@given(st.binary(max_size=3000), st.integers(1, 3000))
def test_random_bytes_are_refused_or_read(wire: bytes, size: int) -> None:
    only_refusals(wire, size)


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_damaged_streams_are_refused_or_read(data: st.DataObject) -> None:
    """Valid cases shuffled, cut and with bytes changed."""
    chosen = data.draw(st.lists(st.sampled_from(READ), min_size=1, max_size=6))
    wire = bytearray(b"".join(case[1] for case in chosen))
    for _ in range(data.draw(st.integers(0, 6))):
        wire[data.draw(st.integers(0, len(wire) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(wire)))
    only_refusals(bytes(wire[:cut]), data.draw(st.integers(1, 400)))


@pytest.mark.parametrize("path", sorted(CORPUS.glob("chunk-*.bin")), ids=lambda path: path.name)
def test_corpus(path: Path) -> None:
    wire = path.read_bytes()
    for size in (1, 13, max(len(wire), 1)):
        only_refusals(wire, size)
