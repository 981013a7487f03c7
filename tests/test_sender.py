"""Sender and cursor: joining, falling behind, control bytes and a wanted leave, as they look on the wire."""

from __future__ import annotations

import contextlib
import errno
import itertools
import selectors
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from pushcast.counters import Tally
from pushcast.destination import TABLE, Destination
from pushcast.muxer import Muxer
from pushcast.ring import Ring
from pushcast.sender import EVENT_LOST, EVENT_RELEASED, EVENT_STARTED, Sender
from pushcast.transport import TcpTransport, Transport, UdpTransport

KEY = 1
FRAME_TICKS = 3600
GOP = 10
DEADLINE_S = 10.0


class Loop:
    """A sender on its thread, with its events collected."""

    def __init__(self) -> None:
        self.sender = Sender(udp_ms=8, srt_ms=8, tcp_ms=8)
        self.thread = threading.Thread(target=self.sender.run, daemon=True)
        self.thread.start()
        self.seen: list[tuple[Destination, int, int]] = []
        self.selector = selectors.DefaultSelector()
        self.selector.register(self.sender.event_fd, selectors.EVENT_READ)

    def wait(self, destination: Destination, kind: int) -> int:
        """The code of this event; fails after a deadline."""
        until = time.monotonic() + DEADLINE_S
        while True:
            for who, what, code in self.seen:
                if who is destination and what == kind:
                    return code
            assert time.monotonic() < until, f"no event {kind}; seen {self.seen}"
            self.selector.select(0.1)
            self.seen += self.sender.events()

    def leave(self, destination: Destination, final: bytes = b"", drain_ms: int = 5000) -> int:
        self.sender.detach(destination, final, drain_ms)
        return self.wait(destination, EVENT_RELEASED)

    def close(self) -> None:
        self.sender.stop()
        self.thread.join(DEADLINE_S)
        assert not self.thread.is_alive()
        self.selector.close()


@pytest.fixture
def loop() -> Iterator[Loop]:
    made = Loop()
    yield made
    made.close()


