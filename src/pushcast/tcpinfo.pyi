from typing import Final, NamedTuple

TCP_CLOSE: Final[int]

class TcpInfo(NamedTuple):
    state: int
    rtt_ms: float
    unacked_segments: int
    notsent_bytes: int
    acked_bytes: int
    sent_bytes: int
    retransmitted_bytes: int

def tcp_info(fd: int) -> TcpInfo: ...
