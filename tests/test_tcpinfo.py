"""What the kernel says of a TCP connection."""

from __future__ import annotations

import errno
import socket
import time

import pytest

from pushcast.tcpinfo import TCP_CLOSE, tcp_info


def test_figures_of_a_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as near:
        far, _ = server.accept()
        near.sendall(bytes(5000))
        deadline = time.monotonic() + 5
        while (info := tcp_info(near.fileno())).unacked_segments and time.monotonic() < deadline:
            pass
        assert (info.acked_bytes - 1, info.sent_bytes, info.notsent_bytes) in ((5000, 5000, 0), (4999, 5000, 0))
        assert info.retransmitted_bytes == 0
        assert 0 < info.rtt_ms < 1000
        assert info.state != TCP_CLOSE
        far.close()


def test_what_a_peer_does_not_read_is_not_sent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        near = socket.create_connection(server.getsockname())
        far, _ = server.accept()
        near.setblocking(False)
        while near.send(bytes(65536)) == 65536:
            pass
        assert tcp_info(near.fileno()).notsent_bytes > 0
        near.close()
        far.close()


def test_a_connection_that_is_no_more() -> None:
    with socket.socket() as closed:
        assert tcp_info(closed.fileno()).state == TCP_CLOSE


@pytest.mark.parametrize("fd_of", [lambda: -1, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).detach()])
def test_what_is_no_tcp_socket_has_none(fd_of) -> None:
    with pytest.raises(OSError, match=r".") as refused:
        tcp_info(fd_of())
    assert refused.value.errno in {errno.EBADF, errno.ENOPROTOOPT, errno.EOPNOTSUPP}