class Pipe:
    """A stream transport and its far end."""

    def __init__(self, send_buffer: int | None = None) -> None:
        near, self.far = socket.socketpair()
        near.setblocking(False)
        if send_buffer:
            near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        self.transport = TcpTransport(near.detach())
        self.far.settimeout(DEADLINE_S)

    def read(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            piece = self.far.recv(size - len(data))
            assert piece, f"closed after {len(data)} of {size} bytes"
            data += piece
        return data

    def rest(self) -> bytes:
        self.far.setblocking(False)
        data = b""
        try:
            while piece := self.far.recv(1 << 20):
                data += piece
        except BlockingIOError:
            pass
        return data


def body(number: int, size: int = 188 * 4) -> bytes:
    return number.to_bytes(4, "big") * (size // 4)


def lead(number: int) -> bytes:
    return b"lead" + number.to_bytes(4, "big") + bytes(180)


def write(ring: Ring, first: int, last: int, size: int = 188 * 4) -> None:
    for number in range(first, last):
        key = number % GOP == 0
        ring.write(body(number, size), number * FRAME_TICKS, KEY if key else 0, 0, lead(number) if key else None)


def shared(first: int, last: int, size: int = 188 * 4) -> bytes:
    return b"".join(body(number, size) for number in range(first, last))


def destination(ring: Ring, transport: Transport, **options: object) -> Destination:
    return Destination(ring, Muxer(), transport, **options)  # type: ignore[arg-type]


def test_a_join_begins_with_the_lead_in_of_the_newest_key(loop: Loop) -> None:
    ring, pipe = Ring(), Pipe()
    write(ring, 0, 25)
    one = destination(ring, pipe.transport)
    loop.sender.attach(one)
    expected = lead(20) + shared(20, 25)
    assert pipe.read(len(expected)) == expected
    loop.wait(one, EVENT_STARTED)
    write(ring, 25, 33)
    assert pipe.read(188 * 4 * 8) == shared(25, 33)  # the lead-in of 30 is for joiners only
    assert loop.leave(one) == 0
    counters = one.counters()
    assert counters["media_bytes"] == 13 * 188 * 4
    assert counters["sent_bytes"] == counters["media_bytes"] + 188
    assert counters["jumps"] == 0


def test_start_next_waits_for_the_next_key(loop: Loop) -> None:
    ring, pipe = Ring(), Pipe()
    write(ring, 0, 25)
    one = destination(ring, pipe.transport, start="next")
    loop.sender.attach(one)
    write(ring, 25, 31)
    expected = lead(30) + shared(30, 31)
    assert pipe.read(len(expected)) == expected
    loop.leave(one)


def test_every_destination_gets_the_same_bytes_from_its_own_join_on(loop: Loop) -> None:
    ring = Ring()
    write(ring, 0, 5)
    pipes = [Pipe() for _ in range(60)]
    joined: list[tuple[Destination, int]] = []
    for number, pipe in enumerate(pipes):
        write(ring, 5 + number, 6 + number)
        each = destination(ring, pipe.transport)
        loop.sender.attach(each)
        loop.wait(each, EVENT_STARTED)
        joined.append((each, (5 + number) // GOP * GOP))
    ring.end()
    for (each, key), pipe in zip(joined, pipes, strict=True):
        assert loop.leave(each, b"bye") == 0
        assert pipe.rest() == lead(key) + shared(key, 65) + b"bye"


def whole_spans(data: bytes, size: int) -> list[int]:
    """The numbers of the spans that a byte stream consists of, between lead-ins."""
    numbers: list[int] = []
    at = 0
    while at < len(data):
        if data[at : at + 4] == b"lead":
            at += 188
            continue
        number = int.from_bytes(data[at : at + 4], "big")
        assert data[at : at + size] == body(number, size), f"span {number} is not whole"
        numbers.append(number)
        at += size
    return numbers


def test_a_slow_destination_jumps_between_spans_and_is_counted(loop: Loop) -> None:
    ring, slow, fast = Ring(), Pipe(send_buffer=4096), Pipe()
    size = 188 * 40
    write(ring, 0, 1, size)
    behind = destination(ring, slow.transport, max_lag_ms=1000)
    ahead = destination(ring, fast.transport, max_lag_ms=1000)
    for each in (behind, ahead):
        loop.sender.attach(each)
        loop.wait(each, EVENT_STARTED)
    fast_bytes = lead(0)
    assert fast.read(188) == lead(0)
    for number in range(1, 75):
        write(ring, number, number + 1, size)
        fast_bytes += fast.read(size)
    fast_bytes += fast.read(size)
    assert fast_bytes == lead(0) + shared(0, 75, size)
    ring.end()
    reader: list[bytes] = []
    thread = threading.Thread(target=lambda: reader.append(b"".join(iter(lambda: slow.far.recv(65536), b""))))
    thread.start()
    assert loop.leave(behind) == 0
    assert loop.leave(ahead) == 0
    slow.transport.close()
    thread.join(DEADLINE_S)
    data, counters = reader[0], behind.counters()
    assert counters["jumps"] >= 1
    assert counters["skipped_spans"] > 0
    assert ahead.counters()["jumps"] == 0
    numbers = whole_spans(data, size)
    assert numbers == sorted(set(numbers))
    breaks = [later for earlier, later in itertools.pairwise(numbers) if later != earlier + 1]
    assert breaks
    assert all(number % GOP == 0 for number in breaks), "a jump lands on a key span"
    assert numbers[-1] == 74


def test_a_byte_stream_may_stand_still_inside_a_span_for_longer_than_the_ring_holds(loop: Loop) -> None:
    ring, pipe = Ring(reserve_bytes=1 << 22, start_bytes=1 << 22, keep_ms=0), Pipe(send_buffer=4096)
    size = 188 * 400  # more than the socket takes: the cursor stands inside span 0
    write(ring, 0, 1, size)
    one = destination(ring, pipe.transport, max_lag_ms=200)
    loop.sender.attach(one)
    loop.wait(one, EVENT_STARTED)
    write(ring, 1, 25, size)
    end = time.monotonic() + DEADLINE_S
    while one.counters()["lag_ms"] <= 200:
        assert time.monotonic() < end
        loop.selector.select(0.01)
    write(ring, 25, 205, size)
    assert ring.tail > 25
    reader: list[bytes] = []
    thread = threading.Thread(target=lambda: reader.append(b"".join(iter(lambda: pipe.far.recv(65536), b""))))
    thread.start()
    while one.counters()["lag_ms"]:
        assert time.monotonic() < end
        loop.selector.select(0.01)
    write(ring, 205, 223, size)
    ring.end()
    assert loop.leave(one) == 0
    pipe.transport.close()
    thread.join(DEADLINE_S)
    numbers = whole_spans(reader[0], size)
    assert numbers == sorted(set(numbers))
    assert one.counters()["jumps"] >= 1
    assert numbers[0] == 0
    assert numbers[-1] == 222


def test_a_lapped_byte_stream_is_lost_inside_a_span(loop: Loop) -> None:
    ring, pipe = Ring(reserve_bytes=65536, start_bytes=65536, keep_ms=0), Pipe(send_buffer=4096)
    size = 15040
    write(ring, 0, 1, size)
    one = destination(ring, pipe.transport, max_lag_ms=60000)
    loop.sender.attach(one)
    loop.wait(one, EVENT_STARTED)
    write(ring, 1, 30, size)
    assert loop.wait(one, EVENT_LOST) == errno.EOVERFLOW
    assert loop.leave(one) == errno.EOVERFLOW


def test_a_peer_that_takes_nothing_is_lost_after_its_time(loop: Loop) -> None:
    ring, pipe, good = Ring(), Pipe(send_buffer=4096), Pipe()
    write(ring, 0, 10, 188 * 100)
    stuck = destination(ring, pipe.transport, stall_ms=200)
    well = destination(ring, good.transport, stall_ms=200)
    loop.sender.attach(stuck)
    loop.sender.attach(well)
    assert loop.wait(stuck, EVENT_LOST) == errno.ETIMEDOUT
    expected = lead(0) + shared(0, 10, 188 * 100)
    assert good.read(len(expected)) == expected
    loop.leave(stuck)
    loop.leave(well)


def test_a_closed_peer_is_lost(loop: Loop) -> None:
    ring, pipe = Ring(), Pipe()
    pipe.far.close()
    write(ring, 0, 3)
    one = destination(ring, pipe.transport)
    loop.sender.attach(one)
    assert loop.wait(one, EVENT_LOST) == errno.EPIPE
    loop.leave(one)


def test_control_bytes_stand_between_spans(loop: Loop) -> None:
    ring, pipe = Ring(), Pipe(send_buffer=4096)
    size = 188 * 60
    write(ring, 0, 1, size)
    one = destination(ring, pipe.transport)
    loop.sender.attach(one)
    loop.wait(one, EVENT_STARTED)
    one.control(b"<pong>")
    write(ring, 1, 3, size)
    expected = 188 + 3 * size + 6
    data = pipe.read(expected)
    at = data.index(b"<pong>")
    assert (at - 188) % size == 0
    assert data[:at] + data[at + 6 :] == lead(0) + shared(0, 3, size)
    loop.leave(one)


def test_control_for_a_peer_that_does_not_read_is_bounded(loop: Loop) -> None:
    ring, pipe = Ring(), Pipe()
    one = destination(ring, pipe.transport)
    with pytest.raises(ValueError, match="not attached"):
        one.control(b"x")
    loop.sender.attach(one)
    with pytest.raises(BufferError, match="replies wait for a peer that does not read"):
        one.control(bytes(70000))
    loop.leave(one)


def test_control_that_was_taken_and_cannot_be_said_is_bounded_too(loop: Loop) -> None:
    ring, pipe = Ring(), Pipe(send_buffer=4096)
    one = destination(ring, pipe.transport)
    loop.sender.attach(one)
    write(ring, 0, 2, 188 * 4000)
    loop.wait(one, EVENT_STARTED)
    end = time.monotonic() + DEADLINE_S
    lost = False
    while not lost:
        assert time.monotonic() < end
        with contextlib.suppress(BufferError):
            one.control(bytes(4096))
        loop.seen += loop.sender.events()
        lost = (one, EVENT_LOST, errno.ENOBUFS) in loop.seen
    loop.leave(one)


def test_words_to_one_that_is_lost_delay_nobody(loop: Loop) -> None:
    """Replies without end, as to a peer that asks for more than it reads; each span waits for the one before."""
    ring, lost, pipe = Ring(), Pipe(), Pipe()
    one, other = destination(ring, lost.transport), destination(ring, pipe.transport)
    loop.sender.attach(one)
    loop.sender.attach(other)
    end = time.monotonic() + DEADLINE_S
    for number in range(10 * GOP):
        write(ring, number, number + 1)
        while other.counters()["media_bytes"] <= number * len(body(0)):
            assert time.monotonic() < end, f"{number} spans in {DEADLINE_S:.0f} s"
            for _ in range(1000):
                with contextlib.suppress(BufferError):
                    one.control(b"pong")
        pipe.rest()
    loop.wait(one, EVENT_LOST)
    loop.leave(other)


def test_leaving_before_any_media_says_the_final_bytes(loop: Loop) -> None:
    ring, pipe = Ring(), Pipe()
    one = destination(ring, pipe.transport)
    loop.sender.attach(one)
    assert loop.leave(one, b"FCUnpublish") == 0
    assert pipe.rest() == b"FCUnpublish"


def test_leaving_an_ended_ring_before_the_first_slot_still_sends_what_is_there(loop: Loop) -> None:
    ring, pipe = Ring(), Pipe()
    write(ring, 0, 14)
    ring.end()
    one = destination(ring, pipe.transport)
    loop.sender.attach(one)
    assert loop.leave(one, b"bye") == 0
    assert pipe.rest() == lead(10) + shared(10, 14) + b"bye"


def test_a_wedged_peer_is_released_at_the_drain_deadline(loop: Loop) -> None:
    ring, pipe = Ring(), Pipe(send_buffer=4096)
    write(ring, 0, 5, 188 * 500)
    one = destination(ring, pipe.transport)
    loop.sender.attach(one)
    loop.wait(one, EVENT_STARTED)
    assert loop.leave(one, b"bye", drain_ms=100) == errno.ETIMEDOUT


def test_datagrams_are_whole_and_a_remainder_goes_out_at_the_end(loop: Loop) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(DEADLINE_S)
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        sock.connect(receiver.getsockname())
        ring = Ring()
        write(ring, 0, 9)
        one = destination(ring, UdpTransport(sock.detach()))
        loop.sender.attach(one)
        loop.wait(one, EVENT_STARTED)
        ring.end()
        assert loop.leave(one) == 0
        datagrams = []
        while sum(map(len, datagrams)) < 188 * 37:
            datagrams.append(receiver.recv(65536))
        assert datagrams[0] == lead(0)
        assert b"".join(datagrams[1:]) == shared(0, 9)
        assert [len(each) for each in datagrams[1:-1]] == [1316] * 5
        one.transport.close()


def test_a_join_on_datagrams_is_paced(loop: Loop) -> None:
    """A GOP that waits in the ring does not leave as one burst: 16 datagrams a slot, or 4 times the feed's rate."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        receiver.bind(("127.0.0.1", 0))
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        sock.connect(receiver.getsockname())
        ring = Ring()
        for number in range(100):
            ring.write(body(number, 188 * 50), number * FRAME_TICKS, KEY if number == 50 else 0)
        one = destination(ring, UdpTransport(sock.detach()))
        began = time.monotonic()
        loop.sender.attach(one)
        loop.wait(one, EVENT_STARTED)
        ring.end()
        assert loop.leave(one) == 0
        took = time.monotonic() - began
        datagrams = 50 * 50 / 7
        assert took >= (datagrams / 16 - 2) * 0.008
        assert one.counters()["sends"] >= datagrams / 16 - 2
        one.transport.close()


def test_stop_releases_what_is_attached() -> None:
    loop = Loop()
    ring, pipe = Ring(), Pipe()
    one = destination(ring, pipe.transport)
    loop.sender.attach(one)
    loop.close()
    assert [(who, what) for who, what, _ in loop.sender.events()] == [(one, EVENT_RELEASED)]
    assert loop.sender.population_count == 0


def test_stop_releases_what_was_lost_and_what_was_never_taken(loop: Loop) -> None:
    ring, gone, late = Ring(), Pipe(), Pipe()
    gone.far.close()
    write(ring, 0, 3)
    lost = destination(ring, gone.transport)
    loop.sender.attach(lost)
    assert loop.wait(lost, EVENT_LOST) == errno.EPIPE
    untaken = destination(ring, late.transport)
    loop.sender.attach(untaken)
    loop.close()
    released = {who: code for who, what, code in loop.sender.events() if what == EVENT_RELEASED}
    assert released == {lost: errno.ECANCELED, untaken: errno.ECANCELED}
    with pytest.raises(ValueError, match="this sender was stopped"):
        loop.sender.attach(destination(ring, Pipe().transport))


def test_a_tally_sums_what_is_sent_to_all_that_share_it(loop: Loop) -> None:
    ring, tally, pipes = Ring(), Tally(), [Pipe() for _ in range(3)]
    write(ring, 0, 25)
    shared_by = [destination(ring, pipe.transport, tally=tally) for pipe in pipes[:2]]
    alone = destination(ring, pipes[2].transport)
    assert (tally.destinations, tally.sent_bytes) == (2, 0)
    for one in (*shared_by, alone):
        loop.sender.attach(one)
    for pipe in pipes:
        pipe.read(188 + 5 * 188 * 4)
    shared_by[0].control(b"said")
    assert pipes[0].read(4) == b"said"
    for one in (*shared_by, alone):
        loop.leave(one, b"bye")
    assert [pipe.read(3) for pipe in pipes] == [b"bye"] * 3
    assert tally.sent_bytes == sum(one.sent_bytes for one in shared_by) == 2 * (188 + 5 * 188 * 4 + 3) + 4
    loop.seen.clear()
    del one, shared_by
    assert tally.destinations == 0


def test_what_is_asked_after_the_release_is_harmless() -> None:
    """The thread lets go while Python, which has not read that yet, goes on asking: nothing may point to the
    destination once it is gone."""
    sender, ring, pipe = Sender(), Ring(), Pipe()
    one = destination(ring, pipe.transport)
    sender.attach(one)
    one.control(b"in time")
    sender.stop()
    sender.run()
    one.control(b"too late")
    sender.detach(one, b"too late as well")
    assert sender.events() == [(one, EVENT_RELEASED, errno.ECANCELED)]
    with pytest.raises(ValueError, match="this destination was released"):
        sender.attach(one)
    del one
    sender.stop()
    sender.run()
    assert sender.events() == []
    assert pipe.rest() == b""


def test_a_peer_that_does_not_read_is_let_go_without_the_final_bytes() -> None:
    sender, ring, pipe = Sender(), Ring(), Pipe()
    one = destination(ring, pipe.transport)
    sender.attach(one)
    one.control(bytes(65536))
    sender.detach(one, b"bye")
    thread = threading.Thread(target=sender.run, daemon=True)
    thread.start()
    pipe.read(65536)
    with selectors.DefaultSelector() as selector:
        selector.register(sender.event_fd, selectors.EVENT_READ)
        assert selector.select(DEADLINE_S)
    assert sender.events() == [(one, EVENT_RELEASED, 0)]
    assert pipe.rest() == b""
    sender.stop()
    thread.join(DEADLINE_S)


def test_a_destination_belongs_to_one_sender_once(loop: Loop) -> None:
    pipe = Pipe()
    one = destination(Ring(), pipe.transport)
    with pytest.raises(ValueError, match="not attached to this sender"):
        loop.sender.detach(one)
    loop.sender.attach(one)
    with pytest.raises(ValueError, match="attached already"):
        loop.sender.attach(one)
    loop.leave(one)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [({"udp_ms": 3}, "udp_ms: found 3, expected 4 to 256"), ({"tcp_ms": 300}, "tcp_ms: found 300, expected 4 to 256")],
)
def test_intervals_are_checked(arguments: dict[str, int], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Sender(**arguments)


def test_counter_rows_are_reused_and_the_table_is_one_array() -> None:
    pipes = [Pipe() for _ in range(300)]
    ring = Ring()
    many = [destination(ring, pipe.transport) for pipe in pipes]
    assert len({each.row for each in many}) == 300
    snapshot = TABLE.snapshot()
    assert len(snapshot) >= 300
    assert int(snapshot["sent_bytes"][[each.row for each in many]].sum()) == 0
    rows = len(snapshot)
    del many
    again = [destination(ring, pipe.transport) for pipe in pipes]
    assert len(TABLE.snapshot()) == rows
    del again
