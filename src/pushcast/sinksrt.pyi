"""Sink of SRT callers."""

from collections.abc import Iterable
from typing import Self, final

from pushcast.sinks import Sink
from pushcast.srt import SrtCaller

@final
class SrtSink(Sink):
    """Receives SRT callers.  ``sockets``: bound SrtCaller objects with their options set; they become listeners.

    ``immediate`` releases packets as they come, not at their time: less than half the CPU time, but callers drop no
    late packets towards such a receiver.
    """

    def __new__(cls, sockets: Iterable[SrtCaller], *, immediate: bool = False, max_senders: int = 1024) -> Self: ...
