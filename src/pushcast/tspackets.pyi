"""The bytes of a transport stream to its packets."""

ReadableBuffer = bytes | bytearray | memoryview

class PacketInput:
    """MediaError: no stream of 188-byte packets."""

    def take(self, data: ReadableBuffer) -> None:
        """The next bytes, in any portions."""

    @property
    def frozen(self) -> bool: ...
    @property
    def sync_losses(self) -> int: ...
