"""Sending on a TLS connection."""

from typing import final

from pushcast.tls import TlsConnection
from pushcast.transport import Transport

@final
class TlsTransport(Transport):
    """Over a connection whose handshake is done; the socket is owned from here on."""

    def __init__(self, connection: TlsConnection, fd: int) -> None: ...
