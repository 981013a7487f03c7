"""SrtTransport: sending on a connected SRT socket, without the GIL.

What a sender thread needs to know of a failed send is said as an errno, as UDP and TCP say it.
"""
cimport cython
from libc.errno cimport ECONNRESET, EIO, EMSGSIZE, ENOBUFS, EPIPE, ETIMEDOUT
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy

from pushcast.atomics cimport add_relaxed, load_relaxed
from pushcast.libsrt cimport *
from pushcast.srt cimport SrtCaller, close_now
from pushcast.transport cimport CLASS_SRT, Transport, backlog_t, iovec, pass_bytes, seen_t, transport_t

cdef enum:
    PACKET_BYTES = 188           # one TS packet
    LEAST_ALLOWED_MS = 100       # acknowledgements come every 10 ms, and on a busy machine a few of them late
    LIVE_PAYLOAD_BYTES = 1456    # the most that a live socket takes: MTU 1500 - IPv4 and UDP 28 - SRT 16


cdef int errno_of(int code) noexcept nogil:
    """The errno that says to the sender what a failed srt_sendmsg2 means."""
    if code == SRT_ETIMEOUT:
        return ETIMEDOUT
    if code == SRT_ENOBUF:
        return ENOBUFS
    if code == SRT_ELARGEMSG:
        return EMSGSIZE
    if code == SRT_EPEERERR:
        return EPIPE
    if code == SRT_ECONNLOST or code == SRT_ENOCONN or code == SRT_EINVSOCK or code == SRT_ESCLOSED:
        # libsrt collects broken sockets by itself: a lost connection may show as an unknown socket.
        return ECONNRESET
    return EIO


cdef const char* datagram_at(iovec* piece, size_t at, size_t size, char* gathered) noexcept nogil:
    """The next `size` bytes at one stretch: where they lie, or gathered from several pieces."""
    cdef size_t filled = 0
    cdef size_t part
    if piece.iov_len - at >= size:
        return <const char*>piece.iov_base + at
    while filled < size:
        part = min(piece.iov_len - at, size - filled)
        memcpy(gathered + filled, <const char*>piece.iov_base + at, part)
        filled += part
        pass_bytes(&piece, &at, part)
    return gathered


cdef Py_ssize_t srt_send_run(transport_t* self, iovec* pieces, uint32_t count, size_t size) noexcept nogil:
    """One srt_sendmsg2 for each datagram: libsrt has no call that takes many."""
    cdef char gathered[LIVE_PAYLOAD_BYTES]
    cdef size_t sent = 0
    cdef size_t at = 0
    cdef size_t datagram
    cdef int code
    while sent < size:
        datagram = min(size - sent, <size_t>self.datagram)
        if srt_sendmsg2(self.fd, datagram_at(pieces, at, datagram, gathered), <int>datagram, NULL) < 0:
            code = srt_getlasterror(NULL)
            if code == SRT_EASYNCSND or code == SRT_ECONGEST:
                add_relaxed(&self.short_sends, 1)
                break
            if sent == 0:
                return -errno_of(code)
            break
        sent += datagram
        pass_bytes(&pieces, &at, datagram)
    return <Py_ssize_t>sent


cdef bint srt_look(transport_t* self, backlog_t* backlog) noexcept nogil:
    """libsrt docs/API/statistics.md: pktSndDropTotal, msSndBuf.  The peer waits for its latency and the way to it."""
    cdef SRT_TRACEBSTATS s
    if srt_bistats(self.fd, &s, 0, 1) < 0:
        return False
    backlog.dropped_packets = <uint64_t>max(s.pktSndDropTotal, 0)
    backlog.buffer_ms = <uint64_t>max(s.msSndBuf, 0)
    backlog.allowed_ms = <uint64_t>max(s.msSndTsbPdDelay + <int>(2 * s.msRTT), LEAST_ALLOWED_MS)
    return True


