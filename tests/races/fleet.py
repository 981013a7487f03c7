"""Sender threads and what is attached to them, as one thread of Python drives them."""

from __future__ import annotations

import selectors
import threading
import time
from collections.abc import Callable

from pushcast.destination import Destination
from pushcast.muxer import Muxer
from pushcast.ring import Ring
from pushcast.sender import EVENT_LOST, EVENT_RELEASED, EVENT_STARTED, Sender
from pushcast.transport import Transport

DEADLINE_S = 30.0


class Fleet:
    """``threads`` senders at the shortest interval, from here to the end of the ``with`` block.

    ``sender_of`` holds every destination that was not released.
    """

    def __init__(self, threads: int) -> None:
        self.senders = [Sender(udp_ms=4, srt_ms=4, tcp_ms=4) for _ in range(threads)]
        self.sender_of: dict[Destination, Sender] = {}
        self.leaving: set[Destination] = set()
        self.started: set[Destination] = set()
        self.lost: dict[Destination, int] = {}
        self.released: dict[Destination, int] = {}
        self._turn = 0
        self._threads = [threading.Thread(target=each.run) for each in self.senders]
        self._selector = selectors.DefaultSelector()
        for sender, thread in zip(self.senders, self._threads, strict=True):
            self._selector.register(sender.event_fd, selectors.EVENT_READ, sender)
            thread.start()

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._selector.close()

    def attach(self, ring: Ring, transport: Transport, muxer: Muxer | None = None, **options: object) -> Destination:
        """Attach to the senders in turn."""
        destination = Destination(ring, muxer or Muxer(), transport, **options)  # type: ignore[arg-type]
        sender = self.senders[self._turn % len(self.senders)]
        self._turn += 1
        self.sender_of[destination] = sender
        sender.attach(destination)
        return destination

    def detach(self, destination: Destination, final: bytes = b"", drain_ms: int = 5000) -> None:
        self.leaving.add(destination)
        self.sender_of[destination].detach(destination, final, drain_ms)

    def look(self, timeout_s: float) -> None:
        """Wait for events, at most so long, and take them."""
        for key, _ in self._selector.select(timeout_s):
            self._take(key.data)

    def _take(self, sender: Sender) -> None:
        for destination, kind, code in sender.events():
            assert self.sender_of[destination] is sender
            if kind == EVENT_STARTED:
                self.started.add(destination)
            elif kind == EVENT_LOST:
                assert destination not in self.lost
                self.lost[destination] = code
            elif kind == EVENT_RELEASED:
                self.released[destination] = code
                del self.sender_of[destination]
                self.leaving.discard(destination)

    def wait(self, condition: Callable[[], object]) -> None:
        """Take events until something holds; fails after the deadline."""
        end = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < end, "the awaited condition never came true"
            self.look(0.01)

    def stop(self) -> None:
        """End the threads with whatever is attached; everything is released then."""
        for sender in self.senders:
            sender.stop()
        for thread in self._threads:
            thread.join(DEADLINE_S)
            assert not thread.is_alive()
        for sender in self.senders:
            self._take(sender)
            assert sender.population_count == 0
