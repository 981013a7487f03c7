"""What all TLS connections with the same settings share."""

from typing import final

@final
class TlsContext:
    """What all connections with the same settings share; ValueError names the argument that cannot be read."""

    def __init__(
        self, verify: bool = True, authorities: bytes = b"", certificate: bytes = b"", key: bytes = b""
    ) -> None: ...