cdef bint srt_see(const transport_t* self, seen_t* seen) noexcept nogil:
    cdef SRT_TRACEBSTATS s
    if srt_bistats(self.fd, &s, 0, 1) < 0:
        return False
    seen.confirmed = <uint64_t>(s.pktSentUniqueTotal - s.pktSndBuf)
    seen.sent = <uint64_t>s.pktSentTotal
    seen.resent = <uint64_t>s.pktRetransTotal
    seen.dropped = <uint64_t>s.pktSndDropTotal
    seen.waits = s.pktSndBuf > 0
    return True


@cython.final
cdef class SrtTransport(Transport):
    """SrtTransport(caller, datagram_bytes=1316): takes the socket of a connected SrtCaller.

    ``datagram_bytes``: whole TS packets, up to 1316 (1456 is the most that a live socket takes).
    """

    def __cinit__(self, SrtCaller caller not None, uint32_t datagram_bytes=7 * PACKET_BYTES):
        if datagram_bytes == 0 or datagram_bytes % PACKET_BYTES or datagram_bytes > LIVE_PAYLOAD_BYTES:
            raise ValueError(
                f"datagram_bytes: found {datagram_bytes}, allowed multiples of {PACKET_BYTES} up to {LIVE_PAYLOAD_BYTES}"
            )
        caller.require_open()
        self.c.send = srt_send_run
        self.c.look = srt_look
        self.c.see = srt_see
        self.c.datagram = datagram_bytes
        self.c.class_ = CLASS_SRT
        self.c.fd = caller.socket
        caller.socket = -1

    @property
    def connected(self):
        """False once the connection is broken or closed."""
        cdef SRT_SOCKSTATUS state
        cdef SRTSOCKET socket = self.c.fd
        with nogil:
            state = srt_getsockstate(socket)
        return state == SRTS_CONNECTED

    def stats(self):
        """libsrt's sender-side figures since connect, and what they are now; empty once the connection is gone.

        ``lost`` was reported missing by the peer and may have been repaired; ``dropped`` was given up.
        ``send_buffer_ms`` against ``peer_latency_ms`` shows congestion.  libsrt docs/API/statistics.md.
        """
        cdef SRT_TRACEBSTATS s
        cdef SRTSOCKET socket = self.c.fd
        cdef int rc
        with nogil:
            rc = srt_bistats(socket, &s, 0, 1)
        if rc < 0:
            return {}
        return {
            "sent_packets": s.pktSentTotal,
            "sent_unique_packets": s.pktSentUniqueTotal,
            "lost_packets": s.pktSndLossTotal,
            "retransmitted_packets": s.pktRetransTotal,
            "dropped_packets": s.pktSndDropTotal,
            "filter_extra_packets": s.pktSndFilterExtraTotal,
            "received_acks": s.pktRecvACKTotal,
            "received_naks": s.pktRecvNAKTotal,
            "sent_bytes": s.byteSentTotal,
            "sent_unique_bytes": s.byteSentUniqueTotal,
            "retransmitted_bytes": s.byteRetransTotal,
            "dropped_bytes": s.byteSndDropTotal,
            "connected_ms": s.msTimeStamp,
            "send_duration_us": s.usSndDurationTotal,
            "mean_send_rate_mbps": s.mbpsSendRate,
            "rtt_ms": s.msRTT,
            "bandwidth_mbps": s.mbpsBandwidth,
            "max_bandwidth_mbps": s.mbpsMaxBW,
            "flow_window_packets": s.pktFlowWindow,
            "congestion_window_packets": s.pktCongestionWindow,
            "flight_packets": s.pktFlightSize,
            "send_buffer_packets": s.pktSndBuf,
            "send_buffer_bytes": s.byteSndBuf,
            "send_buffer_ms": s.msSndBuf,
            "send_buffer_free_bytes": s.byteAvailSndBuf,
            "peer_latency_ms": s.msSndTsbPdDelay,
            "mss_bytes": s.byteMSS,
            "short_sends": load_relaxed(&self.c.short_sends),
        }

    cdef close_socket(self):
        """srt_close may block: call close() off the event loop."""
        cdef SRTSOCKET socket = self.c.fd
        self.c.fd = -1
        if socket >= 0:
            close_now(socket)

    cdef void release_socket(self) noexcept:
        close_now(self.c.fd)
