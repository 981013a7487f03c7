"""TLS client connections over OpenSSL."""

from typing import final

from pushcast.tlscontext import TlsContext

CAUSES: tuple[str, ...]

class HandshakeFailure(Exception):
    """``cause`` is one of CAUSES, str() what OpenSSL calls it."""

    cause: str
    def __init__(self, cause: str, text: str) -> None: ...

@final
class TlsSession:
    """What a later connection to the same peer resumes."""

@final
class TlsConnection:
    """The client's side over a connected, non-blocking socket, which stays the caller's."""

    def __init__(
        self, context: TlsContext, fd: int, name: str, is_address: bool = False, session: TlsSession | None = None
    ) -> None: ...
    def handshake(self) -> bool:
        """True when it is done, False when the peer has to say something first; HandshakeFailure, OSError."""

    def receive(self) -> bytes:
        """Up to 16 KiB, empty at the end; BlockingIOError when nothing has come, OSError when it is lost."""

    def send(self, data: bytes | bytearray | memoryview) -> int:
        """Bytes taken, 0 when the socket takes nothing now; OSError when the connection is lost."""

    def flush(self) -> bool:
        """Send what the socket did not take before: True when nothing waits any more; OSError when it is lost."""

    def close_notify(self) -> None:
        """Say that no more will come."""

    def session(self) -> TlsSession | None:
        """None unless the peer lets it be resumed."""

    @property
    def resumed(self) -> bool: ...
    @property
    def version(self) -> str: ...
    @property
    def cipher(self) -> str: ...
    @property
    def fingerprint(self) -> bytes:
        """SHA-256 of the peer's certificate; empty when it showed none."""
