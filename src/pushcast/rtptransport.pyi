from typing import final

from pushcast.transport import UdpTransport

@final
class RtpTransport(UdpTransport):
    def __init__(self, fd: int, gso: bool = True, datagram_bytes: int = 1316) -> None: ...
