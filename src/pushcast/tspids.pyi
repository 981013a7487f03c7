"""Packets of a transport stream to whole PES packets and sections."""

from pushcast.tspackets import PacketInput

class PidInput(PacketInput):
    def flush(self) -> None:
        """Nothing more comes: what is whole goes out."""

    @property
    def packets(self) -> int: ...
    @property
    def continuity_errors(self) -> int: ...
    @property
    def transport_errors(self) -> int: ...
    @property
    def scrambled(self) -> int: ...
    @property
    def damaged_tables(self) -> int: ...
