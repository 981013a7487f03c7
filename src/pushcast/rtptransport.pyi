from typing import final

from pushcast.transport import Transport

@final
class RtpTransport(Transport):
    def __init__(self, fd: int, gso: bool = True, datagram_bytes: int = 1316) -> None: ...
    @property
    def gso(self) -> bool: ...
