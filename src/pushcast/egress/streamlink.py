"""A link over a TCP socket: what the peer says is read on the event loop, while a sender thread writes."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

from pushcast.egress.channel import Channel
from pushcast.egress.link import Link
from pushcast.egress.readiness import readiness
from pushcast.errors import ConnectionLost, EngineError, Stalled
from pushcast.tcpinfo import TCP_CLOSE, TcpInfo, tcp_info

# A peer that takes nothing for so long is gone; the kernel would go on for 15 minutes.
USER_TIMEOUT_MS = 10_000
# A sender thread that met an error says so by its next turn, and a turn is a second off at the very most.
REASON_S = 1.0


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
    """Owns the channel's socket."""

    __slots__ = ("_channel", "lost")

    def __init__(self, channel: Channel, message_stream_id: int = 0) -> None:
        super().__init__(channel.transport(), message_stream_id)
        self._channel = channel
        self.lost = False

    @property
    def fd(self) -> int:
        """Of the channel's socket."""
        return self._channel.fd

    @property
    def peer(self) -> str:
        """What errors call the peer."""
        raise NotImplementedError

    def described(self) -> dict[str, Any]:
        return self._channel.described()

    def stats(self) -> dict[str, int | float]:
        info = self._info()
        if info is None:
            return {}
        return {
            "rtt_ms": info.rtt_ms,
            "acked_bytes": info.acked_bytes,
            "unsent_bytes": info.notsent_bytes,
            "retransmitted_bytes": info.retransmitted_bytes,
        }

    def _info(self) -> TcpInfo | None:
        """None when the connection is closed, or nothing is known of it any more."""
        try:
            return None if self.transport.closed else tcp_info(self.fd)
        except OSError:
            return None

    def take(self, data: memoryview | bytes) -> None:
        """React to what the peer said; ``data`` is good during the call.  Raises EngineError when it ends the link."""
        raise NotImplementedError

    def watch(self) -> None:
        readiness().add(self.fd, self)

    def unwatch(self) -> None:
        super().unwatch()
        readiness().remove(self.fd)

    def lose(self, error: EngineError) -> None:
        self.lost = True
        readiness().remove(self.fd)
        super().lose(error)

    def on_readable(self) -> None:
        try:
            data = self._channel.read()
            if not data:
                self._on_end()
                return
            self.take(data)
        except EngineError as error:
            self.lose(error)
        except BlockingIOError:
            return
        except TimeoutError:
            self.lose(Stalled(f"{self.peer} took nothing for {USER_TIMEOUT_MS} ms"))
        except OSError as error:
            self.lose(ConnectionLost(f"{self.peer} is lost: {error.strerror}"))

    def _on_end(self) -> None:
        """No more is to be read.

        Of a connection that timed out or was reset the kernel tells one side why, once: when the sender thread was that
        one, nothing but an end is left to read here, and the reason is on its way.
        """
        closed = ConnectionLost(f"{self.peer} closed the connection while we published")
        info = self._info()
        if info is None or info.state != TCP_CLOSE:
            self.lose(closed)
            return
        readiness().remove(self._channel.fd)
        asyncio.get_running_loop().call_later(REASON_S, self._lose_unless_told, closed)

    def _lose_unless_told(self, error: EngineError) -> None:
        # The descriptor of a closed link may be another one's by now.
        if not self.lost and not self.transport.closed:
            self.lose(error)
