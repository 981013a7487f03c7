"""A link over a TCP socket: what the peer says is read on the event loop, while a sender thread writes."""

from __future__ import annotations

import socket

from pushcast.egress.link import Link
from pushcast.egress.readiness import readiness
from pushcast.errors import ConnectionLost, EngineError, Stalled
from pushcast.transport import TcpTransport

# A peer that takes nothing for so long is gone; the kernel would go on for 15 minutes.
USER_TIMEOUT_MS = 10_000


def set_stream_options(sock: socket.socket, bytes_per_s: int) -> None:
    """What every stream socket of ours is set to, before it connects.

    The send buffer's size is the kernel's business: it follows the round trip, which a fixed size would cap.  What is
    ours is how much may wait unsent in it.
    """
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MS)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, unsent_bytes(bytes_per_s))


def unsent_bytes(bytes_per_s: int) -> int:
    """Half a second of media, 128 KiB to 4 MiB; 256 KiB when the rate is not known.

    It covers a send at the longest interval and a keyframe.  What a slow peer has not taken beyond it waits in the
    ring, where a jump to a keyframe can still skip it.
    """
    return min(max(bytes_per_s // 2, 128 * 1024), 4 * 1024 * 1024) if bytes_per_s else 256 * 1024


class StreamLink(Link):
    """Owns ``fd``, a connected, non-blocking TCP socket."""

    __slots__ = ("_fd", "lost")

    def __init__(self, fd: int, message_stream_id: int = 0) -> None:
        super().__init__(TcpTransport(fd), message_stream_id)
        self._fd = fd
        self.lost = False

    @property
    def peer(self) -> str:
        """What errors call the peer."""
        raise NotImplementedError

    def take(self, data: memoryview) -> None:
        """React to what the peer said; ``data`` is good during the call.  Raises EngineError when it ends the link."""
        raise NotImplementedError

    def watch(self) -> None:
        readiness().add(self._fd, self)

    def unwatch(self) -> None:
        super().unwatch()
        readiness().remove(self._fd)

    def lose(self, error: EngineError) -> None:
        self.lost = True
        readiness().remove(self._fd)
        super().lose(error)

    def on_readable(self) -> None:
        try:
            data = readiness().read(self._fd)
            if not data:
                raise ConnectionLost(f"{self.peer} closed the connection while we published")
            self.take(data)
        except EngineError as error:
            self.lose(error)
        except BlockingIOError:
            return
        except TimeoutError:
            self.lose(Stalled(f"{self.peer} took nothing for {USER_TIMEOUT_MS} ms"))
        except OSError as error:
            self.lose(ConnectionLost(f"{self.peer} is lost: {error.strerror}"))
