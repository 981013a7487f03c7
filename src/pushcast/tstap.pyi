"""Between whoever receives a transport stream and its TsInput."""

from collections.abc import Callable
from typing import final

from pushcast.tsinput import TsInput

ReadableBuffer = bytes | bytearray | memoryview

@final
class TsTap:
    """``attend()`` is called, where bytes are received, once when the input is ready and once when it has changed."""

    def __init__(self, input: TsInput, attend: Callable[[], None]) -> None: ...
    @property
    def input(self) -> TsInput: ...
    @property
    def bytes_received(self) -> int: ...
    @property
    def heard_ns(self) -> int:
        """When the last bytes came, by time.monotonic_ns()."""

    def renew(self, input: TsInput) -> None:
        """What comes from now on is for this input."""

    def take(self, data: ReadableBuffer) -> None: ...
